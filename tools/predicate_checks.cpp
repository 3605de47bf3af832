// What validate asks of a predicate.
#include "libmfdata/switch_rules.hpp"
#include "plugin_checks.hpp"
#include "trials.hpp"

namespace mfdata::tools {

// As its own rules name it; without any it is asked without arguments, which it may refuse.
static std::string pattern_of(const PluginSettings& plugin, const std::string& id) {
  for (const SwitchRule& rule : plugin.rules) {
    const auto call = parse_predicate_call(rule.pattern);
    if (rule.type == "plugin" && call && call->predicate == id) return rule.pattern;
  }
  return id;
}

void check_predicate(const std::string& folder, const PluginSettings& plugin, const std::string& id, Checks& checks) {
  const std::string pattern = pattern_of(plugin, id);
  Trials trials(folder, StepSettings{}, {});
  std::string trouble, change;
  const std::tuple<const char*, const char*, std::uint64_t> files[] = {
      {"a file", "sample", 0}, {"an empty file", "empty", 0}, {"a file of 64 MiB", "sample", std::uint64_t{64} << 20}};
  for (const auto& [what, file, grown_to] : files) {
    const Outcome outcome = trials.ask(pattern, file, what, grown_to);
    const bool refused = outcome.log.find("does not accept it") != std::string::npos;
    if (trouble.empty() && !refused && !(outcome.death + outcome.refusal).empty()) trouble = pattern + ": " + what + ": " + outcome.death + outcome.refusal;
    if (outcome.changed) change = pattern + " writes to the file that it is asked about";
  }
  checks.push_back({"A27", "a predicate answers for any file, and soon", trouble});
  checks.push_back({"A10", "a predicate changes nothing", change});
  if (trouble.empty()) {
    checks.push_back({"A23", kCallsMayFail, failing_calls(trials, [&](const std::string& what, std::uint32_t call) {
                        wire::TrialSettings host;
                        host.fail_call = call;
                        return trials.ask(pattern, "sample", what, 0, host);
                      })});
    checks.push_back({"A4", kReadsNothingBehind, older_hosts([&](const std::string& what, const wire::TableSizes& sizes) {
                        wire::TrialSettings host;
                        host.sizes = sizes;
                        return trials.ask(pattern, "sample", what, 0, host);
                      })});
  }
  checks.push_back({"A6", kNothingEscapes, trials.escaped()});
}

}  // namespace mfdata::tools
