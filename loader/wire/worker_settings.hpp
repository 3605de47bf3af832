// Everything that one worker process is told when it starts: resolved by the loader, so that a worker reads no
// configuration of its own. Travels as JSON, with the rules as bytes behind it, in a memory file (descriptor kSettings).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "libmfdata/settings.hpp"

namespace mfdata::wire {

// kTryStart: make the component and end: nothing of the spool is touched.
enum class Task { kRun, kReap, kAcceptForeign, kRollForward, kPredicates, kCollect, kTryStart };

// A plugin whose predicates the rules name.
struct PredicateLibrary {
  std::string plugin;
  std::string library;     // absolute
  std::string plugin_dir;  // absolute
  ConfigValue custom{ConfigValue::Table()};
};

// struct_size of what a host of an earlier release hands to a plugin; 0: all that it has today.
struct TableSizes {
  std::uint32_t host = 0, init = 0, tick = 0, rules = 0;
};

// A host as a plugin may meet it one day, for validating plugins: all 0 in earnest.
struct TrialSettings {
  TableSizes sizes;              // of an older host, when `host` is set; what is behind each cannot be read
  std::uint32_t fail_call = 0;   // the number of the host call that fails; the worker logs how many there were
  std::uint32_t cycles = 0;      // create and destroy so often, then tell what has leaked
  bool cancelled = false;        // from the beginning
  bool interrupted = false;      // cancelled once a file is begun
  bool deadline_passed = false;  // when a file is begun
  std::string deliver_below;     // a directory that stands for "/" in deliveries outside the home; empty: they are made in earnest
};

struct WorkerSettings {
  Task task = Task::kRun;
  std::string home;
  std::string data_dir;
  Durability durability = Durability::kAccepted;
  StepSettings step;
  unsigned slot = 0;
  std::string library;
  std::string plugin_dir;
  std::string plugin_version;
  std::string entry_step;
  std::uint64_t max_file_size = 0;
  std::uint64_t step_limit = 1000;
  std::string log_level = "info";
  std::vector<std::string> sources;  // directories that jobs name by index; 0: the step's own
  std::vector<std::string> targets;  // "plugin/step" of every step there is
  // Of a listener: the watched directories, as files that arrive there say where they were, and the step that takes those of each.
  std::vector<std::string> watched_directories, watched_steps;
  ConfigValue custom{ConfigValue::Table()};
  std::vector<SwitchRule> rules;  // that are addressed to this plugin
  std::vector<PredicateLibrary> predicates;  // of their code rules
  double predicate_timeout_s = 1;
  bool sockets_from_loader = false;  // a listener asks for its sockets; else it makes them itself
  // kReap
  bool count_crash = false;
  unsigned max_crashes = 3;
  std::string crash_reason;
  std::string crash_in_hand;  // Crash::in_hand
  // kAcceptForeign: directory and name of each; kRollForward: names of commits
  std::vector<std::string> arrival_directories;
  std::vector<std::string> arrival_names;
  std::vector<std::uint32_t> arrival_quiet;  // of each: 1 when it has been quiet for so long that this alone will do
  bool traced = false;  // somebody follows files: Accepted is wanted
  bool age_is_believed = true;               // nothing is removed by its age else
  double foreign_quiet_s = 0;                // of those that have grown after they were taken
  // kCollect
  Lifetimes lifetimes;
  std::vector<std::string> live_slots;
  TrialSettings trial;
  // kPredicates: the code rules to compile, by their index
  std::vector<std::uint32_t> code_rules;
  // `custom` and `rules` as they are told, once for all workers of the step (see seal): then those two are empty.
  std::shared_ptr<const std::string> sealed;
};

// The plugins whose predicates these rules name, with what their [custom] comes to.
std::vector<PredicateLibrary> predicates_of(const std::vector<SwitchRule>& rules, const Settings& settings, const Home& home, Problems& problems);

// What a worker of this step is told; its sources and targets are the caller's to add.
WorkerSettings settings_for(const Settings& settings, const Home& home, const PluginSettings& plugin, const StepSettings& step, Problems& problems);

// Spells what may be large, for good: settings that are sealed are copied and compared at next to no cost, however many rules
// there are.
void seal(WorkerSettings& settings);
// Whether workers that are told the one do as those that are told the other.
bool same(const WorkerSettings& a, const WorkerSettings& b);

std::string encode(const WorkerSettings& settings);
Result<WorkerSettings> decode_settings(const std::string& text);

}  // namespace mfdata::wire
