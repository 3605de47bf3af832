// What validate asks of a step and of a listener.
#include <cstdio>
#include <cstring>

#include "libmfdata/counted.hpp"
#include "plugin_checks.hpp"
#include "trials.hpp"

namespace mfdata::tools {
namespace {

constexpr std::uint32_t kCycles = 100;
constexpr long kLeakBytes = 100;  // of an instance, by malloc
constexpr long kLeakKib = 2000;   // of all, by whatever
constexpr double kPatience_ms = 5000;

std::string first_error(const std::string& log) {
  const std::size_t error = log.find("<3>");
  return error == std::string::npos ? "" : log.substr(error + 3, log.find('\n', error) - error - 3);
}

// With its own configuration it has to start: the other checks would see nothing.
std::string own_configuration(const Outcome& outcome) {
  if (!outcome.death.empty()) return outcome.death;
  if (outcome.refusal.empty()) return "";
  const std::string error = first_error(outcome.log);
  return (error.empty() ? outcome.refusal : error) + " (give it a configuration: --set 'KEY = VALUE')";
}

std::string broken_configurations(Trials& trials) {
  const auto wrong = [](ConfigValue& custom) {
    for (auto& member : custom.table()) member.second = ConfigValue(ConfigValue::Array{ConfigValue(std::int64_t{1})});
  };
  const std::pair<const char*, std::function<void(ConfigValue&)>> all[] = {
      {"with no key at all", [](ConfigValue& custom) { custom = ConfigValue(ConfigValue::Table()); }},
      {"with every key of another type", wrong},
      {"with a key that nobody knows", [](ConfigValue& custom) { custom.put("nobody_knows_this", ConfigValue(std::string("x"))); }}};
  for (const auto& [what, change] : all) {
    Variation variation;
    variation.custom = change;
    const Outcome outcome = trials.run("sample", what, variation);
    if (!outcome.death.empty()) return std::string(what) + ": " + outcome.death;
    if (!outcome.refusal.empty() && first_error(outcome.log).empty()) return std::string(what) + " it does not start, and says no reason (set_error)";
  }
  return "";
}

std::string leaks(Trials& trials) {
  Variation variation;
  variation.host.cycles = kCycles;
  const Outcome outcome = trials.run("sample", "created again and again", variation);
  if (!outcome.death.empty()) return outcome.death;
  long instances = 0, files = 0, threads = 0, bytes = 0, kib = 0;
  const std::size_t at = outcome.log.rfind("trial: instances");
  if (at == std::string::npos || std::sscanf(outcome.log.c_str() + at, "trial: instances %ld files %ld threads %ld bytes %ld kib %ld", &instances, &files, &threads, &bytes, &kib) != 5) {
    const bool refused = outcome.log.find("the plugin does not start") != std::string::npos;  // A25 has told
    return refused || !trials.escaped().empty() ? "" : "the worker ends before it can tell: " + outcome.refusal;
  }
  if (files > 0) return counted(static_cast<std::uint64_t>(files), "descriptor") + (files == 1 ? " is" : " are") + " left open by " + counted(static_cast<std::uint64_t>(instances), "instance");
  if (threads > 0) return std::to_string(threads) + " threads run on after their instance is destroyed";
  if (bytes > kLeakBytes * instances) return std::to_string(bytes) + " bytes are left by " + counted(static_cast<std::uint64_t>(instances), "instance");
  return kib > kLeakKib ? std::to_string(kib) + " KiB are left by " + counted(static_cast<std::uint64_t>(instances), "instance") : "";
}

std::string odd_files(Trials& trials) {
  Variation odd_name, large;
  odd_name.name = "\xff\xfe \n%s";
  large.grown_to = std::uint64_t{2} << 30;
  const std::tuple<const char*, const char*, Variation> all[] = {
      {"an empty file", "empty", {}}, {"a file of 2 GiB", "sample", large}, {"a name that is no UTF-8", "sample", odd_name}};
  for (const auto& [what, file, variation] : all) {
    if (const Outcome outcome = trials.run(file, what, variation); !outcome.death.empty()) return std::string(what) + ": " + outcome.death;
  }
  return "";
}

std::string no_time(Trials& trials) {
  Variation cancelled, interrupted, late;
  cancelled.host.cancelled = true;
  interrupted.host.interrupted = true;
  late.host.deadline_passed = true;
  for (const auto& [what, variation] : {std::pair("told to return soon", cancelled), std::pair("interrupted by another thread with a file in hand", interrupted),
                                        std::pair("after its deadline", late)}) {
    const Outcome outcome = trials.run("sample", what, variation);
    if (!outcome.death.empty()) return what + (": " + outcome.death);
    if (outcome.milliseconds > kPatience_ms) return std::string(what) + " it took " + std::to_string(static_cast<int>(outcome.milliseconds)) + " ms";
  }
  return "";
}

// The first one that the host tells of, with its code: a run in which every call is looked at, and none is made to fail.
std::string wrong_calls(Trials& trials) {
  constexpr const char* kTold = "a wrong call: ";
  Variation watched;
  watched.host.fail_call = UINT32_MAX;
  const std::string log = trials.run("sample", "with its calls looked at", watched).log;
  const std::size_t at = log.find(kTold);
  return at == std::string::npos ? "" : log.substr(at + std::strlen(kTold), log.find('\n', at) - at - std::strlen(kTold));
}

void check_instance(Trials& trials, Checks& checks) {
  checks.push_back({"A20", "a broken configuration is refused with a reason, or borne", broken_configurations(trials)});
  checks.push_back({"A21", "nothing is left of an instance that is destroyed", leaks(trials)});
  checks.push_back({"A28", "no call to the host is wrong", wrong_calls(trials)});
  checks.push_back({"A23", kCallsMayFail, failing_calls(trials, [&](const std::string& what, std::uint32_t call) {
                      Variation variation;
                      variation.host.fail_call = call;
                      return trials.run("sample", what, variation);
                    })});
  checks.push_back({"A4", kReadsNothingBehind, older_hosts([&](const std::string& what, const wire::TableSizes& sizes) {
                      Variation variation;
                      variation.host.sizes = sizes;
                      return trials.run("sample", what, variation);
                    })});
}

}  // namespace

void check_component(const std::string& folder, const StepSettings& component, const std::vector<std::string>& custom, Checks& checks) {
  const bool is_step = component.kind == WorkerKind::kStep;
  Trials trials(folder, component, custom);
  const Outcome first = trials.run("sample");
  const std::string trouble = own_configuration(first);
  if (is_step) {
    checks.push_back({"A25", "starts, and treats a file without dying", trouble});
  } else {
    checks.push_back({"A25", "starts with its configuration", first.overdue ? "" : trouble});
    checks.push_back({"A26", "a listener stops soon when another thread says so", first.overdue ? trouble : ""});
  }
  if (!first.overdue) {  // otherwise each other check would wait for it
    check_instance(trials, checks);
    if (is_step) checks.push_back({"A22", "odd files are borne: empty, 2 GiB sparse, a name that is no UTF-8", odd_files(trials)});
    if (is_step) checks.push_back({"A24", "returns soon when the host is stopping, or its deadline has passed", no_time(trials)});
  }
  checks.push_back({"A6", kNothingEscapes, trials.escaped()});
}

}  // namespace mfdata::tools
