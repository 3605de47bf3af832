#include "store.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <boost/filesystem/operations.hpp>
#include <cerrno>

#include "libmfdata/disk.hpp"
#include "libmfdata/spool_name.hpp"
#include "libmfdata/version.hpp"

namespace fs = boost::filesystem;

namespace mfdata {
namespace {

constexpr time_t kKeptUnused_s = 86'400;  // of a version that nothing points at, and
constexpr double kLook_s = 0.05;
constexpr std::size_t kKept = 5;          // so many folders of each plugin: workers may still run from them

bool is_ours(const std::string& name) {
  return name.starts_with(".new-") || name.starts_with(".link-") || name.starts_with(".removed-") || name.starts_with(".incoming-");
}

std::vector<fs::path> entries_of(const fs::path& directory) {
  std::vector<fs::path> all;
  boost::system::error_code code;
  for (fs::directory_iterator at(directory, code), end; !code && at != end; at.increment(code)) all.push_back(at->path());
  return all;
}

}  // namespace

Result<void> sync_path(const fs::path& path) {
  FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return system_error(errno, "cannot open " + path.string());
  return sync_file(file.get(), path.string());
}

Result<void> make_directory(const fs::path& path) {
  boost::system::error_code code;
  const bool made = fs::create_directories(path, code);
  if (code) return system_error(code.value(), "cannot make " + path.string());
  if (made && ::chmod(path.c_str(), 0755) != 0) return system_error(errno, "cannot set the mode of " + path.string());
  return {};
}

std::string link_of(const fs::path& link) {
  boost::system::error_code code;
  const fs::path target = fs::read_symlink(link, code);
  return code ? "" : target.string();
}

Result<void> point_link(const fs::path& link, const std::string& target) {
  const fs::path fresh = link.parent_path() / (".link-" + fresh_uid());
  boost::system::error_code code;
  fs::create_symlink(target, fresh, code);
  if (code) return system_error(code.value(), "cannot make " + fresh.string());
  if (::rename(fresh.c_str(), link.c_str()) != 0) {
    const Error error = system_error(errno, "cannot change " + link.string());
    ::unlink(fresh.c_str());
    return error;
  }
  return sync_path(link.parent_path());
}

std::string version_of_folder(const std::string& folder) { return folder.substr(0, folder.find('@')); }

Result<Store> Store::lock(const Home& home, double patience_s) {
  Store store(home);
  MFDATA_TRY(make_directory(home.plugins()));
  auto file = lock_file(home.plugins() / ".lock", true, false);
  for (double waited_s = 0; file.is(Code::kBusy) && waited_s < patience_s; waited_s += kLook_s) {
    ::usleep(static_cast<useconds_t>(kLook_s * 1e6));
    file = lock_file(home.plugins() / ".lock", true, false);
  }
  if (file.is(Code::kBusy)) return Error{Code::kBusy, 0, "another mfdata-plugin is at work on this home: try again when it is done"};
  if (!file) return file.error();
  store.lock_ = std::move(*file);
  struct stat st;
  if (::stat(home.root.c_str(), &st) != 0) return system_error(errno, "cannot look at " + home.root.string());
  store.owner_ = st.st_uid;
  store.clear_away();
  return store;
}

static fs::path mark_of_unfinished(const Home& home, const std::string& name) { return home.plugin(name) / ".unfinished"; }

std::string Store::unfinished(const Home& home, const std::string& name) {
  const std::string folder = link_of(mark_of_unfinished(home, name));
  const bool finished = folder == link_of(home.current(name));  // taking the mark away is the last step of a switch
  return finished || folder.find('/') != std::string::npos ? "" : folder;
}

Result<void> Store::begin(const std::string& name, const std::string& folder) const {
  return point_link(mark_of_unfinished(home_, name), folder);
}

void Store::give_up(const std::string& name) const {
  if (const std::string folder = unfinished(home_, name); !folder.empty()) discard(plugin(name) / folder);
  ::unlink(mark_of_unfinished(home_, name).c_str());
  ::rmdir(plugin(name).c_str());
}

Result<void> Store::switch_to(const std::string& name, const std::string& folder) {
  const std::string before = current(name);
  if (!before.empty() && !before.starts_with('/')) MFDATA_TRY(point_link(plugin(name) / "previous", before));
  if (before.empty()) ::unlink((plugin(name) / "previous").c_str());  // of one that was removed
  MFDATA_TRY(point_link(home_.current(name), folder));
  ::unlink(mark_of_unfinished(home_, name).c_str());
  ::unlink(ending(name).c_str());
  return {};
}

Result<void> Store::retire(const std::string& name) {
  // Since when, told before it is gone: the folder stays for a day.
  if (::utimensat(AT_FDCWD, home_.current(name).c_str(), nullptr, AT_SYMLINK_NOFOLLOW) != 0)
    return system_error(errno, "cannot remove " + home_.current(name).string());
  if (::rename(home_.current(name).c_str(), ending(name).c_str()) != 0) return system_error(errno, "cannot remove " + home_.current(name).string());
  ::unlink((plugin(name) / "previous").c_str());
  return sync_path(plugin(name));
}

bool Store::retired(const std::string& name) const { return !installed(name) && !link_of(ending(name)).empty(); }

std::string Store::newest_but(const std::string& name, const std::string& folder) const {
  std::string newest;
  boost::system::error_code code;
  for (const fs::path& path : entries_of(plugin(name))) {
    const std::string other = path.filename().string();
    if (other == folder || !valid_version(version_of_folder(other)) || !fs::is_directory(fs::symlink_status(path, code))) continue;
    if (newest.empty() || compare_versions(version_of_folder(other), version_of_folder(newest)) > 0) newest = other;
  }
  return newest;
}

void Store::discard(const fs::path& path) const {
  boost::system::error_code ignored;
  fs::remove_all(path, ignored);
}

// What operations that were killed left behind, and old versions that nothing points at any more. Links are never followed.
void Store::clear_away() const {
  boost::system::error_code code;
  for (const fs::path& path : entries_of(home_.plugins())) {
    const std::string name = path.filename().string();
    if (is_ours(name)) discard(path);
    if (!valid_plugin_name(name) || !fs::is_directory(fs::symlink_status(path, code))) continue;
    give_up(name);
    struct stat end;
    if (retired(name) && ::lstat(ending(name).c_str(), &end) == 0) {
      const bool old = end.st_mtime + kKeptUnused_s < ::time(nullptr);
      if (old && !lock_file(home_.loader_lock(), true, false).is(Code::kBusy)) discard(path);  // a loader may not have let it go
      continue;
    }
    std::vector<std::pair<time_t, fs::path>> unused;
    for (const fs::path& version : entries_of(path)) {
      const std::string folder = version.filename().string();
      struct stat st;
      if (is_ours(folder)) {
        discard(version);
      } else if (folder != current(name) && folder != previous(name) && valid_version(version_of_folder(folder)) &&
                 ::lstat(version.c_str(), &st) == 0 && S_ISDIR(st.st_mode)) {
        unused.emplace_back(st.st_ctime, version);
      }
    }
    std::sort(unused.rbegin(), unused.rend());
    for (std::size_t i = 0; i < unused.size(); ++i) {
      const bool old = i >= kKept && unused[i].first + kKeptUnused_s < ::time(nullptr);
      if (old || current(name).empty()) discard(unused[i].second);
    }
    ::rmdir(path.c_str());  // when it is empty
  }
}

}  // namespace mfdata
