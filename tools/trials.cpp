#include "trials.hpp"

#include <algorithm>
#include <boost/filesystem/operations.hpp>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

namespace fs = boost::filesystem;
using nlohmann::json;

namespace mfdata::tools {
namespace {

constexpr std::uint32_t kEachCall = 200;
constexpr double kLimit_s = 30, kLargeLimit_s = 300;  // of a step whose own timeout is longer

bool has(const std::string& text, const char* words) { return text.find(words) != std::string::npos; }

// What the runtimes of C++ and Rust say when nobody caught it, with the line that follows.
std::string uncaught(const std::string& log) {
  for (const char* words : {"terminate called after throwing", "uncaught exception of type", "panicked at"}) {
    const std::size_t at = log.find(words);
    if (at == std::string::npos) continue;
    std::string text = log.substr(at, log.find('\n', log.find('\n', at) + 1) - at);
    std::replace(text.begin(), text.end(), '\n', ' ');
    return text;
  }
  return "";
}

}  // namespace

Trials::Trials(const std::string& folder, const StepSettings& component, const std::vector<std::string>& custom) : kind_(component.kind) {
  options_.plugin = folder;
  options_.step = component.name;
  options_.custom = custom;
  boost::system::error_code code;
  place_ = (fs::temp_directory_path(code) / fs::unique_path("mfdata-validate-%%%%%%%%")).string();
  fs::create_directories(place_, code);
  std::ofstream(place_ + "/sample") << "a line\n";
  std::ofstream(place_ + "/empty").flush();
}

Trials::~Trials() {
  boost::system::error_code ignored;
  fs::remove_all(place_, ignored);
}

void Trials::note_escape(Outcome& outcome, const std::string& what) {
  if (outcome.death.empty() && outcome.refusal.empty()) return;
  const std::string text = uncaught(outcome.log);
  if (text.empty()) return;
  if (escaped_.empty()) escaped_ = (what.empty() ? "" : what + ": ") + text;
  outcome.death.clear();
  outcome.refusal.clear();
}

Outcome Trials::run(const char* file, const std::string& what, Variation variation) {
  options_.file = place_ + '/' + file;
  variation.limit_s = variation.grown_to > 0 ? kLargeLimit_s : kLimit_s;
  const auto out = kind_ == WorkerKind::kStep ? run_trial("", options_, variation) : listen_trial("", options_, variation);
  Outcome outcome;
  if (!out) {
    outcome.refusal = out.error().text;
    return outcome;
  }
  outcome.log = (*out)["log"].get<std::string>();
  outcome.milliseconds = (*out)["milliseconds"].get<double>();
  if ((*out)["result"] != "died") return outcome;
  const std::string reason = (*out)["reason"].get<std::string>();
  outcome.overdue = has(reason, "longer than") || has(reason, "not ready");
  (outcome.overdue || has(reason, "signal") ? outcome.death : outcome.refusal) = reason;
  note_escape(outcome, what);
  return outcome;
}

Outcome Trials::ask(const std::string& pattern, const char* file, const std::string& what, std::uint64_t grown_to, const wire::TrialSettings& host) {
  options_.file = place_ + '/' + file;
  const auto out = predicate_trial("", options_, pattern, grown_to, host);
  Outcome outcome;
  if (!out) {
    outcome.death = out.error().text;
    return outcome;
  }
  outcome.log = (*out)["log"].get<std::string>();
  outcome.changed = (*out)["changed"].get<bool>();
  if ((*out)["result"] != "error") return outcome;
  const bool died = has(outcome.log, "its process died") || has(outcome.log, "did not answer in time");
  (died ? outcome.death : outcome.refusal) = (*out)["reason"].get<std::string>() + ": " + outcome.log;
  note_escape(outcome, what);
  return outcome;
}

std::string failing_calls(const Trials& trials, const std::function<Outcome(const std::string& what, std::uint32_t call)>& trial) {
  for (std::uint32_t call = 1;; call += call < kEachCall ? 1 : call / 10) {
    const std::string what = "when host call " + std::to_string(call) + " fails";
    const Outcome outcome = trial(what, call);
    if (!outcome.death.empty()) return what + ": " + outcome.death;
    if (!trials.escaped().empty()) return "";
    const std::size_t at = outcome.log.rfind("trial: ");
    if (at == std::string::npos) return what + (outcome.refusal.empty() ? " its process ends without a word" : ": " + outcome.refusal);
    if (std::strtoul(outcome.log.c_str() + at + 7, nullptr, 10) < call) return "";
  }
}

std::string older_hosts(const std::function<Outcome(const std::string& what, const wire::TableSizes& sizes)>& trial) {
  for (const ReleasedSizes& release : kReleasedSizes) {
    const std::string what = std::string("on a host of ") + release.version;
    if (const Outcome outcome = trial(what, release.sizes); !outcome.death.empty()) return what + ": " + outcome.death;
  }
  return "";
}

}  // namespace mfdata::tools
