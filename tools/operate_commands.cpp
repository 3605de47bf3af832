// status and stop.
#include <signal.h>
#include <time.h>

#include <algorithm>
#include <boost/filesystem/operations.hpp>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>
#include <set>

#include "commands.hpp"
#include "control_client.hpp"
#include "libmfdata/counted.hpp"
#include "libmfdata/settings_places.hpp"
#include "libmfdata/spool_layout.hpp"
#include "libmfdata/waiting_file.hpp"
#include "treatments.hpp"

namespace fs = boost::filesystem;
using nlohmann::json;

namespace mfdata::tools {
namespace {

std::size_t entries(const fs::path& directory) {
  boost::system::error_code code;
  std::size_t count = 0;
  for (fs::directory_iterator at(directory, code), end; !code && at != end; at.increment(code)) ++count;
  return count;
}

// Files per directory of the spool, as they stand on disk: true with and without a loader.
json on_disk(const std::string& data_dir) {
  json out = {{"steps", json::object()}, {"waiting", json::object()}, {"in_hand", json::object()}, {"trash", json::object()}, {"taken_in", 0}};
  boost::system::error_code code;
  for (fs::directory_iterator at(data_dir, code), end; !code && at != end; at.increment(code)) {
    const std::string name = at->path().filename().string();
    if (!name.starts_with("step.")) continue;
    const std::string step = name.substr(5);
    const bool waits = step.ends_with("_reinject");
    const std::size_t count = entries(at->path());
    if (waits && count > 0) out["waiting"][step.substr(0, step.size() - 9)] = count;
    if (!waits) out["steps"][step] = count;
  }
  for (fs::directory_iterator step(fs::path(data_dir) / "tmp", code), end; !code && step != end; step.increment(code)) {
    if (step->path().filename().string().find('.') == std::string::npos) continue;  // commit, accept, context
    std::size_t files = 0;
    boost::system::error_code gone;
    for (fs::directory_iterator slot(step->path(), gone); !gone && slot != end; slot.increment(gone)) {
      files += entries(slot->path() / "in") + entries(slot->path() / "txn/in");
    }
    if (files > 0) out["in_hand"][step->path().filename().string()] = files;
  }
  // Arrivals that are no longer where they arrived, and not yet before a step: a file of somebody else that still grows, for example.
  std::size_t taken_in = 0;
  for (fs::directory_iterator at(fs::path(data_dir) / layout::kAccept, code), end; !code && at != end; at.increment(code)) {
    boost::system::error_code gone;
    taken_in += fs::is_directory(at->symlink_status(gone));
  }
  out["taken_in"] = taken_in;
  for (fs::directory_iterator at(fs::path(data_dir) / "trash", code), end; !code && at != end; at.increment(code)) {
    std::size_t files = 0;
    boost::system::error_code gone;
    for (fs::directory_iterator file(at->path(), gone); !gone && file != end; file.increment(gone)) {
      const std::string suffix = file->path().extension().string();
      files += suffix != ".json" && suffix != ".tags";
    }
    if (files > 0) out["trash"][at->path().filename().string()] = files;
  }
  return out;
}

// Steps before which files wait, and that nobody configures. Those that the loader runs are known, and of the others the files of
// their own plugins tell: a home may have too many rules to read all of them for this.
json without_plugin(const Home& home, const GeneralSettings& general, const json& status) {
  std::set<std::string> known;
  for (const json& row : status["steps"]) {
    if (row.value("state", "") != "ending") known.insert(row.value("step", ""));
  }
  json out = json::object();
  for (const auto& [step, count] : status["disk"]["steps"].items()) {
    std::string slashed = step;
    if (const std::size_t dot = slashed.find('.'); dot != std::string::npos) slashed.replace(dot, 1, "/");
    if (count.get<std::size_t>() > 0 && !known.contains(slashed) && !is_configured(home, general, slashed).value_or(true)) out[slashed] = count;
  }
  return out;
}

void print_steps(const json& steps) {
  std::printf("%-32s %-10s %-14s %8s %10s %9s\n", "STEP", "VERSION", "STATE", "QUEUED", "IN FLIGHT", "WORKERS");
  for (const json& step : steps) {
    std::printf("%-32s %-10s %-14s %8lld %10lld %5lld/%lld\n", step["step"].get<std::string>().c_str(), step["version"].get<std::string>().c_str(),
                step["state"].get<std::string>().c_str(), step["queued"].get<long long>(), step["in_flight"].get<long long>(),
                step["workers"].get<long long>(), step["numprocesses"].get<long long>());
    if (const auto skipped = step.value("skipped", 0LL); skipped > 0) {
      const bool kept = step.value("unmatched_policy", "") == "keep";
      std::printf("    skipped since the start: %lld, %s\n", skipped, kept ? "kept: mfdata trash list --reason unmatched" : "deleted (its unmatched_policy or no_match_policy)");
    }
    if (const std::string old = step.value("draining", ""); !old.empty()) std::printf("    a worker of version %s finishes its file\n", old.c_str());
    if (const std::string failure = step.value("failure", ""); !failure.empty()) {
      std::printf("    %s: %s\n", step["workers"] == 0 ? "does not start" : "another worker does not start", failure.c_str());
    }
  }
}

constexpr double kTakesLong_s = 10;

void print_treatments(const Home& home, const json& status) {
  for (const json& treatment : treatments_in_hand(status)) {
    const std::string step = treatment["step"].get<std::string>();
    if (treatment.value("age_s", 0.0) >= kTakesLong_s) {
      std::cout << "takes long: " << step << " treats " << treatment_text(home, step, treatment) << "; to end it: mfdata kill " << step << '\n';
    }
  }
}

// Without a loader that tells of its steps, what stands before them is there all the same.
void print_disk(const json& disk) {
  const auto print = [](const char* what, const json& counts) {
    for (const auto& [name, count] : counts.items()) {
      if (count.get<std::size_t>() > 0) std::cout << what << name << ' ' << count << '\n';
    }
  };
  print("waits on disk: ", disk["steps"]);
  print("was in hand: ", disk["in_hand"]);
  print("arrivals on disk: ", disk["arrivals"]);
}

void print_refused(const json& out, bool all_asked) {
  for (const json& refused : out["refused"]) std::cout << "refused: " << refused["path"].get<std::string>() << ": " << refused["reason"].get<std::string>() << '\n';
  const std::size_t shown = out["refused"].size(), all = out.value("refused_total", shown);
  if (shown < all) {
    std::cout << "refused: " << shown << " of " << all << " refusals are shown; "
              << (all_asked ? "the loader tells of no more at once\n" : "to see all: mfdata status --refused (with --json for programs)\n");
  }
}

// In the directories that are watched: by a running loader, or without one as they are configured.
json arrivals_on_disk(const Home& home, const GeneralSettings& general, const json& status) {
  json out = json::object();
  const auto count = [&](const std::string& directory, const std::vector<std::string>& ignore) {
    std::size_t files = 0;
    boost::system::error_code code;
    for (fs::directory_iterator at(fs::path(directory).is_absolute() ? fs::path(directory) : fs::path(general.data_dir) / directory, code), end;
         !code && at != end; at.increment(code)) {
      boost::system::error_code gone;
      files += !is_ignored(ignore, at->path().filename().string()) && !fs::is_directory(at->symlink_status(gone));
    }
    out[directory] = files;
  };
  if (status.contains("watched")) {
    for (const json& watched : status["watched"]) count(watched["directory"].get<std::string>(), watched["ignore"].get<std::vector<std::string>>());
    return out;
  }
  for (const Watched& watched : configured_watches(home)) count(watched.directory, watched.ignore);
  return out;
}

// What components say of themselves, unless all is well.
void print_health(const json& steps) {
  for (const json& step : steps) {
    if (!step.contains("health") || step["health"]["state"] == "ok") continue;
    std::cout << step["health"]["state"].get<std::string>() << ": " << step["step"].get<std::string>() << " for "
              << static_cast<long>(step["health"]["since_s"].get<double>()) << " s: " << step["health"]["text"].get<std::string>() << '\n';
  }
}

// Files that wait behind the others, and why: no room for them, or the system refuses them.
void print_held_back(const json& steps) {
  for (const json& step : steps) {
    const json held = step.value("held_back", json{{"count", 0}, {"files", json::array()}});
    for (const json& one : held["files"]) {
      std::cout << "held back: " << step["step"].get<std::string>() << ' ' << one["file"].get<std::string>() << " since "
                << static_cast<long>(one["waits_s"].get<double>()) << " s, tried " << counted(one["attempts"].get<std::uint64_t>(), "time") << ": " << one["reason"].get<std::string>() << '\n';
    }
    const std::size_t more = held["count"].get<std::size_t>() - held["files"].size();
    if (more > 0) std::cout << "held back: " << step["step"].get<std::string>() << ' ' << more << " more\n";
  }
}

}  // namespace

int status(const std::string& option, bool as_json, bool all_refused) {
  auto home = find_home(option);
  if (!home) return fail(home.error().text);
  Problems problems;
  const GeneralSettings general = load_general_settings(*home, problems);
  auto reply = ask_loader(*home, json{{"command", "status"}, {"refused", all_refused ? "all" : "some"}}.dump());
  if (!reply && !reply.is(Code::kGone)) fail(reply.error().text);  // what stands on disk is shown all the same
  json out = reply ? json::parse(*reply, nullptr, false)
                   : json{{"state", reply.is(Code::kGone) ? "not running" : "not answering"}, {"steps", json::array()}, {"refused", json::array()}};
  if (out.is_discarded()) return fail("the loader's answer is no JSON");
  out["disk"] = on_disk(general.data_dir);
  out["disk"]["arrivals"] = arrivals_on_disk(*home, general, out);
  out["no_plugin"] = without_plugin(*home, general, out);
  if (as_json) {
    std::cout << out.dump(2, ' ', false, json::error_handler_t::replace) << '\n';
    return reply ? 0 : 1;
  }
  std::cout << "loader: " << out["state"].get<std::string>();
  if (reply) std::cout << ", process " << out["pid"] << ", entrances " << out["entrances"].get<std::string>() << ", " << out["files_done"] << " treatments";
  std::cout << '\n';
  if (out.value("/configuration/reading"_json_pointer, false)) std::cout << "a new configuration is being read and tried\n";
  if (const std::string problem = out.value("/configuration/problem"_json_pointer, ""); !problem.empty()) std::cout << "configuration: " << problem << '\n';
  if (const auto waits_s = out.value("collection_waits_s", 0LL); waits_s > 0) {
    std::cout << "collection: nothing is removed by its age for " << counted(static_cast<std::uint64_t>(waits_s + 59) / 60, "minute") << ", since the clock went forward by more than time has passed\n";
  }
  for (const json& problem : out.value("log_problems", json::array())) std::cout << "log: " << problem.get<std::string>() << "; its lines are on the loader's stderr\n";
  if (reply) {
    print_steps(out["steps"]);
    print_health(out["steps"]);
    print_held_back(out["steps"]);
    print_treatments(*home, out);
  } else {
    print_disk(out["disk"]);
  }
  if (const auto files = out["disk"]["taken_in"].get<std::size_t>(); files > 0) std::cout << "being taken in: " << files << '\n';
  for (const auto& [step, count] : out["disk"]["waiting"].items()) std::cout << "waiting for another attempt: " << step << ' ' << count << '\n';
  for (const auto& [step, count] : out["disk"]["trash"].items()) std::cout << "in trash: " << step << ' ' << count << '\n';
  for (const auto& [step, count] : out["no_plugin"].items()) std::cout << "no plugin: " << step << ' ' << counted(count.get<std::uint64_t>(), "file waits", "files wait") << " until it is installed\n";
  for (const json& polled : out.value("polled", json::array())) std::cout << "listed every second: " << polled.get<std::string>() << '\n';
  print_refused(out, all_refused);
  for (const Problem& problem : problems) std::cerr << problem.spell() << '\n';
  return reply ? 0 : 1;
}

int stop(const std::string& option, double timeout_s) {
  auto home = find_home(option);
  if (!home) return fail(home.error().text);
  auto reply = ask_loader(*home, R"({"command":"stop"})");
  if (!reply) return fail(reply.error().text);
  const timespec pause{0, 20'000'000};
  WaitNotice notice(*home);
  for (double waited = 0; waited < timeout_s; waited += 0.02) {
    if (lock_file(home->loader_lock(), true, false)) {
      std::cout << "stopped\n";
      return 0;
    }
    notice.look();
    ::nanosleep(&pause, nullptr);
  }
  notice.tell();
  return fail("the loader still finishes files after " + std::to_string(static_cast<int>(timeout_s)) + " s; ask again, or wait with --timeout");
}

// What only concerns workers is taken up at once; otherwise a new loader begins, which knows its generation.
int reload(const std::string& option, double timeout_s, bool tries) {
  auto home = find_home(option);
  if (!home) return fail(home.error().text);
  const auto generation = [&] {
    const auto reply = ask_loader(*home, R"({"command":"status"})");
    const json status = reply ? json::parse(*reply, nullptr, false) : json();
    return status.is_object() && status.value("state", "") == "running" ? status.value("/configuration/generation"_json_pointer, 0) : 0;
  };
  const int before = generation();
  const auto reply = ask_for_reload(*home, tries, timeout_s);
  if (!reply) return fail(reply.error().text);
  const json answer = json::parse(*reply, nullptr, false);
  if (!answer.is_object() || !answer.contains("reloaded")) return fail("nothing is changed, the loader goes on as before: " + (answer.is_object() ? answer.value("error", *reply) : *reply));
  WaitNotice notice(*home);
  const timespec pause{0, 20'000'000};
  for (double waited = 0; waited < timeout_s; waited += 0.02) {
    if (generation() > before) {
      const auto status = ask_loader(*home, R"({"command":"status"})");
      const json now = status ? json::parse(*status, nullptr, false) : json();
      const std::string problem = now.is_object() ? now.value("/configuration/problem"_json_pointer, "") : "";
      if (!problem.empty()) return fail("the new configuration cannot be used, the one before runs again: " + problem);
      std::cout << "reloaded\n";
      notice.tell();
      return 0;
    }
    notice.look();
    ::nanosleep(&pause, nullptr);
  }
  notice.tell();
  return fail("workers still finish their files after " + std::to_string(static_cast<int>(timeout_s)) + " s; everything begins anew after that");
}

}  // namespace mfdata::tools
