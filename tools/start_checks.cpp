#include "start_checks.hpp"

#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "control_client.hpp"
#include "interrupts.hpp"
#include "libmfdata/child_process.hpp"
#include "libmfdata/clock.hpp"
#include "libmfdata/listen_address.hpp"
#include "libmfdata/settings_places.hpp"
#include "progress.hpp"
#include "wire/start_trials.hpp"

using nlohmann::json;

namespace mfdata::tools {
namespace {

constexpr double kPatience_s = 3;  // a loader that works answers at once

bool owns(const Home& home) {
  struct stat st;
  return ::stat(home.root.c_str(), &st) == 0 && st.st_uid == ::geteuid();
}

// A listener is not made a second time: it may hold a port, or replace the socket of the one that runs.
class RunningListeners {
 public:
  explicit RunningListeners(const Home& home) {
    const auto reply = ask_loader(home, R"({"command":"status"})", kPatience_s);
    none_ = reply.is(Code::kGone);
    const json status = reply ? json::parse(*reply, nullptr, false) : json();
    known_ = none_ || (status.is_object() && status.value("state", "") == "running");
    if (none_ || !known_) return;
    for (const json& row : status.value("steps", json::array())) {
      if (!row.value("pids", json::array()).empty() || !row.value("draining", "").empty()) running_.insert(row.value("step", ""));
    }
  }
  // Perhaps, as long as the loader does not say.
  bool runs(const std::string& listener) const { return !known_ || running_.contains(listener); }

 private:
  bool none_ = false, known_ = false;
  std::set<std::string> running_;  // of steps, too
};

// Kills what did not come to an end, in whatever session it runs.
void try_all(StartTrials& trials, std::size_t all) {
  Progress progress("components started on trial:", all);
  std::size_t done = 0;
  while (!trials.finished() && !InterruptsNoted::any()) {
    ::usleep(1000);
    for (const pid_t pid : trials.running()) {
      int status = 0;
      if (::waitpid(pid, &status, WNOHANG) == pid) done += trials.child_died(pid, status);
    }
    trials.tick(monotonic_ns());
    progress.step(done);
  }
  progress.clear();
  end_children_but({});
}

}  // namespace

Result<Problems> try_components(const Home& home, const Settings& settings) {
  if (!owns(home)) {
    std::cerr << "components are not started on trial: run this as the owner of " << home.root.string() << '\n';
    return Problems{};
  }
  auto program = find_program("mfdata-worker");
  if (!program) return program.error();
  std::optional<RunningListeners> listeners;
  Problems problems;
  std::vector<StartTrials::Candidate> all;
  for (const PluginSettings& plugin : settings.plugins) {
    for (const StepSettings& step : plugin.steps) {
      if (step.numprocesses == 0) continue;
      if (step.kind == WorkerKind::kListener) {
        if (!listeners) listeners.emplace(home);
        if (listeners->runs(step.slashed())) {
          std::cerr << "not started on trial, since it runs: " << step.slashed() << '\n';
          continue;
        }
      }
      all.push_back({wire::settings_for(settings, home, plugin, step, problems), key_places(plugin)});
    }
  }
  // Listeners come last; of the others begins first what takes longest.
  std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) {
    const bool a_listens = a.settings.step.kind == WorkerKind::kListener, b_listens = b.settings.step.kind == WorkerKind::kListener;
    return a_listens != b_listens ? b_listens : a.settings.rules.size() > b.settings.rules.size();
  });
  ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  const InterruptsNoted noted;  // from the first process on
  const std::size_t count = all.size();
  StartTrials trials(*program, std::move(all), monotonic_ns());
  try_all(trials, count);
  if (InterruptsNoted::any()) return Error{Code::kGone, EINTR, "interrupted: the components are not all tried"};
  for (const Problems& more : {trials.problems(), trials.warnings()}) problems.insert(problems.end(), more.begin(), more.end());
  return problems;
}

Problems try_addresses(const Home& home, const Settings& settings) {
  const std::string& listen = settings.general.metrics_listen;
  auto free = can_listen(listen, 0);
  if (!free) free = can_listen(listen, status_of_loader(home, kPatience_s).value("metrics_port", 0));
  if (free) return {};
  return {{place_of_metrics(home), free.error().text, "", Severity::kError}};
}

}  // namespace mfdata::tools
