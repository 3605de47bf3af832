#include "loader.hpp"

#include <mfdata/plugin.h>
#include <signal.h>

#include <algorithm>

#include "free_space.hpp"
#include "libmfdata/clock.hpp"
#include "libmfdata/clock_file.hpp"
#include "libmfdata/open_writers.hpp"
#include "libmfdata/printable.hpp"

namespace mfdata {
namespace {

using wire::Outcome;

constexpr std::uint32_t kRetryAfterMs = 1000;

// The arrival still stands where it came, and will be asked about again.
bool waits_there(const wire::Done& done) {
  switch (done.outcome) {
    case Outcome::kForeign:
    case Outcome::kBusy:
    case Outcome::kRevoked: return true;
    case Outcome::kNoSpace:
    case Outcome::kError: return done.waits_as.empty();
    default: return false;
  }
}

}  // namespace

Loader::Loader(EventLoop& loop, const Home& home, std::shared_ptr<const Configuration> configuration, const Spool& spool, LoaderLog& log, LoaderMetrics& metrics,
               ListeningSockets& sockets, std::string worker_program, bool recover_first, std::set<std::string> recovered)
    : loop_(loop),
      home_(home),
      configuration_(std::move(configuration)),
      settings_(configuration_, &configuration_->settings),
      spool_(spool),
      log_(log),
      metrics_(metrics),
      sockets_(sockets),
      worker_program_(std::move(worker_program)),
      schedule_(std::make_unique<Schedule>()),
      waiting_(std::make_unique<WaitingRoom>(spool_.disk(), settings_->general.max_queued)),
      watcher_(std::make_unique<SpoolWatcher>(loop_, spool_.disk(), settings_->general.max_queued, taker())),
      pool_(std::make_unique<WorkerPool>(loop_, worker_program_, pool_owner())),
      clock_(clock_file(home_)),
      recover_first_(recover_first),
      recovered_(std::move(recovered)),
      reader_(loop_, home_, [this](std::shared_ptr<const Configuration> fresh) { take_configuration(std::move(fresh)); }) {}

SpoolWatcher::Taker Loader::taker() {
  SpoolWatcher::Taker taker;
  taker.offer = [this](std::size_t source, std::string name, Found found) { return offer(source, std::move(name), found); };
  taker.forget = [this](std::size_t source) {
    if (sources_[source].takers.empty()) return;
    if (sources_[source].kind == SourceKind::kWaiting) return waiting_->forget(sources_[source].takers[0].first);
    for (const auto& [step, number] : sources_[source].takers) schedule_->forget(step, number);
  };
  taker.has_room = [this](std::size_t source) {
    if (sources_[source].takers.empty()) return false;
    if (sources_[source].kind == SourceKind::kWaiting) return waiting_->has_room(sources_[source].takers[0].first);
    return std::any_of(sources_[source].takers.begin(), sources_[source].takers.end(),
                       [&](const auto& taker) { return schedule_->has_room(taker.first); });
  };
  taker.warn = [this](const std::string& text) { log_.write(Level::kWarning, text); };
  taker.overflow = [this] {
    metrics_.overflow();
    log_.write(Level::kWarning, "the kernel's event queue overflowed: all directories are listed again");
  };
  return taker;
}

bool Loader::offer(std::size_t index, std::string name, Found found) {
  const Source& source = sources_[index];
  if (source.takers.empty()) return true;
  if (source.kind == SourceKind::kWaiting) return waiting_->offer(source.takers[0].first, name, real_ms(), EventLoop::now_ns() / kMillisecond);
  // Always the same one for a name: two steps must not accept one file at the same time.
  const auto taker = source.takers.begin() + static_cast<std::ptrdiff_t>(std::hash<std::string>()(name) % source.takers.size());
  // An event may be of another file under the name of one that was refused.
  if (found == Found::kChanged && !refusals_.heeds_attributes(source.path + '/' + name)) return true;
  if (found != Found::kEvent && source.kind == SourceKind::kWatched && !refusals_.empty() && refused_before(source.path + '/' + name)) {
    watcher_->keep(index, name);
    return true;
  }
  if (source.kind == SourceKind::kWatched && !foreign_.empty() && foreign_.contains({source.path, name})) return true;
  Lane lane = Lane::kArrival;
  if (source.kind == SourceKind::kStep) lane = name.find('~') != std::string::npos && SpoolName::parse(name) ? Lane::kCrashed : Lane::kHop;
  const bool alone = lane == Lane::kHop && !recovered_.empty() && recovered_.contains(name.substr(0, kUidLength));
  return schedule_->offer(taker->first, lane, taker->second, std::move(name), alone);
}

WorkerPool::Owner Loader::pool_owner() {
  WorkerPool::Owner owner;
  owner.ready = [this](WorkerId worker, std::size_t step, std::size_t batch) {
    if (steps_[step].settings->kind == WorkerKind::kStep) schedule_->worker_ready(worker, step, batch);
    enter_sources();
    log_.write(Level::kDebug, steps_[step].settings->slashed() + ": a worker is ready, version " + steps_[step].plugin->version);
  };
  owner.results = [this](WorkerId worker, std::size_t step, wire::Results results, const Targets& targets) {
    take_results(worker, step, results, targets);
  };
  owner.accepted = [this](const wire::Accepted& accepted) { follow_.accepted(accepted); };
  owner.traced = [this](std::size_t step, const wire::Trace& trace, const Targets& targets) {
    follow_.traced(steps_[step].settings->slashed(), trace, targets);
  };
  owner.draining = [this](WorkerId worker) {
    schedule_->worker_draining(worker);
    enter_sources();
  };
  owner.gone = [this](WorkerId worker, std::size_t step) {
    health_.forget(step, worker);
    schedule_->worker_gone(worker, [&](const Schedule::Finished& name) { return stands_there(step, name); });
  };
  owner.suspended = [this](std::size_t step) { return schedule_->mood(step) == Schedule::Mood::kSuspended; };
  owner.settled = [this](std::size_t step, const std::string& version, const std::vector<wire::SettledFile>& files) {
    settled(step, version, files);
  };
  owner.succeeded = [this](std::size_t step) { schedule_->succeeded(step); };
  owner.orphans_live = [this](std::size_t step, unsigned slot) { return rolls_commit_of({steps_[step].settings->dotted(), slot}) || kill_strangers(); };
  owner.metrics = [this](std::size_t step, const wire::Metrics& metrics) {
    for (const wire::MetricDelta& delta : metrics.deltas) {
      const std::string problem = metrics_.plugin_metric(steps_[step].plugin->name, delta);
      if (!problem.empty()) log_.write(Level::kWarning, steps_[step].plugin->name + ": " + problem);
    }
  };
  owner.deposited = [this](std::size_t step, const WorkerPool::Deposits& deposits) {
    steps_[step].deposits += deposits.files;
    metrics_.deposited(steps_[step].settings->slashed(), deposits.files, deposits.bytes, deposits.repeats);
  };
  owner.health = [this](WorkerId worker, std::size_t step, const wire::Health& health) { note_health(worker, step, health); };
  owner.socket = [this](std::size_t step, const wire::SocketRequest& wanted, const std::set<std::string>& in_use) {
    const std::string listener = steps_[step].settings->slashed();
    const bool may_have = steps_[step].settings->kind == WorkerKind::kListener && !steps_[step].retired;
    if (!may_have) return Result<int>(Error{Code::kRefused, 0, listener + " is no listener now"});
    return sockets_.open(listener, wanted.address, wanted.mode, in_use);
  };
  owner.sockets_in_use = [this](std::size_t step, const std::set<std::string>& addresses) { sockets_.keep_only(steps_[step].settings->slashed(), addresses); };
  owner.output = [this](std::size_t step, const std::string& lines) { log_.write_output(steps_[step].settings->dotted(), lines); };
  owner.exited = [this](std::size_t step, const std::string& version, const std::string& reason, bool crash) {
    const StepSettings& settings = *steps_[step].settings;
    metrics_.worker_exit(settings.plugin, settings.name, reason.substr(0, reason.find(':')));
    if (crash) log_.write(Level::kError, settings.slashed() + ": a worker of version " + version + " died: " + reason);
    const std::string failure = pool_->last_failure(step);
    if (!failure.empty()) log_.write(Level::kError, settings.slashed() + " does not start: " + failure);
  };
  owner.warn = [this](const std::string& text) { log_.write(Level::kWarning, text); };
  owner.waits_for = [this](std::size_t step, const WorkerPool::InHand& in_hand) {
    std::size_t files = 0;
    const std::string worker = steps_[step].settings->slashed() + ": worker " + std::to_string(in_hand.pid) + ", version " + in_hand.version;
    if (in_hand.since == 0) return log_.write(Level::kWarning, worker + ", was asked to stop, has nothing in hand, and still runs");
    log_.write(Level::kWarning, worker + ", was asked to stop and still treats " + name_in_hand(step, in_hand, files) + " for " +
                                    std::to_string((EventLoop::now_ns() - in_hand.since) / kSecond) +
                                    " s: it is waited for. To end it: mfdata kill " + steps_[step].settings->slashed());
  };
  return owner;
}

// What a dead worker claimed, or another one was quicker to take, stands there no more.
bool Loader::stands_there(std::size_t step, const Schedule::Finished& name) const {
  const std::vector<std::string>& sources = steps_[step].sources;
  return name.source >= sources.size() || !spool_.disk().status(sources[name.source] + '/' + name.name).is(Code::kGone);
}

Result<void> Loader::start(unsigned generation, const std::string& problem) {
  generation_ = generation;
  configuration_problem_ = problem;
  if (!problem.empty()) log_.write(Level::kError, problem);
  if (!problem.empty()) metrics_.config_error();
  metrics_.set_config_generation(generation);
  MFDATA_TRY(listen_to_commands());
  started_ns_ = EventLoop::now_ns();
  may_lease_any_ = may_lease_any_file();
  on_child_ = loop_.on_signal(SIGCHLD, [this] { reap_children(); });
  on_term_ = loop_.on_signal(SIGTERM, [this] { stop(); });
  on_int_ = loop_.on_signal(SIGINT, [this] { stop(); });
  on_hangup_ = loop_.on_signal(SIGHUP, [this] { reload(true, {}); });
  tick_timer_ = loop_.timer([this] { tick(); });
  trial_timer_ = loop_.timer([this] { watch_trials(); });
  loop_.after_each([this] { dispatch(); });
  recall();
  MFDATA_TRY(take_up(configuration_, false));
  running_ = true;
  next_rescan_ns_ = started_ns_ + static_cast<std::int64_t>(settings_->general.rescan_interval_s * 1e9);
  tick();
  return {};
}

// A full disk keeps nobody from treating files: the socket comes with the room.
Result<void> Loader::listen_to_commands() {
  auto control = ControlServer::listen(loop_, home_.control_socket().string(), [this](const std::string& request, const ControlServer::Reply& reply) { answer(request, reply); });
  if (control) control_ = std::move(*control);
  if (control.is(Code::kNoSpace) && !running_) log_.write(Level::kWarning, "no command reaches this loader until there is room: " + control.error().text);
  return control || control.is(Code::kNoSpace) ? Result<void>() : control.error();
}

void Loader::stop() {
  next_.reset();
  if (!stopping_) log_.write(Level::kInfo, "stopping: files in hand are finished, nothing new is begun");
  stopping_ = true;
  if (trials_) finish_reload(R"({"error":"the loader is stopping"})");
  pool_->stop_all();
  if (chore_) chore_->stop(EventLoop::now_ns());
  rearm(EventLoop::now_ns());
}

// ---- results

void Loader::take_results(WorkerId worker, std::size_t step, const wire::Results& results, const Targets& targets) {
  const std::int64_t now = EventLoop::now_ns();
  for (const wire::Done& done : results.done) {
    const bool was_paused = schedule_->mood(step) != Schedule::Mood::kRunning;
    const auto finished = schedule_->finished(worker, done, now);
    if (finished && finished->alone) recovered_.erase(finished->name.substr(0, kUidLength));
    take_done(step, done, targets, finished ? finished->name : "", finished ? finished->source : wire::kStepSource, was_paused);
  }
}

void Loader::take_done(std::size_t index, const wire::Done& done, const Targets& targets, const std::string& name, std::uint16_t source,
                       bool was_paused) {
  const Step& step = steps_[index];
  const StepSettings& settings = *step.settings;
  const std::string& from = source < step.sources.size() ? step.sources[source] : step.sources[0];
  metrics_.file_done(settings.plugin, settings.name, done, source != wire::kStepSource, from);
  for (const std::uint16_t target : done.routed) {
    if (target < targets.size()) metrics_.routed(settings.slashed(), targets[target]);
  }
  if (done.trashed) went_to_trash(settings.dotted());
  if (log_.writes(Level::kDebug)) log_done(settings, done, targets, name);
  ++results_;
  if (source != wire::kStepSource && !waits_there(done)) forget_opens(from, name);
  switch (done.outcome) {
    case Outcome::kOk: ++files_done_; break;
    case Outcome::kRefused: refuse(index, source, name, done.reason); break;
    case Outcome::kForeign: add_foreign(index, from, name); break;
    case Outcome::kNoSpace:
    case Outcome::kError:
      if (was_paused) break;  // names that were sent ahead bring the same news
      log_.write(Level::kError, settings.slashed() + ": " +
                                    (schedule_->mood(index) == Schedule::Mood::kRunning ? name + " waits behind the others: "
                                     : done.outcome == Outcome::kNoSpace                ? "no space left, the step waits for room: "
                                                                                        : "the step waits: ") +
                                    done.reason);
      break;
    case Outcome::kFailed:
    case Outcome::kRetried:
    case Outcome::kSettled:
      log_.write_step(settings.dotted(), Level::kWarning,
                      (name.empty() ? "a file" : name) +
                          (done.trashed                        ? " went to trash: "
                           : done.outcome == Outcome::kRetried ? " waits for another attempt: "
                                                               : ": ") +
                          done.reason);
      break;
    case Outcome::kSkipped: skipped(index, done, name); break;
    case Outcome::kYielded:
      log_.write_step(settings.dotted(), Level::kInfo,
                      "the step yields for " + std::to_string(done.pause_ms) + " ms" + (done.reason.empty() ? "" : ": " + done.reason));
      take_back(index);
      break;
    case Outcome::kCancelled:
    case Outcome::kGone:
    case Outcome::kBusy:
    case Outcome::kRevoked:
    case Outcome::kCount: break;
  }
}

// Its step has no use for the file, and the unmatched_policy was applied: kept or deleted, it is seen and counted.
void Loader::skipped(std::size_t index, const wire::Done& done, const std::string& name) {
  const StepSettings& settings = *steps_[index].settings;
  ++steps_[index].skipped;
  const std::string& level = settings.log_level.empty() ? settings_->general.log_level : settings.log_level;
  if (level != "info" && level != "debug") return;
  log_.write_step(settings.dotted(), Level::kInfo,
                  (name.empty() ? "a file" : name) + (done.trashed ? " is skipped and kept in trash: " : " is skipped and deleted: ") + done.reason);
}

// At level debug: one line for each result, so that a file's way can be followed.
void Loader::log_done(const StepSettings& settings, const wire::Done& done, const Targets& targets, const std::string& name) {
  const char* word = wire::result_word(done.outcome);
  if (!word) return;
  std::string line = settings.slashed() + ": " + (name.empty() ? "a file" : name) + ": " + word;
  for (std::size_t i = 0; i < done.routed.size(); ++i) {
    if (done.routed[i] < targets.size()) line += (i == 0 ? " -> " : ", ") + targets[done.routed[i]];
  }
  log_.write(Level::kDebug, line + (done.reason.empty() ? "" : ": " + done.reason));
}

// Stays where it is; logged and counted once for each inode.
void Loader::refuse(std::size_t index, std::uint16_t source, const std::string& name, const std::string& reason) {
  const std::string& directory = steps_[index].sources[source < steps_[index].sources.size() ? source : 0];
  const std::string path = directory + '/' + name;
  auto status = spool_.disk().status(path);
  if (!status) return;
  if (follow_.any()) follow_.refused(status->st_dev, status->st_ino, spool_.disk().absolute(path), reason);
  keep(directory, name);
  const bool linked = reason.find("hard link") != std::string::npos;
  if (linked) await_single_link(directory, name);
  const RefusedArrivals::News news = refusals_.add(path, *status, reason, EventLoop::now_ns());
  if (news.count) {
    metrics_.refused(directory, linked ? "it has several hard links" : reason.substr(0, reason.find_first_of(",:0123456789")));
  }
  if (news.log) log_.write(Level::kWarning, "refused " + path + ": " + reason);
  if (news.first_of_many)
    log_.write(Level::kWarning, "more than " + std::to_string(refusals_.shown().size()) + " arrivals are refused: further ones are counted, and not logged one by one");
  if (!news.count) return;
  if (const std::size_t index = watched_source(directory); index < sources_.size()) watcher_->heed_attributes(index, true);
}

std::size_t Loader::watched_source(const std::string& directory) const {
  std::size_t index = 0;
  while (index < sources_.size() && (sources_[index].kind != SourceKind::kWatched || sources_[index].path != directory)) ++index;
  return index;
}

// Of a file that was refused for its links. In a step's own directory arrivals stand as well.
void Loader::await_single_link(const std::string& directory, const std::string& name) {
  for (std::size_t index = 0; index < sources_.size(); ++index) {
    if (sources_[index].kind != SourceKind::kWaiting && sources_[index].path == directory) watcher_->await_single_link(index, name);
  }
}

// A name that is not taken now: where only events tell of names, the next listing offers it again.
void Loader::keep(const std::string& directory, const std::string& name) {
  if (const std::size_t index = watched_source(directory); index < sources_.size()) watcher_->keep(index, name);
}

// What stands there was refused already, and has not changed: a listing does not ask again.
bool Loader::refused_before(const std::string& path) {
  auto status = spool_.disk().status(path);
  return status && refusals_.same(path, *status, EventLoop::now_ns());
}

void Loader::forget_refusals() {
  refusals_.forget_gone([&](const std::string& path) { return spool_.disk().status(path); });
  heed_attributes();
}

// Events of changed modes and owners are asked for where something is refused: elsewhere they only cost.
void Loader::heed_attributes() {
  const std::set<std::string> directories = refusals_.directories();
  for (std::size_t index = 0; index < sources_.size(); ++index) {
    if (sources_[index].kind == SourceKind::kWatched) watcher_->heed_attributes(index, directories.contains(sources_[index].path));
  }
}

// What a dead worker had in its hands: one crash, whatever their number.
void Loader::settled(std::size_t step, const std::string& version, const std::vector<wire::SettledFile>& files) {
  const StepSettings& settings = *steps_[step].settings;
  const wire::SettledFile* charged = nullptr;
  for (const wire::SettledFile& file : files) {
    if (file.crashes > 0) charged = &file;
    if (follow_.any()) follow_.settled(settings.slashed(), file);
    if (!file.trashed) continue;
    went_to_trash(settings.dotted());
    log_.write(Level::kError, settings.slashed() + ": " + file.uid + " went to trash: " + file.what);
    wire::Done done;
    done.outcome = Outcome::kFailed;
    done.trashed = true;
    metrics_.file_done(settings.plugin, settings.name, done, false, "");
  }
  const bool suspended = schedule_->mood(step) == Schedule::Mood::kSuspended;
  if (!charged && (!suspended || files.empty())) return;
  if (version != steps_[step].plugin->version || steps_[step].retired) return;  // it has been replaced since
  if (schedule_->crashed(step, charged ? charged->uid : files.front().uid, EventLoop::now_ns())) {
    log_.write(Level::kError, settings.slashed() + " is suspended: five crashes in a row on different files. Suspect: version " + version +
                                  " of the plugin " + settings.plugin +
                                  ". It is probed with one file after 1, 2, 4 .. 60 s; to go back: mfdata-plugin rollback " + settings.plugin);
  }
}

// ---- work

void Loader::dispatch() {
  const std::int64_t now = EventLoop::now_ns();
  if (!stopping_) {
    for (Schedule::Dispatch& dispatch : schedule_->decide(now)) {
      for (wire::JobName& job : dispatch.jobs) job.traced = follow_.any();
      if (pool_->send(dispatch.worker, wire::Jobs{dispatch.jobs})) continue;
      for (const wire::JobName& job : dispatch.jobs) {  // did not fit into the channel: later
        wire::Done revoked;
        revoked.id = job.id;
        revoked.outcome = Outcome::kRevoked;
        schedule_->finished(dispatch.worker, revoked, now);
      }
    }
    if (const auto hoarder = schedule_->hoarder(now)) {
      const std::uint32_t in_hand = pool_->revoke(*hoarder, schedule_->last_id(*hoarder));
      schedule_->revoked(*hoarder, in_hand);
    }
  }
  if (!asked_before_.empty()) answer_replaced();
  rearm(now);
}

void Loader::rearm(std::int64_t now) {
  std::int64_t next = next_second_ns_;
  if (stopping_ || schedule_->any_in_hand()) {
    next = std::min(next, now + (stopping_ || schedule_->crowded() ? 100 * kMillisecond : pool_->tick_interval()));
  }
  if (const auto wakeup = schedule_->next_wakeup(now)) next = std::min(next, std::max(*wakeup, now + kMillisecond));
  if (const std::int64_t due = waiting_->next_due_ms(); due >= 0) {
    next = std::min(next, std::max(due * kMillisecond, now + kMillisecond));
  }
  if (armed_ns_ != 0 && armed_ns_ <= next) return;  // a tick too early costs less than a system call for each event
  armed_ns_ = next;
  loop_.arm(tick_timer_, next);
}

void Loader::tick() {
  const std::int64_t now = EventLoop::now_ns();
  armed_ns_ = 0;
  metrics_.turned(now);
  pool_->tick(now);
  if (auto moved = waiting_->move_due(now / kMillisecond); !moved) log_.write(Level::kWarning, "a retry waits 10 s more: " + moved.error().text);
  if (now >= next_second_ns_) {
    next_second_ns_ = now + kSecond;
    if (!control_) (void)listen_to_commands();
    check_pressure();
    next_chore();
    follow_.expire(now);
    kill_strangers();
    watch_developed();
    metrics_.set_unready(unready());
    log_.look();
    metrics_.set_log_problems(log_.problems().size());
    watcher_->tick(now);
    enter_sources();
    for (std::size_t step = 0; step < steps_.size(); ++step) {
      if (steps_[step].retired) continue;
      const StepSettings& settings = *steps_[step].settings;
      metrics_.set_queue(settings.plugin, settings.name, static_cast<double>(schedule_->queued(step) + schedule_->in_flight(step)));
      const auto health = health_.of(step);
      metrics_.set_health(settings.plugin, settings.name, health ? std::optional<std::uint8_t>(health->state) : std::nullopt);
      metrics_.set_suspended(settings.plugin, settings.name, schedule_->mood(step) == Schedule::Mood::kSuspended);
      const auto oldest = SpoolName::parse(schedule_->oldest(step));
      metrics_.set_oldest(settings.plugin, settings.name, oldest ? static_cast<double>(std::max<std::int64_t>(0, real_ms() - uid_time_ms(oldest->uid))) / 1000 : 0);
      for (const auto& [state, name] : {std::pair(WorkerPool::State::kStarting, "starting"), std::pair(WorkerPool::State::kStandby, "standby"),
                                        std::pair(WorkerPool::State::kReady, "ready"), std::pair(WorkerPool::State::kStopping, "stopping"),
                                        std::pair(WorkerPool::State::kReaping, "reaping")}) {
        metrics_.set_workers(settings.plugin, settings.name, name, pool_->count(step, state));
      }
    }
  }
  if (now >= next_rescan_ns_) {
    next_rescan_ns_ = now + static_cast<std::int64_t>(settings_->general.rescan_interval_s * 1e9);
    forget_refusals();
    watcher_->rescan();
    strays_due_ = accepts_left_ = true;
  }
  metrics_.set_trash_files(static_cast<double>(trash_files_));
  metrics_.set_step_trash(trash_of_);
  if (stopping_ && pool_->all_stopped() && !chore_ && !reloads() && !kill_strangers()) return loop_.stop();
  rearm(now);
}

void Loader::note_health(WorkerId worker, std::size_t step, const wire::Health& health) {
  const auto before = health_.of(step);
  if (!health_.report(step, worker, health, EventLoop::now_ns())) return;
  const auto now = health_.of(step);
  if (before && before->state == now->state && before->text == now->text) return;
  if (!before && now->state == MFDATA_HEALTH_OK) return;
  log_.write(now->state == MFDATA_HEALTH_OK ? Level::kInfo : now->state == MFDATA_HEALTH_DEGRADED ? Level::kWarning : Level::kError,
             steps_[step].settings->slashed() + " is " + health_word(now->state) + (now->text.empty() ? "" : ": " + printable(now->text)));
}

// What keeps files from flowing, and is not as an operator wants it.
std::vector<std::string> Loader::unready() const {
  std::vector<std::string> reasons;
  if (stopping_) reasons.push_back("the loader is stopping");
  if (no_space_) reasons.push_back("the entrances are closed: less than min_free_space or min_free_inodes is left");
  if (under_pressure_) reasons.push_back("the entrances are closed: a queue is over its max_queue");
  for (std::size_t step = 0; step < steps_.size(); ++step) {
    if (steps_[step].retired) continue;
    const std::string name = steps_[step].settings->slashed(), failure = pool_->last_failure(step);
    if (schedule_->mood(step) == Schedule::Mood::kSuspended) reasons.push_back(name + " is suspended: it crashes");
    if (schedule_->mood(step) == Schedule::Mood::kPaused) reasons.push_back(name + " waits: the system refuses what it does, see the log");
    if (!failure.empty()) reasons.push_back(name + " does not start: " + printable(failure));
    const auto health = health_.of(step);
    if (health && health->state == MFDATA_HEALTH_FAILED) reasons.push_back(name + " has failed: " + printable(health->text));
  }
  return reasons;
}

// Back-pressure acts at the entrances only: cycles inside the spool must drain.
void Loader::check_pressure() {
  bool over = false;
  for (std::size_t step = 0; step < steps_.size(); ++step) {
    const std::uint64_t limit = steps_[step].settings->max_queue;
    over = over || (!steps_[step].retired && limit > 0 && schedule_->backlog(step) > limit);
  }
  const GeneralSettings& general = settings_->general;
  const bool full = !has_free_space(general.data_dir, general.min_free_space, general.min_free_inodes);
  if (full != no_space_) {
    log_.write(full ? Level::kError : Level::kInfo,
               full ? "less than min_free_space or min_free_inodes is left: nothing new is accepted until there is room"
                    : "there is room again: arrivals are accepted");
  }
  if (no_space_ && !full) watcher_->rescan();  // what was turned away for want of room
  if (over != under_pressure_ && !full) {
    log_.write(Level::kInfo,
               over ? "a queue is over its max_queue: the entrances are closed" : "the queues are below max_queue: the entrances are open");
  }
  no_space_ = full;
  under_pressure_ = over;
  const FreeSpace room = free_space(general.data_dir);
  metrics_.set_room(!full && !over, room.bytes, room.inodes);
  schedule_->close_entrances(full || over);
  pool_->set_pressure(full ? 2 : over ? 1 : 0, kRetryAfterMs);
}

}  // namespace mfdata
