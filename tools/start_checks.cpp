#include "start_checks.hpp"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>
#include <set>

#include "control_client.hpp"
#include "libmfdata/can_listen.hpp"
#include "libmfdata/child_process.hpp"
#include "libmfdata/clock.hpp"
#include "libmfdata/settings_places.hpp"
#include "wire/start_trials.hpp"

using nlohmann::json;

namespace mfdata::tools {
namespace {

json status_of(const Home& home) {
  const auto reply = ask_loader(home, R"({"command":"status"})");
  const json status = reply ? json::parse(*reply, nullptr, false) : json();
  return status.is_object() ? status : json::object();
}

bool owns(const Home& home) {
  struct stat st;
  return ::stat(home.root.c_str(), &st) == 0 && st.st_uid == ::geteuid();
}

// "plugin/name" of all that runs now.
std::set<std::string> running(const Home& home) {
  std::set<std::string> all;
  for (const json& row : status_of(home).value("steps", json::array())) {
    if (row.value("workers", 0) > 0) all.insert(row.value("step", ""));
  }
  return all;
}

}  // namespace

Result<Problems> try_components(const Home& home, const Settings& settings) {
  if (!owns(home)) {
    std::cerr << "components are not started on trial: run this as the owner of " << home.root.string() << '\n';
    return Problems{};
  }
  auto program = find_program("mfdata-worker");
  if (!program) return program.error();
  std::set<std::string> held;
  Problems problems;
  std::vector<StartTrials::Candidate> all;
  for (const PluginSettings& plugin : settings.plugins) {
    for (const StepSettings& step : plugin.steps) {
      if (step.numprocesses == 0) continue;
      if (step.kind == WorkerKind::kListener && held.empty()) held = running(home);
      if (step.kind == WorkerKind::kListener && held.contains(step.slashed())) continue;
      all.push_back({wire::settings_for(settings, home, plugin, step, problems), key_places(plugin)});
    }
  }
  // What takes longest begins first.
  std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.settings.rules.size() > b.settings.rules.size(); });
  ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  StartTrials trials(*program, std::move(all), monotonic_ns());
  while (!trials.finished()) {
    ::usleep(1000);
    for (const pid_t pid : trials.running()) {
      int status = 0;
      if (::waitpid(pid, &status, WNOHANG) == pid) trials.child_died(pid, status);
    }
    trials.tick(monotonic_ns());
  }
  for (const pid_t left : children_of_this_process()) {  // what plugins have started in sessions of their own
    ::kill(left, SIGKILL);
    ::waitpid(left, nullptr, 0);
  }
  problems.insert(problems.end(), trials.problems().begin(), trials.problems().end());
  return problems;
}

Problems try_addresses(const Home& home, const Settings& settings) {
  const std::string& listen = settings.general.metrics_listen;
  auto free = can_listen(listen);
  if (free) return {};
  const int port = status_of(home).value("metrics_port", 0);
  if (port != 0 && listen.ends_with(':' + std::to_string(port))) return {};
  return {{place_of_metrics(home), free.error().text, "", Severity::kError}};
}

}  // namespace mfdata::tools
