// What the layers of configuration come to: typed, checked, with every default filled in.
//
// `load_settings` reads everything at once and reports everything that is wrong at once; with any problem the
// settings are not to be used. Reading is its only effect.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "libmfdata/collection.hpp"
#include "libmfdata/config_value.hpp"
#include "libmfdata/home.hpp"
#include "libmfdata/spool.hpp"
#include "libmfdata/switch_rules.hpp"

namespace mfdata {

struct Readiness {
  enum class Kind { kClose, kRename, kQuiet };
  Kind kind = Kind::kClose;
  double quiet_s = 0;  // kQuiet: of every file; kRename: of one that stood there at the start; below 0: that is left
};

// A share of the filesystem (0 to 1), or an absolute number when `share` is negative.
struct Reserve {
  double share = -1;
  std::uint64_t absolute = 0;
};

struct WatchSettings {
  Location where;
  std::string directory;  // as configured: relative to the data directory, or absolute
  Readiness ready;
  std::vector<std::string> ignore;
  double foreign_quiet_s = 60;  // of a file of which nobody can tell whether it is written
};

enum class FailurePolicy { kKeep, kDelete, kMove };

struct RetryPolicy {
  std::uint64_t total = 0;
  double min_wait_s = 10;
  double max_wait_s = 120;
  double backoff_s = 0;
};

struct ResourceLimits {  // 0: as inherited
  std::uint64_t address_space = 0;
  std::uint64_t open_files = 0;
  std::uint64_t stack = 0;
  std::uint64_t file_size = 0;
};

enum class WorkerKind { kStep, kListener };

// One step or listener of a plugin.
struct StepSettings {
  Location where;  // in its plugin's configuration
  std::vector<std::pair<std::string, Location>> written;  // its keys that a file has, and "watched_directories[0]" ..
  WorkerKind kind = WorkerKind::kStep;
  std::string plugin;
  std::string name;
  std::string component;
  unsigned numprocesses = 1;
  std::vector<std::string> watched_directories;
  double timeout_s = 600;
  double start_timeout_s = 60;
  double max_age_s = 0;
  bool debug = false;
  std::uint64_t max_queue = 0;
  ResourceLimits limits;
  FailurePolicy failure_policy = FailurePolicy::kKeep;
  std::string failure_target;  // plugin/step or an absolute directory
  bool keep_unmatched = false;
  RetryPolicy retry;
  unsigned batch_max_size = 100;
  double batch_max_wait_s = 10;
  std::string log_level;

  // Where a key stands in the layer that wins; where the step does, when none has it.
  const Location& where_of(const std::string& key) const;
  bool has(const std::string& key) const;  // a file says it
  std::string dotted() const { return plugin + '.' + name; }
  std::string slashed() const { return plugin + '/' + name; }
};

struct PluginSettings {
  std::string name;
  std::string version;
  std::string summary, license, maintainer, url;
  std::string directory;  // of the installed version, absolute
  std::string library;    // absolute; of the base, when it has one
  std::string base;       // the plugin that came with mfdata, by whose library it runs; empty: by its own
  std::string base_directory;  // absolute
  std::vector<StepSettings> steps;
  ConfigValue custom{ConfigValue::Table()};
  std::vector<SwitchRule> rules;  // the good ones of its [[switch_rules]]
  Problems rule_problems;         // of the bad ones
  std::vector<std::string> target_keys;  // of [custom]: they name steps
  std::vector<std::string> path_keys;    // of [custom]: paths, and those
};

struct GeneralSettings {
  std::string config_name;
  bool require_signatures = false;
  double postinstall_timeout_s = 600;
  std::string data_dir;
  std::string entry_step;
  Location entry_where;
  Durability durability = Durability::kAccepted;
  WatchSettings defaults;
  std::vector<WatchSettings> watches;  // the [data.watch.*] that are written
  // What holds for files of a directory, relative to the data directory or absolute: its own [data.watch], or the defaults.
  const WatchSettings& watch_of(const std::string& directory) const;
  std::uint64_t max_file_size = 0;
  double rescan_interval_s = 300;
  Lifetimes lifetimes;
  double no_space_max_wait_s = 3600;  // 0: for ever
  Reserve min_free_space;
  Reserve min_free_inodes;
  bool cpu_policy_batch = true;
  unsigned max_crashes = 3;
  std::uint64_t step_limit = 1000;
  double predicate_timeout_s = 1;
  std::uint64_t max_queued = 100000;
  std::string log_level;
  bool log_json = false;
  std::string log_directory;
  std::uint64_t rotate_size = 0;
  unsigned rotate_keep = 0;
  std::string metrics_listen;
};

struct Settings {
  GeneralSettings general;
  std::vector<PluginSettings> plugins;  // by name
  // With these everything else is good to use.
  Problems rule_problems;    // of switch rules
  Problems target_problems;  // of keys of plugins that name steps that are not there: files fail there
  Problems warnings;         // of what works, but hardly as it was meant; each has Severity::kWarning

  // A warning: `where` may be empty when no file says it.
  void warn(const Location& where, std::string text, std::string hint = "");

  // Every watched directory, as it is configured (relative to the data directory, or absolute), sorted, and the steps that take its files.
  std::map<std::string, std::vector<const StepSettings*>> watched() const;

  const PluginSettings* find_plugin(const std::string& name) const;
  const StepSettings* find_step(const std::string& slashed) const;  // "plugin/step"
};

// `as_if`: a plugin, installed or not, from the folder that it would run from.
struct PluginFolder {
  std::string name, folder;
};
Settings load_settings(const Home& home, Problems& problems, const PluginFolder* as_if = nullptr);

// The same of a home that is there for one plugin: the steps of others that it names need not be there.
Settings load_settings_alone(const Home& home, Problems& problems);

// mfdata.toml alone, whatever the plugins are like: for installing them.
GeneralSettings load_general_settings(const Home& home, Problems& problems);

// plugin.toml of a folder alone, without the operator's layers: for installing it.
PluginSettings load_plugin_folder(const std::string& folder, Problems& problems);

// A plugin's [custom], with what its texts stand for ({home} ..); of a step (dotted) or, empty, of none. A problem for a file or
// a variable that is not there, and for an unknown word in a path.
ConfigValue resolved_custom(const PluginSettings& plugin, const Settings& settings, const Home& home, const std::string& step, Problems& problems);

// Warns of words in a plugin's texts that are nearly one of those, and stay as they are.
void find_misspelt(const PluginSettings& plugin, Settings& settings, const Home& home);

}  // namespace mfdata
