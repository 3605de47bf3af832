// A configuration that has changed, and plugins that were installed or rebuilt, while files flow.
#include <sys/stat.h>

#include <algorithm>
#include <boost/filesystem/operations.hpp>
#include <nlohmann/json.hpp>

#include "libmfdata/listen_address.hpp"
#include "libmfdata/settings_places.hpp"
#include "loader.hpp"

namespace mfdata {
namespace {

namespace fs = boost::filesystem;
using nlohmann::json;

constexpr const char* kStopping = R"({"error":"the loader is stopping"})";
constexpr const char* kEverything = R"({"reloaded":"everything"})";
constexpr const char* kWorkers = R"({"reloaded":"workers"})";
constexpr std::size_t kMaxAskers = 16;
constexpr std::int64_t kTrialTickNs = 20'000'000;

// What a loader is built around: the rest is taken up while it runs.
std::string structure_of(const GeneralSettings& general) {
  const json out = {general.data_dir,    general.max_queued,  static_cast<int>(general.durability),
                    general.log_level,   general.log_json,    general.log_directory,
                    general.rotate_size, general.rotate_keep, general.metrics_listen,
                    general.cpu_policy_batch};
  return out.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::int64_t nanoseconds(const timespec& time) { return time.tv_sec * 1'000'000'000 + time.tv_nsec; }

// The last change of a file, or of any file in a directory; 0: it is not there.
std::int64_t time_of(const std::string& path) {
  constexpr std::size_t kMostLookedAt = 1000;
  struct stat st;
  if (::stat(path.c_str(), &st) != 0) return 0;
  if (!S_ISDIR(st.st_mode)) return nanoseconds(st.st_mtim);
  std::int64_t newest = 1;
  boost::system::error_code code;
  std::size_t seen = 0;
  for (fs::recursive_directory_iterator at(path, code), end; !code && at != end && ++seen < kMostLookedAt; at.increment(code)) {
    const std::string name = at->path().filename().string();
    const bool passed_over = name.starts_with('.') || name == "__pycache__";
    if (passed_over) at.disable_recursion_pending();
    if (passed_over || ::lstat(at->path().c_str(), &st) != 0 || S_ISDIR(st.st_mode)) continue;
    newest = std::max(newest, nanoseconds(st.st_ctim));  // of one that was moved here the other one is old
  }
  return newest;
}

// What an author changes: the library, or, of a plugin that runs by that of its base, all that stands in its folder.
const std::string& built_of(const PluginSettings& plugin) { return plugin.base.empty() ? plugin.library : plugin.directory; }

}  // namespace

void Loader::reload(bool tries, ControlServer::Reply reply) {
  log_.reopen();
  if (stopping_ && !next_) return reply ? reply(kStopping) : void();
  if (asked_meanwhile_.size() >= kMaxAskers) {
    return reply ? reply(R"({"error":"too many reloads wait for one that is under way: the last of them sees all that is on disk now"})") : void();
  }
  asked_meanwhile_.push_back({tries, std::move(reply)});
  if (!reloads()) begin_reload();
}

// Nothing is begun that a loader on its way would have to wait for: it reads the configuration again before it starts.
void Loader::begin_reload() {
  if (asked_meanwhile_.empty() || reloads()) return;
  if (next_) {
    next_is_outdated_ = true;
    return answer_askers(asked_meanwhile_, kEverything);
  }
  asked_ = std::exchange(asked_meanwhile_, {});
  reader_.start();
}

// Else something cannot run twice at a time.
bool Loader::asked_for_trial() const {
  return std::any_of(asked_.begin(), asked_.end(), [](const Asker& asker) { return asker.tries; });
}

void Loader::answer_askers(std::vector<Asker>& askers, const std::string& answer) {
  for (Asker& asker : std::exchange(askers, {})) {
    if (asker.reply) asker.reply(answer);
  }
}

void Loader::take_configuration(std::shared_ptr<const Configuration> fresh) {
  if (stopping_ && !next_) return finish_reload(kStopping);
  if (!fresh->problems.empty()) return finish_reload(refuse_configuration("the configuration has errors", fresh->problems));
  if (!fresh->settings.rule_problems.empty())
    return finish_reload(refuse_configuration("the configuration has wrong rules", fresh->settings.rule_problems));
  const std::string& listen = fresh->settings.general.metrics_listen;
  if (listen != settings_->general.metrics_listen) {
    if (auto free = can_listen(listen, metrics_.port()); !free)
      return finish_reload(refuse_configuration("the configuration cannot be used", {{place_of_metrics(home_), free.error().text, "", Severity::kError}}));
  }
  on_trial_ = std::move(fresh);
  trials_ = std::make_unique<StartTrials>(worker_program_, asked_for_trial() ? changed_components(*on_trial_) : std::vector<StartTrials::Candidate>(), EventLoop::now_ns());
  watch_trials();
}

// Steps whose workers would be told something else. A listener that runs may hold what a second one needs, a port for example.
std::vector<StartTrials::Candidate> Loader::changed_components(const Configuration& fresh) const {
  std::vector<StartTrials::Candidate> all;
  for (std::size_t i = 0; i < fresh.workers.size(); ++i) {
    const wire::WorkerSettings& told = fresh.workers[i];
    if (told.step.numprocesses == 0 || stopped_.contains(told.step.plugin)) continue;
    const auto running = std::find_if(steps_.begin(), steps_.end(), [&](const Step& step) { return !step.retired && step.settings->slashed() == told.step.slashed(); });
    const bool runs = running != steps_.end();
    if (runs && wire::same(told, *running->told)) continue;
    const auto number = static_cast<std::size_t>(running - steps_.begin());
    const bool holds = runs && (!pool_->pids(number).empty() || !pool_->draining(number).empty());
    if (told.step.kind == WorkerKind::kListener && holds) continue;
    all.push_back({told, fresh.places[i]});
  }
  std::stable_partition(all.begin(), all.end(), [](const StartTrials::Candidate& one) { return one.settings.step.kind == WorkerKind::kStep; });
  return all;
}

// Until the last one has ended.
void Loader::watch_trials() {
  if (!trials_) return;
  trials_->tick(EventLoop::now_ns());
  if (!trials_->finished()) return loop_.arm(trial_timer_, EventLoop::now_ns() + kTrialTickNs);
  const Problems problems = trials_->problems();
  for (const Problem& warning : trials_->warnings()) log_.write(Level::kWarning, warning.spell());
  auto fresh = std::exchange(on_trial_, nullptr);
  trials_.reset();
  if (!problems.empty()) return finish_reload(refuse_configuration("the configuration cannot be used", problems));
  finish_reload(apply(std::move(fresh)));
}

// To all who asked for what was read; then what was asked for meanwhile.
void Loader::finish_reload(const std::string& answer) {
  trials_.reset();
  on_trial_.reset();
  if (answer == kWorkers) {
    std::move(asked_.begin(), asked_.end(), std::back_inserter(asked_before_));
    asked_.clear();
    answer_replaced();
  }
  answer_askers(asked_, answer);
  if (stopping_ && !next_) answer_askers(asked_meanwhile_, kStopping);
  begin_reload();
  if (stopping_) rearm(EventLoop::now_ns());
}

// Whoever is told that it is taken up finds that files are treated as it says.
void Loader::answer_replaced() {
  if (!pool_->replacing()) answer_askers(asked_before_, kWorkers);
}

std::string Loader::refuse_configuration(const std::string& why, const Problems& problems) {
  constexpr std::size_t kShown = 20;
  std::string text;
  for (std::size_t i = 0; i < problems.size() && i < kShown; ++i) text += (i == 0 ? "" : "\n") + problems[i].spell();
  if (problems.size() > kShown) text += "\nand " + std::to_string(problems.size() - kShown) + " more: mfdata check shows them";
  log_.write(Level::kError, why + ", the one before stays in force: " + text);
  configuration_problem_ = text;
  metrics_.config_error();
  return json{{"error", text}}.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string Loader::apply(std::shared_ptr<const Configuration> fresh) {
  log_.write_problems(fresh->settings);
  configuration_problem_.clear();
  if (structure_of(fresh->settings.general) != structure_of(settings_->general) || changes_a_kind(fresh->settings)) {
    log_.write(Level::kInfo, "the configuration has changed: all workers finish their file, then everything begins anew");
    stop();
    next_ = std::move(fresh);
    return kEverything;
  }
  if (auto taken = take_up(std::move(fresh), asked_for_trial()); !taken) {
    configuration_problem_ = taken.error().text;
    log_.write(Level::kError, "the new configuration cannot be used, the one before stays in force: " + taken.error().text);
    metrics_.config_error();
    return json{{"error", taken.error().text}}.dump(-1, ' ', false, json::error_handler_t::replace);
  }
  metrics_.set_config_generation(++generation_);
  log_.write(Level::kInfo, "the configuration is taken up, generation " + std::to_string(generation_));
  return kWorkers;
}

// A library that was rebuilt runs once it has not changed for a second; its predicates too.
void Loader::watch_developed() {
  const std::string installed = home_.plugins().string() + '/';
  const auto is_watched = [&](const std::string& library) {
    return std::any_of(developed_.begin(), developed_.end(), [&](const BuiltLibrary& built) { return built.path == library; });
  };
  for (const PluginSettings& plugin : settings_->plugins) {
    if (!plugin.directory.starts_with(installed) && !is_watched(built_of(plugin)))
      developed_.push_back({built_of(plugin), time_of(built_of(plugin)), false});
  }
  for (BuiltLibrary& built : developed_) {
    const std::int64_t now = time_of(built.path);
    if (now == 0) continue;  // it is being built
    const bool settled = now == built.time_ns && built.changed;
    built.changed = now != built.time_ns;
    built.time_ns = now;
    if (!settled) continue;
    for (std::size_t step = 0; step < steps_.size(); ++step) {
      if (steps_[step].retired) continue;
      wire::WorkerSettings workers = worker_settings(step);
      const auto& predicates = workers.predicates;
      const bool asks_it =
          std::any_of(predicates.begin(), predicates.end(), [&](const wire::PredicateLibrary& one) { return one.library == built.path || one.plugin_dir == built.path; });
      if (built_of(*steps_[step].plugin) != built.path && !asks_it) continue;
      log_.write(Level::kInfo, steps_[step].settings->slashed() + ": its " + (steps_[step].plugin->base.empty() ? "library was rebuilt" : "folder has changed") + ", its workers are replaced");
      schedule_->renew(step);
      pool_->replace(step, std::move(workers), false);
    }
  }
}

}  // namespace mfdata
