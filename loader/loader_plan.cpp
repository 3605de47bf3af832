// What the configuration comes to for the loader: its steps, their sources, and what their workers are told. Numbers of
// steps and of sources are never given to another one: what is under way keeps its meaning when the configuration changes.
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <map>

#include "loader.hpp"

namespace mfdata {
namespace {

bool same_rules(const WatchedSource& a, const WatchedSource& b) {
  return a.ready.kind == b.ready.kind && a.ready.quiet_s == b.ready.quiet_s && a.ignore == b.ignore && a.foreign_quiet_s == b.foreign_quiet_s;
}

// In more than the steps and the entrance that there are beside it.
bool differs_itself(wire::WorkerSettings a, wire::WorkerSettings b) {
  a.targets = b.targets;
  a.entry_step = b.entry_step;
  return !wire::same(a, b);
}

}  // namespace

Result<void> prepare_directories(const Spool& spool, const Settings& settings) {
  MFDATA_TRY(spool.prepare());
  std::vector<std::string> watched = {layout::kIncoming};
  for (const WatchSettings& watch : settings.general.watches) watched.push_back(watch.directory);
  for (const PluginSettings& plugin : settings.plugins) {
    for (const StepSettings& step : plugin.steps) {
      if (step.kind == WorkerKind::kStep) MFDATA_TRY(spool.prepare_step(step.dotted()));
      for (unsigned slot = 0; slot < step.numprocesses; ++slot) MFDATA_TRY(spool.prepare_slot(Slot{step.dotted(), slot}));
      watched.insert(watched.end(), step.watched_directories.begin(), step.watched_directories.end());
    }
  }
  for (const std::string& directory : watched) {
    if (spool.disk().exists(directory)) continue;
    MFDATA_TRY(spool.disk().ensure_directory(directory));
    if (::chmod(spool.disk().absolute(directory).c_str(), 02770) != 0) return system_error(errno, "cannot set the mode of " + directory);
  }
  return {};
}

// A step that becomes a listener, or the reverse, would have the slots of the one before under another number.
bool Loader::changes_a_kind(const Settings& fresh) const {
  return std::any_of(steps_.begin(), steps_.end(), [&](const Step& step) {
    const PluginSettings* plugin = fresh.find_plugin(step.settings->plugin);
    return plugin && std::any_of(plugin->steps.begin(), plugin->steps.end(), [&](const StepSettings& settings) {
             return settings.name == step.settings->name && settings.kind != step.settings->kind;
           });
  });
}

// `beside`: a worker goes on until the one that takes its place is ready, but not one that crashes, or waits for what only a new
// one may be able to do, nor a listener: two of them may want one port.
Result<void> Loader::take_up(std::shared_ptr<const Configuration> configuration, bool beside) {
  MFDATA_TRY(prepare_directories(spool_, configuration->settings));
  if (configuration->settings.general.max_file_size != settings_->general.max_file_size) refusals_.clear();
  configuration_ = std::move(configuration);
  settings_ = std::shared_ptr<const Settings>(configuration_, &configuration_->settings);
  schedule_->set_no_space_max_wait(static_cast<std::int64_t>(settings_->general.no_space_max_wait_s * 1e9));
  next_rescan_ns_ = std::min(next_rescan_ns_, EventLoop::now_ns() + static_cast<std::int64_t>(settings_->general.rescan_interval_s * 1e9));
  take_up_steps();
  take_up_watches();
  for (std::size_t step = 0; step < steps_.size(); ++step) {
    if (steps_[step].retired) continue;
    wire::WorkerSettings now = worker_settings(step);
    if (step >= pool_->steps()) {
      pool_->add(std::move(now));
    } else if (!wire::same(now, pool_->settings(step))) {
      log_.write(Level::kInfo,
                 steps_[step].settings->slashed() + ": its workers are replaced, version " + steps_[step].plugin->version + " runs next");
      const bool flows = schedule_->mood(step) == Schedule::Mood::kRunning && steps_[step].settings->kind == WorkerKind::kStep;
      if (differs_itself(now, pool_->settings(step))) schedule_->renew(step);
      pool_->replace(step, std::move(now), beside && flows);
    }
    hold_as_before(step);
    pool_->resize(step, steps_[step].settings->numprocesses, recover_first_ || running_);
  }
  enter_sources();
  watch_developed();
  if (running_) pool_->tick(EventLoop::now_ns());
  return {};
}

// Steps that are there now: known ones with their new settings, others behind them. Those that are gone get nothing more.
void Loader::take_up_steps() {
  std::vector<bool> wanted(steps_.size(), false);
  targets_.clear();
  auto told = configuration_->workers.begin();
  for (const PluginSettings& plugin : settings_->plugins) {
    for (const StepSettings& settings : plugin.steps) {
      const auto known = std::find_if(steps_.begin(), steps_.end(), [&](const Step& step) {
        return step.settings->kind == settings.kind && step.settings->slashed() == settings.slashed();
      });
      const auto index = static_cast<std::size_t>(known - steps_.begin());
      if (known == steps_.end()) {
        steps_.emplace_back();
        schedule_->add({settings_->general.max_queued});
        waiting_->add(settings.dotted(), 0);
        wanted.push_back(false);
      }
      Step& step = steps_[index];
      if (step.retired) schedule_->revive(index);
      step.retired = false;
      step.of = settings_;
      step.settings = &settings;
      step.plugin = &plugin;
      step.told = &*told++;
      wanted[index] = true;
      if (waiting_->set_max_wait(index, static_cast<std::int64_t>(settings.retry.max_wait_s * 1000))) list_waiting(index);
      if (settings.kind == WorkerKind::kStep) targets_.push_back(settings.slashed());
    }
  }
  std::sort(targets_.begin(), targets_.end());
  std::set<std::string> listeners;
  for (const Step& step : steps_) {
    if (step.settings->kind == WorkerKind::kListener) listeners.insert(step.settings->slashed());
  }
  if (!running_) sockets_.keep_listeners(listeners);  // a loader before this one may have had others
  for (std::size_t step = 0; step < steps_.size(); ++step) {
    if (!wanted[step] && !steps_[step].retired) retire(step);
  }
}

// Anew: the due times are others.
void Loader::list_waiting(std::size_t step) {
  for (std::size_t index = 0; index < sources_.size(); ++index) {
    if (sources_[index].kind == SourceKind::kWaiting && !sources_[index].takers.empty() && sources_[index].takers[0].first == step)
      watcher_->rescan(index);
  }
}

void Loader::retire(std::size_t index) {
  Step& step = steps_[index];
  log_.write(Level::kInfo, step.settings->slashed() + " is gone: its workers finish their file, its other files wait until it is there again");
  step.retired = true;
  schedule_->retire(index);
  pool_->resize(index, 0, false);
  if (step.settings->kind == WorkerKind::kListener) sockets_.keep_only(step.settings->slashed(), {});
  metrics_.forget_step(step.settings->plugin, step.settings->name);
}

// Each step's own directory and waiting directory, and the watched directories with the steps that name them.
void Loader::take_up_watches() {
  std::vector<bool> wanted(sources_.size(), false);
  const auto want = [&](SourceKind kind, WatchedSource directory, const std::vector<std::size_t>& takers) {
    const std::size_t source = set_source(kind, std::move(directory), takers);
    wanted.resize(std::max(wanted.size(), source + 1));
    wanted[source] = true;
  };
  for (std::size_t step = 0; step < steps_.size(); ++step) {
    if (steps_[step].retired || steps_[step].settings->kind != WorkerKind::kStep) continue;
    const std::string dotted = steps_[step].settings->dotted();
    want(SourceKind::kStep, {layout::step_directory(dotted), false, {}, {}, settings_->general.defaults.foreign_quiet_s}, {step});
    want(SourceKind::kWaiting, {layout::waiting_directory(dotted), false, {}, {}, 0}, {step});
  }
  for (const auto& [directory, steps] : settings_->watched()) {
    std::vector<std::size_t> takers;
    for (std::size_t step = 0; step < steps_.size(); ++step) {
      if (!steps_[step].retired && std::find(steps.begin(), steps.end(), steps_[step].settings) != steps.end()) takers.push_back(step);
    }
    const WatchSettings& rules = settings_->general.watch_of(directory);
    want(SourceKind::kWatched, {directory, true, rules.ready, rules.ignore, rules.foreign_quiet_s, may_lease_any_}, takers);
  }
  for (std::size_t source = 0; source < sources_.size(); ++source) {
    if (source < wanted.size() && wanted[source]) continue;
    leave_source(source);
    watcher_->remove(source);
  }
}

std::size_t Loader::set_source(SourceKind kind, WatchedSource watched, const std::vector<std::size_t>& steps) {
  const auto known =
      std::find_if(sources_.begin(), sources_.end(), [&](const Source& source) { return source.kind == kind && source.path == watched.path; });
  const auto index = static_cast<std::size_t>(known - sources_.begin());
  std::vector<Taker> takers;
  for (const std::size_t step : steps) takers.emplace_back(step, source_number(step, watched.path));
  if (known == sources_.end()) {
    sources_.push_back({kind, watched.path, {}, {}, {}});
  } else if (const std::vector<Taker>& now = known->next ? *known->next : known->takers; takers == now && !takers.empty()) {
    if (!same_rules(watched, watcher_->source(index))) watcher_->set(index, std::move(watched));
    return index;
  }
  leave_source(index);
  sources_[index].next = std::move(takers);
  watcher_->set(index, std::move(watched));
  enter_sources();
  return index;
}

// Its names are not handed out any more; what is in flight ends.
void Loader::leave_source(std::size_t index) {
  Source& source = sources_[index];
  std::erase_if(foreign_, [&](const auto& foreign) { return foreign.first.first == source.path; });
  for (const auto& [step, number] : source.takers) {
    if (source.kind == SourceKind::kWaiting) waiting_->forget(step);
    if (source.kind == SourceKind::kWatched) {
      schedule_->leave(step, number);
      take_back(step);
    }
    if (schedule_->any_in_flight(step, number)) source.left.emplace_back(step, number);
  }
  source.takers.clear();
  source.next.reset();
}

// Two steps never accept one file at the same time: others take a directory once what the earlier ones have of it has ended, and
// once no worker that was not told of it gets names.
void Loader::enter_sources() {
  for (std::size_t index = 0; index < sources_.size(); ++index) {
    Source& source = sources_[index];
    if (!source.next) continue;
    std::erase_if(source.left, [&](const Taker& taker) { return !schedule_->any_in_flight(taker.first, taker.second); });
    const bool known = std::all_of(source.next->begin(), source.next->end(), [&](const Taker& taker) { return pool_->know_source(taker.first, taker.second); });
    const bool waits = source.kind == SourceKind::kWatched && (!source.left.empty() || !known);
    if (waits) continue;
    source.takers = *std::exchange(source.next, std::nullopt);
    for (const auto& [step, number] : source.takers) schedule_->take_again(step, number);
    watcher_->rescan(index);
  }
}

// The number that the step's workers know it by; those that do not are replaced.
std::uint16_t Loader::source_number(std::size_t step, const std::string& directory) {
  const std::string own = layout::step_directory(steps_[step].settings->dotted());
  std::vector<std::string>& sources = steps_[step].sources;
  if (sources.empty()) sources.push_back(own);  // wire::kStepSource
  if (directory == own || directory == layout::waiting_directory(steps_[step].settings->dotted())) return wire::kStepSource;
  const auto known = std::find(sources.begin(), sources.end(), directory);
  if (known != sources.end()) return static_cast<std::uint16_t>(known - sources.begin());
  check(sources.size() < UINT16_MAX, "a step has had too many directories since the loader began");
  sources.push_back(directory);
  return static_cast<std::uint16_t>(sources.size() - 1);
}

std::vector<std::pair<std::string, std::string>> Loader::plugins_and_steps() const {
  std::vector<std::pair<std::string, std::string>> all;
  for (const Step& step : steps_) all.emplace_back(step.settings->plugin, step.settings->name);
  return all;
}

wire::WorkerSettings Loader::worker_settings(std::size_t step) const {
  wire::WorkerSettings settings = *steps_[step].told;
  settings.sources = steps_[step].sources;
  settings.targets = targets_;
  settings.sockets_from_loader = settings.step.kind == WorkerKind::kListener;
  return settings;
}

}  // namespace mfdata
