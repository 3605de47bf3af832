// What the control socket answers.
#include <boost/filesystem.hpp>
#include <nlohmann/json.hpp>

#include "libmfdata/printable.hpp"
#include "loader.hpp"

namespace mfdata {

using nlohmann::json;

static const char* word(Schedule::Mood mood) {
  switch (mood) {
    case Schedule::Mood::kRunning: return "running";
    case Schedule::Mood::kPaused: return "waiting";
    case Schedule::Mood::kSuspended: return "suspended";
  }
  return "";
}

static std::string dumped(const json& value) { return value.dump(-1, ' ', false, json::error_handler_t::replace); }

// A set of names that outlives the loader, in one rename.
static Result<void> remember(const Home& home, const boost::filesystem::path& file, const std::set<std::string>& names) {
  const std::string path = file.string(), fresh = path + ".new";
  auto disk = Disk::open(home.run().string());
  if (!disk) return disk.error();
  auto written = disk->create_anew(fresh);
  if (!written) return written.error();
  MFDATA_TRY(write_all(written->get(), dumped(json(names)), fresh));
  MFDATA_TRY(sync_file(written->get(), fresh));
  return disk->replace(fresh, path);
}

static std::set<std::string> recalled(const boost::filesystem::path& file) {
  std::set<std::string> names;
  const json remembered = json::parse(small_file(file).value_or("[]"), nullptr, false);
  for (const json& name : remembered.is_array() ? remembered : json::array()) {
    if (name.is_string()) names.insert(name.get<std::string>());
  }
  return names;
}

json Loader::described(std::size_t step, const WorkerPool::InHand& in_hand) const {
  std::size_t files = 0;
  const std::string name = name_in_hand(step, in_hand, files);
  return {{"name", name},
          {"files", files},
          {"age_s", static_cast<double>(EventLoop::now_ns() - in_hand.since) / 1e9},
          {"pid", in_hand.pid},
          {"slot", in_hand.slot},
          {"version", in_hand.version},
          {"stopping", in_hand.stopping}};
}

std::string Loader::status(bool all_refused) const {
  json out;
  out["version"] = MFDATA_VERSION;
  out["pid"] = ::getpid();
  out["uptime_s"] = static_cast<double>(EventLoop::now_ns() - started_ns_) / 1e9;
  out["state"] = next_ ? "reloading" : stopping_ ? "stopping" : "running";
  out["configuration"] = {{"generation", generation_}, {"problem", configuration_problem_}, {"reading", reloads()}};
  out["files_done"] = files_done_;
  out["results"] = results_;
  out["in_hand"] = schedule_->in_hand();
  out["entrances"] = no_space_ ? "closed: no space" : under_pressure_ ? "closed: max_queue" : "open";
  const std::int64_t waited_s = (EventLoop::now_ns() - collection_waits_since_ns_) / kSecond;
  out["collection_waits_s"] = collection_waits_s_ == 0 ? 0 : std::max<std::int64_t>(1, collection_waits_s_ - waited_s);
  out["log_problems"] = log_.problems();
  out["listing"] = watcher_->scanning();
  out["metrics_port"] = metrics_.port();
  out["waiting"] = waiting_->size();
  out["followed_files"] = follow_.size();  // of inject --wait
  out["plugins_in_use"] = pool_->plugins_in_use();
  out["steps"] = json::array();
  for (std::size_t step = 0; step < steps_.size(); ++step) {
    const StepSettings& settings = *steps_[step].settings;
    if (steps_[step].retired && pool_->idle(step)) continue;
    json row;
    row["step"] = settings.slashed();
    row["version"] = steps_[step].plugin->version;
    const std::string failure = pool_->last_failure(step);
    const std::size_t workers = pool_->count(step, WorkerPool::State::kReady);
    row["state"] = steps_[step].retired                 ? "ending"
                   : settings.numprocesses == 0         ? "not started"
                   : stopped_.contains(settings.plugin) ? "stopped"
                   : !failure.empty() && workers == 0   ? "does not start"
                   : schedule_->held(step)              ? "paused"
                                                        : word(schedule_->mood(step));
    row["queued"] = schedule_->queued(step);
    row["in_flight"] = schedule_->in_flight(step);
    if (settings.kind == WorkerKind::kListener) row["deposits"] = steps_[step].deposits;
    row["skipped"] = steps_[step].skipped;
    row["unmatched_policy"] = settings.keep_unmatched ? "keep" : "delete";
    row["workers"] = workers;
    row["numprocesses"] = settings.numprocesses;
    row["pids"] = pool_->pids(step);
    row["failure"] = failure;
    row["draining"] = pool_->draining(step);
    row["in_hand"] = json::array();
    for (const WorkerPool::InHand& one : pool_->in_hand(step)) row["in_hand"].push_back(described(step, one));
    if (const std::int64_t until = schedule_->rests_until(step); until > 0) row["rests_s"] = static_cast<double>(until - EventLoop::now_ns()) / 1e9;
    row["held_back"] = held_back(step);
    if (const auto health = health_.of(step)) {
      row["health"] = {{"state", health_word(health->state)},
                       {"text", printable(health->text)},
                       {"since_s", static_cast<double>(EventLoop::now_ns() - health->since) / 1e9}};
    }
    out["steps"].push_back(std::move(row));
  }
  out["watched"] = json::array();
  for (std::size_t number = 0; number < sources_.size(); ++number) {
    if (sources_[number].kind != SourceKind::kWatched || sources_[number].takers.empty()) continue;
    json steps = json::array();
    for (const auto& [step, source] : sources_[number].takers) steps.push_back(steps_[step].settings->slashed());
    out["watched"].push_back({{"directory", sources_[number].path}, {"ignore", watcher_->source(number).ignore}, {"steps", steps}});
  }
  out["polled"] = json::array();  // directories that are listed every second
  for (std::size_t source = 0; source < sources_.size(); ++source) {
    if (!sources_[source].takers.empty() && watcher_->polled(source)) out["polled"].push_back(printable(spool_.disk().absolute(sources_[source].path)));
  }
  constexpr std::size_t kShownRefusals = 100, kMaxShownBytes = 3 << 20;  // what the socket takes at once
  out["refused"] = json::array();
  out["refused_total"] = refusals_.size();
  std::size_t bytes = 0;
  for (const auto& [path, refusal] : refusals_.shown()) {
    json row = {{"path", printable(path)}, {"reason", refusal.reason}};
    bytes += dumped(row).size() + 1;
    if (bytes > kMaxShownBytes || (!all_refused && out["refused"].size() >= kShownRefusals)) break;
    out["refused"].push_back(std::move(row));
  }
  return dumped(out);
}

// What no room was found for, or the system refused: it is tried again, after growing pauses.
json Loader::held_back(std::size_t step) const {
  constexpr std::size_t kShown = 20;
  const std::int64_t now = EventLoop::now_ns();
  const auto seconds = [](std::int64_t nanoseconds) { return static_cast<double>(std::max<std::int64_t>(0, nanoseconds)) / 1e9; };
  const std::vector<Schedule::HeldBack> all = schedule_->held_back(step);
  json files = json::array();
  for (const Schedule::HeldBack& one : all) {
    if (files.size() >= kShown) break;
    files.push_back({{"file", printable(one.file.name)},
                     {"reason", one.reason},
                     {"attempts", one.attempts},
                     {"waits_s", seconds(now - one.since)},
                     {"again_in_s", seconds(one.due - now)}});
  }
  return {{"count", all.size()}, {"files", std::move(files)}};
}

// A paused step stays so over restarts, until it is resumed.
std::string Loader::pause(const std::string& name, bool paused) {
  std::vector<std::string> known;
  for (std::size_t step = 0; step < steps_.size(); ++step) {
    const StepSettings& settings = *steps_[step].settings;
    if (settings.kind != WorkerKind::kStep || steps_[step].retired) continue;
    known.push_back(settings.slashed());
    if (settings.slashed() != name) continue;
    if (schedule_->held(step) != paused) log_.write(Level::kInfo, name + (paused ? " is paused: its files wait until it is resumed" : " is resumed"));
    schedule_->hold(step, paused);
    if (paused) take_back(step);
    paused ? void(paused_.insert(name)) : void(paused_.erase(name));
    if (auto remembered = remember(home_, home_.paused_steps(), paused_); !remembered) {
      return dumped(
          {{"error", name + (paused ? " is paused" : " is resumed") + ", but it cannot be remembered over a restart: " + remembered.error().text}});
    }
    return dumped({{"step", name}, {"paused", paused}});
  }
  const auto near = near_miss(name, known);
  return dumped({{"error", "there is no step \"" + printable(name, 100) + '"' + (near ? ", did you mean \"" + *near + "\"?" : "")}});
}

// A stopped plugin has no workers, over restarts too, until it is started; its files wait.
std::string Loader::start_plugin(const std::string& name, bool starts) {
  // One that is installed, and whose configuration is not taken up, may be stopped: for a reload it is in nobody's way then.
  boost::system::error_code none;
  if (!settings_->find_plugin(name) && !(valid_plugin_name(name) && boost::filesystem::exists(home_.current(name), none))) {
    std::vector<std::string> known;
    for (const PluginSettings& plugin : settings_->plugins) known.push_back(plugin.name);
    const auto near = near_miss(name, known);
    return dumped({{"error", "there is no plugin \"" + printable(name, 100) + '"' + (near ? ", did you mean \"" + *near + "\"?" : "")}});
  }
  if (stopped_.contains(name) == starts)
    log_.write(Level::kInfo, name + (starts ? " is started" : " is stopped: its files wait until it is started"));
  starts ? void(stopped_.erase(name)) : void(stopped_.insert(name));
  for (std::size_t step = 0; step < steps_.size(); ++step) {
    if (steps_[step].plugin->name == name) pool_->hold(step, !starts);
  }
  pool_->tick(EventLoop::now_ns());
  if (auto remembered = remember(home_, home_.stopped_plugins(), stopped_); !remembered) {
    return dumped(
        {{"error", name + (starts ? " is started" : " is stopped") + ", but it cannot be remembered over a restart: " + remembered.error().text}});
  }
  return dumped({{"plugin", name}, {"stopped", !starts}});
}

std::string Loader::name_in_hand(std::size_t step, const WorkerPool::InHand& in_hand, std::size_t& files) const {
  const auto begun = schedule_->begun(in_hand.worker, in_hand.job, files);
  files = std::max<std::size_t>(files, 1);
  return begun ? printable(begun->name) : "a file of " + steps_[step].settings->slashed();
}

// Hung treatments end at once. The step itself goes on: with the same file, unless it is charged often enough.
std::string Loader::kill_treatments(const std::string& name, bool all, bool charge) {
  json ended = json::array();
  std::vector<std::string> known;
  for (std::size_t step = 0; step < steps_.size(); ++step) {
    if (steps_[step].settings->kind != WorkerKind::kStep) continue;
    if (!steps_[step].retired || !pool_->idle(step)) known.push_back(steps_[step].settings->slashed());
    if (steps_[step].settings->slashed() != name) continue;
    for (const WorkerPool::InHand& one : pool_->kill_treatments(step, all, charge)) {
      ended.push_back(described(step, one));
      log_.write(Level::kWarning, name + ": an operator ended the treatment of " + ended.back()["name"].get<std::string>() + " by worker " +
                                      std::to_string(one.pid) + (charge ? "; it counts as a crash" : "; it counts as no crash"));
    }
  }
  if (std::find(known.begin(), known.end(), name) != known.end()) return dumped({{"step", name}, {"ended", ended}});
  const auto near = near_miss(name, known);
  return dumped({{"error", "there is no step \"" + printable(name, 100) + '"' + (near ? ", did you mean \"" + *near + "\"?" : "")}});
}

// What its workers have not begun.
void Loader::take_back(std::size_t step) {
  for (const WorkerId worker : schedule_->workers_of(step)) schedule_->revoked(worker, pool_->revoke(worker, schedule_->last_id(worker)));
}

void Loader::recall() {
  paused_ = recalled(home_.paused_steps());
  stopped_ = recalled(home_.stopped_plugins());
}

void Loader::hold_as_before(std::size_t step) {
  const std::string name = steps_[step].settings->slashed(), plugin = steps_[step].plugin->name;
  if (stopped_.contains(plugin) != pool_->held(step)) {
    pool_->hold(step, stopped_.contains(plugin));
    if (pool_->held(step)) log_.write(Level::kWarning, name + " is stopped since an earlier run: mfdata-plugin start " + plugin);
  }
  if (paused_.contains(name) != schedule_->held(step)) {
    schedule_->hold(step, paused_.contains(name));
    if (schedule_->held(step)) log_.write(Level::kWarning, name + " is paused since an earlier run: mfdata resume " + name);
  }
}

void Loader::answer(const std::string& request, const ControlServer::Reply& reply) {
  const json parsed = json::parse(request, nullptr, false);
  const std::string command =
      parsed.is_object() && parsed.contains("command") && parsed["command"].is_string() ? parsed["command"].get<std::string>() : "";
  if (command == "reload") {
    const bool tries = !parsed.contains("trial") || !parsed["trial"].is_boolean() || parsed["trial"].get<bool>();
    return reload(tries, reply);
  }
  reply(answer_at_once(command, parsed));
}

std::string Loader::answer_at_once(const std::string& command, const json& parsed) {
  if (command == "status") return status(parsed.contains("refused") && parsed["refused"] == json("all"));
  if (command == "stop") {
    stop();
    return R"({"stopping":true})";
  }
  if (command == "follow") return follow(parsed);
  if (command == "followed") return followed(parsed);
  if (command == "unfollow") return unfollow(parsed);
  if (command == "start_plugin" || command == "stop_plugin") {
    return start_plugin(parsed.contains("plugin") && parsed["plugin"].is_string() ? parsed["plugin"].get<std::string>() : "",
                        command == "start_plugin");
  }
  if (command == "kill") {
    const auto flag = [&](const char* key) { return parsed.contains(key) && parsed[key].is_boolean() && parsed[key].get<bool>(); };
    return kill_treatments(parsed.contains("step") && parsed["step"].is_string() ? parsed["step"].get<std::string>() : "", flag("all"), flag("charge"));
  }
  if (command == "pause" || command == "resume") {
    return pause(parsed.contains("step") && parsed["step"].is_string() ? parsed["step"].get<std::string>() : "", command == "pause");
  }
  return dumped(
      {{"error", "unknown command \"" + command.substr(0, 40) + "\": status, reload, stop, pause, resume, kill, start_plugin, stop_plugin, follow, followed and unfollow are known"}});
}

}  // namespace mfdata
