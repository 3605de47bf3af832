// The folders and links of HOME/plugins in one pair of hands: what plugin_store's operations are written in.
#pragma once

#include <sys/types.h>

#include <boost/filesystem/path.hpp>
#include <string>

#include "libmfdata/home.hpp"

namespace mfdata {

Result<void> sync_path(const boost::filesystem::path& path);
Result<void> make_directory(const boost::filesystem::path& path);  // with its parents; mode 0755 when it was not there
// A link changes in one rename, and is forced to disk.
Result<void> point_link(const boost::filesystem::path& link, const std::string& target);
std::string link_of(const boost::filesystem::path& link);  // empty: it is none
// "1.0.0@2" is the second folder of version 1.0.0.
std::string version_of_folder(const std::string& folder);

// Holds plugins/.lock. What operations that were killed left behind is cleared away when it is taken; links are never followed.
class Store {
 public:
  // Waits so long for another one that is at work.
  static Result<Store> lock(const Home& home, double patience_s = 0);

  const Home& home() const { return home_; }
  uid_t owner() const { return owner_; }  // of the home
  boost::filesystem::path plugin(const std::string& name) const { return home_.plugin(name); }
  bool installed(const std::string& name) const { return !current(name).empty(); }
  // Folders of the plugin, by its links; an absolute `current` is a folder somewhere else.
  std::string current(const std::string& name) const { return link_of(home_.current(name)); }
  std::string previous(const std::string& name) const { return link_of(plugin(name) / "previous"); }
  std::string newest_but(const std::string& name, const std::string& folder) const;  // that is kept; empty: none

  // A folder that is about to stand there. Until it is switched to it counts as none, and is cleared away after a kill.
  Result<void> begin(const std::string& name, const std::string& folder) const;
  void give_up(const std::string& name) const;  // what was begun; the plugin too, when it has nothing else
  static std::string unfinished(const Home& home, const std::string& name);  // empty: none

  // The folder becomes the version that runs, and the one before `previous`.
  Result<void> switch_to(const std::string& name, const std::string& folder);
  // In one rename it is installed no more; its folder stays for what runs from it. Nobody's for a day, and without a loader, it
  // is cleared away.
  Result<void> retire(const std::string& name);
  bool retired(const std::string& name) const;
  boost::filesystem::path ending(const std::string& name) const { return plugin(name) / ".ending"; }  // its `current`, then
  void discard(const boost::filesystem::path& path) const;

 private:
  explicit Store(const Home& home) : home_(home) {}
  void clear_away() const;

  Home home_;
  FileDescriptor lock_;
  uid_t owner_ = 0;
};

}  // namespace mfdata
