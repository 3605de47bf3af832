// One file through one step, by the worker that a loader would start, in a home that is there for it alone: run, validate.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "plugin_commands.hpp"
#include "wire/worker_settings.hpp"

namespace mfdata::tools {

// What is not as it would be in earnest.
struct Variation {
  wire::TrialSettings host;
  std::function<void(ConfigValue& custom)> custom;  // changes [custom] behind the schema's back
  std::uint64_t grown_to = 0;                       // bytes of the file, the rest a hole; 0: as it is
  std::string directory;                            // that it comes from; empty: its own
  std::string name;                                 // original name of the file; empty: its own
  bool delivers_inside = false;                     // deliveries to other directories stay below "{home}/deliveries"
  double limit_s = 0;                               // at most so long for the file; 0: the step's own timeout
  // Told again and again while the step has the file: for how long, and when it will be killed.
  std::function<void(double waited_s, double limit_s)> waiting;
};

// "result" ("ok", "failed", ..., "died"), "reason", "milliseconds", "outputs", "trash", "log" (lines that begin with
// "<level>"), "metrics", "kept". An error: it could not begin, or was interrupted (InterruptsNoted); then nothing is left of it.
Result<nlohmann::json> run_trial(const std::string& home_option, const RunOptions& options, const Variation& variation = {});

// A listener is started, and told to stop once it runs: "result" is "ok" when it ends then, within 15 s.
Result<nlohmann::json> listen_trial(const std::string& home_option, const RunOptions& options, const Variation& variation = {});

// A code rule of the plugin, `pattern` as a rule has it, is asked about a file: "result" is "yes", "no" or "error", "changed"
// whether the file is not what it was. `host` as in a Variation.
Result<nlohmann::json> predicate_trial(const std::string& home_option, const RunOptions& options, const std::string& pattern, std::uint64_t grown_to = 0,
                                       const wire::TrialSettings& host = {});

}  // namespace mfdata::tools
