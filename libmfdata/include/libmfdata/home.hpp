// Where everything of one installation stands (DESIGN: Home), and the names that are allowed in it. The module that
// knows the paths outside of the data directory.
#pragma once

#include <boost/filesystem/path.hpp>
#include <optional>
#include <string>
#include <vector>

#include "libmfdata/file_descriptor.hpp"
#include "libmfdata/result.hpp"

namespace mfdata {

struct Home {
  boost::filesystem::path root;  // absolute
  boost::filesystem::path administrator = {};  // the administrator's layer, where it is not the machine's

  boost::filesystem::path configuration() const { return root / "etc/mfdata.toml"; }
  boost::filesystem::path override_of(const std::string& plugin) const { return root / "etc/plugins.d" / (plugin + ".toml"); }
  boost::filesystem::path plugins() const { return root / "plugins"; }
  boost::filesystem::path plugin(const std::string& name) const { return plugins() / name; }
  boost::filesystem::path current(const std::string& name) const { return plugin(name) / "current"; }
  boost::filesystem::path run() const { return root / "run"; }
  boost::filesystem::path loader_lock() const { return run() / "loader.lock"; }
  boost::filesystem::path workers_lock() const { return run() / "workers.lock"; }
  boost::filesystem::path trash_lock() const { return run() / "trash.lock"; }
  boost::filesystem::path paused_steps() const { return run() / "paused.json"; }
  boost::filesystem::path stopped_plugins() const { return run() / "stopped.json"; }
  boost::filesystem::path control_socket() const { return run() / "control.sock"; }
  // What a component has to remember: its alone, over restarts and upgrades.
  boost::filesystem::path state_of(const std::string& plugin, const std::string& component) const { return root / "var/state" / plugin / component; }
  boost::filesystem::path boot_id() const { return run() / "boot_id"; }
};

// The administrator's layer: /etc/mfdata, or MFDATA_ADMIN_DIR.
boost::filesystem::path administrator_directory();

// The home of --home (when not empty), MFDATA_HOME, or /var/lib/mfdata. An error when it is none.
Result<Home> find_home(const std::string& option);

// Makes the folders of a home; existing ones are kept.
Result<Home> make_home(const std::string& root);

// Names of plugins that are installed (have a `current`, even if it points to nothing), sorted.
std::vector<std::string> installed_plugins(const Home& home);

bool valid_plugin_name(const std::string& name);
bool valid_step_name(const std::string& name);

// Locks a file of run/. Exclusive or shared, without waiting; kBusy: somebody holds it. The descriptor is closed on
// exec unless `inherited`. `note` replaces the file's content when it was locked exclusively.
Result<FileDescriptor> lock_file(const boost::filesystem::path& path, bool exclusive, bool inherited,
                                 const std::string& note = "");

// The text of a small file, or nothing.
std::optional<std::string> small_file(const boost::filesystem::path& path);

// An installed program of ours that stands beside the running one, or in ../libexec/mfdata (also of the build tree).
Result<std::string> find_program(const std::string& name);
// The folder of a plugin that came with the installation (mfdata/plugins of the library directory, or the build tree's).
Result<std::string> find_builtin_plugin(const std::string& name);
// The names of those, sorted.
std::vector<std::string> builtin_plugins();

}  // namespace mfdata
