// mfdata-plugin list, install, remove, rollback, develop.
#include "plugin_commands.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>

#include "commands.hpp"
#include "control_client.hpp"
#include "libmfdata/clock.hpp"
#include "libmfdata/home_owner.hpp"
#include "libmfdata/printable.hpp"
#include "progress.hpp"
#include "treatments.hpp"

using nlohmann::json;

namespace mfdata::tools {
namespace {

// A broken mfdata.toml leaves open what is asked for; a broken plugin may be the one that is to be replaced.
Result<GeneralSettings> settings_of(const Home& home) {
  Problems problems;
  GeneralSettings settings = load_general_settings(home, problems);
  return problems.empty() ? Result<GeneralSettings>(std::move(settings)) : Error{Code::kBadConfig, 0, problems.front().spell()};
}

// Has a running loader take up what has changed. Its answer is the last word of the command.
int tell_loader(const Home& home, const std::string& done) {
  constexpr double kPatience_s = 400;
  const auto answer = ask_for_reload(home, true, kPatience_s);
  if (answer.is(Code::kGone)) {
    std::cout << done << '\n';
    return 0;
  }
  const json parsed = answer ? json::parse(*answer, nullptr, false) : json();
  if (parsed.is_object() && parsed.contains("reloaded")) {
    std::cout << done << "; the loader takes it up\n";
    WaitNotice(home).tell();  // workers of the version before
    return 0;
  }
  std::cout << done << '\n';
  return fail("the loader did not take it up, and goes on as before: " + (parsed.is_object() ? parsed.value("error", "it gave no reason")
                                                                          : answer           ? *answer
                                                                                             : answer.error().text) +
              "\nMend it (keys of a plugin are set in etc/plugins.d/NAME.toml), and then: mfdata reload. Until then no other change is taken "
              "up, unless the plugin is stopped (mfdata-plugin stop NAME) or removed");
}

// What the loader says of each plugin: "running", "draining 1.0.0", "stopped" ...; empty: none runs.
json states_of(const Home& home) {
  const auto answer = ask_loader(home, R"({"command":"status"})");
  const json status = answer ? json::parse(*answer, nullptr, false) : json();
  return status.is_object() ? status.value("steps", json::array()) : json();
}

std::string state_of_step(const json& step) {
  const std::string old = step.value("draining", ""), word = step.value("state", "");
  return old.empty() || word == "suspended" || word == "does not start" ? word : "draining " + old;
}

// That of its step which needs somebody most, with the step's name where others are better off.
std::string state_of(const json& steps, const InstalledPlugin& plugin) {
  if (!steps.is_array()) return "no loader";
  if (plugin.steps.empty()) return "rules only";
  constexpr std::array kBestFirst = {"running", "waiting", "not started", "ending", "draining", "paused", "stopped", "suspended", "does not start"};
  const auto rank = [&](const std::string& state) {
    return std::find_if(kBestFirst.begin(), kBestFirst.end(), [&](const char* word) { return state.starts_with(word); }) - kBestFirst.begin();
  };
  std::string version, worst, of_step;
  bool differ = false;
  for (const json& step : steps) {
    const std::string name = step.value("step", "");
    if (!name.starts_with(plugin.name + '/')) continue;
    const std::string state = state_of_step(step);
    differ = differ || (!worst.empty() && state != worst);
    if (!worst.empty() && rank(state) <= rank(worst)) continue;
    version = step.value("version", "");
    worst = state;
    of_step = name.substr(plugin.name.size() + 1);
  }
  if (worst.empty()) return "not taken up";
  return version + (worst == "running" ? "" : differ ? ", " + of_step + ' ' + worst : ", " + worst);
}

// Waits until nothing runs from the folder of a plugin that was removed: its workers, and those that ask its predicates. Only
// a loader that is not there has none.
bool ended(const Home& home, const std::string& name) {
  constexpr std::int64_t kLimit_ns = 10'000'000'000;
  for (const std::int64_t until = monotonic_ns() + kLimit_ns; monotonic_ns() < until; ::usleep(50'000)) {
    const auto answer = ask_loader(home, R"({"command":"status"})");
    if (answer.is(Code::kGone)) return true;
    const json status = answer ? json::parse(*answer, nullptr, false) : json();
    const json used = status.is_object() ? status.value("plugins_in_use", json()) : json();
    if (used.is_array() && std::find(used.begin(), used.end(), json(name)) == used.end()) return true;
  }
  return false;
}

}  // namespace

int list_plugins(const Home& home, bool as_json) {
  json out = json::array();
  bool broken = false;
  const auto plugins = mfdata::list_plugins(home);
  const json steps = states_of(home);
  if (!as_json) std::printf("%-24s %-12s %-24s %-12s %-24s %s\n", "NAME", "VERSION", "RUNS", "KEPT", "STEPS", "SUMMARY");
  for (const InstalledPlugin& plugin : plugins) {
    broken = broken || !plugin.problem.empty();
    const std::string state = state_of(steps, plugin);
    out.push_back({{"name", plugin.name},
                   {"version", plugin.version},
                   {"summary", plugin.summary},
                   {"steps", plugin.steps},
                   {"runs", state},
                   {"versions", plugin.versions},
                   {"previous", plugin.previous},
                   {"developed", plugin.developed},
                   {"problem", plugin.problem}});
    if (as_json) continue;
    std::printf("%-24s %-12s %-24s %-12s %-24s %s\n", plugin.name.c_str(), plugin.version.c_str(), state.c_str(), joined(plugin.versions, " ").c_str(),
                joined(plugin.steps, " ").c_str(), printable(plugin.developed.empty() ? plugin.summary : "linked to " + plugin.developed, 300).c_str());
    if (!plugin.problem.empty()) std::printf("    %s\n", printable(plugin.problem).c_str());
  }
  if (as_json) std::cout << out.dump(2, ' ', false, json::error_handler_t::replace) << '\n';
  return broken ? 1 : 0;
}

int install_plugin(const Home& home, const std::string& what, const InstallOptions& options) {
  ::umask(022);
  if (auto owner = become_owner(home); !owner) return fail(owner.error().text);
  const auto settings = settings_of(home);
  if (!settings) return fail(settings.error().text);
  std::string path = what;
  struct stat st;
  if (what.find('/') == std::string::npos && ::stat(what.c_str(), &st) != 0) {  // neither here: one that came with the installation
    auto builtin = find_builtin_plugin(what);
    if (!builtin) return fail(printable(what, 300) + " is neither a folder, nor a package, nor a plugin that came with the installation");
    path = *builtin;
  }
  Progress progress("installing " + printable(what, 100) + " ...", 0);
  progress.step(0);
  auto installed = mfdata::install_plugin(home, *settings, path, options);
  progress.clear();
  if (!installed) return fail(installed.error().text);
  return tell_loader(home, "installed " + installed->name + ' ' + installed->version);
}

int remove_plugin(const Home& home, const std::string& name, RemoveOptions options, bool clean) {
  if (auto owner = become_owner(home); !owner) return fail(owner.error().text);
  options.running = !ask_loader(home, R"({"command":"status"})").is(Code::kGone);
  if (auto removed = mfdata::remove_plugin(home, name, options); !removed) return fail(removed.error().text);
  const std::string done = "removed " + name + "; files that wait for it stay where they are";
  if (const int told = tell_loader(home, done); told != 0) return told;  // its workers go on
  if (!ended(home, name)) {
    std::cout << "workers still finish files with it: its folder goes when the command is given again after that, or after a day\n";
    return 0;
  }
  const auto finished = mfdata::finish_removal(home, name, clean);
  return finished ? 0 : fail(finished.error().text);
}

int rollback_plugin(const Home& home, const std::string& name, const std::string& version, bool force) {
  if (auto owner = become_owner(home); !owner) return fail(owner.error().text);
  auto back = mfdata::rollback_plugin(home, name, force, version);
  if (!back) return fail(back.error().text);
  return tell_loader(
      home, back->name + " is back at " + back->version +
                (back->previous.empty() || back->previous == back->version ? "" : " (" + back->previous + " is kept: rollback again returns to it)"));
}

int develop_plugin(const Home& home, const std::string& folder, bool force) {
  if (auto owner = become_owner(home); !owner) return fail(owner.error().text);
  auto linked = mfdata::develop_plugin(home, folder, force);
  if (!linked) return fail(linked.error().text);
  return tell_loader(home, linked->name + " is linked to " + linked->developed + ": what is built there runs next");
}

int start_plugin(const Home& home, const std::string& name, bool starts) {
  const auto answer = ask_loader(
      home, json{{"command", starts ? "start_plugin" : "stop_plugin"}, {"plugin", name}}.dump(-1, ' ', false, json::error_handler_t::replace));
  if (!answer) return fail(answer.error().text);
  const json parsed = json::parse(*answer, nullptr, false);
  if (!parsed.is_object() || !parsed.contains("stopped")) return fail(parsed.is_object() ? parsed.value("error", *answer) : *answer);
  std::cout << name << (starts ? " is started\n" : " is stopped: its workers finish their file, others wait until it is started\n");
  if (!starts) WaitNotice(home).tell();
  return 0;
}

}  // namespace mfdata::tools
