#include "worker_pool.hpp"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include <algorithm>
#include <random>
#include <sstream>

namespace mfdata {
namespace {

constexpr Nanoseconds kMaxBackoff = 60 * kSecond;
constexpr Nanoseconds kLongStop = 5 * kSecond;
constexpr std::ptrdiff_t kBesideAtOnce = 4;        // so that files go on flowing, and memory is not doubled
constexpr Nanoseconds kStopGrace = 5 * kSecond;

std::string describe_status(int status) {
  if (WIFSIGNALED(status)) return "signal " + std::to_string(WTERMSIG(status)) + " (" + ::strsignal(WTERMSIG(status)) + ')';
  const std::string code = "exit code " + std::to_string(WEXITSTATUS(status));
  return WEXITSTATUS(status) == 0 ? code + ", which nobody has asked for" : code;
}

Nanoseconds nanoseconds(double seconds) { return static_cast<Nanoseconds>(seconds * 1e9); }

std::string shown_seconds(double seconds) {
  std::ostringstream text;
  text << seconds << " s";
  return text.str();
}

// max_age + random(0..max_age), so that the workers of a step are not replaced at once.
Nanoseconds random_age(double max_age_s) {
  static std::mt19937_64 engine{std::random_device{}()};
  if (max_age_s <= 0) return 0;
  return static_cast<Nanoseconds>((max_age_s + std::uniform_real_distribution<double>(0, max_age_s)(engine)) * 1e9);
}

}  // namespace

WorkerPool::WorkerPool(EventLoop& loop, std::string program, Owner owner) : loop_(loop), program_(std::move(program)), owner_(std::move(owner)) {}

WorkerPool::~WorkerPool() = default;

void WorkerPool::add(wire::WorkerSettings settings) {
  steps_.push_back(std::move(settings));
  held_.push_back(false);
  failures_.emplace_back();
  set_tick_interval();
}

// Also of the timeouts that workers were started with, and which are the step's no more.
void WorkerPool::set_tick_interval() {
  double shortest = 10;
  for (const wire::WorkerSettings& settings : steps_) shortest = std::min(shortest, settings.step.timeout_s);
  for (const auto& seat : seats_) shortest = std::min(shortest, seat->process ? seat->timeout_s : shortest);
  tick_interval_ = std::max(static_cast<Nanoseconds>(shortest * 1e8), 100 * kMillisecond);
}

void WorkerPool::resize(std::size_t step, unsigned numprocesses, bool recover_first) {
  const Nanoseconds now = EventLoop::now_ns();
  unsigned there = 0;
  for (auto& seat : seats_) {
    if (seat->step != step) continue;
    if (!seat->beside) ++there;
    seat->given_up = seat->slot >= numprocesses;
    if (seat->given_up && runs(*seat)) stop(*seat, now);
  }
  for (unsigned slot = there; slot < numprocesses; ++slot) {
    auto& seat = seats_.emplace_back(std::make_unique<Seat>());
    seat->step = step;
    seat->slot = slot;
    if (recover_first) seat->state = State::kReaping;
  }
}

std::size_t WorkerPool::seats(std::size_t step) const {
  return static_cast<std::size_t>(
      std::count_if(seats_.begin(), seats_.end(), [&](const auto& seat) { return seat->step == step && !seat->beside; }));
}

bool WorkerPool::owns(std::size_t step, unsigned long slot) const {
  return std::any_of(seats_.begin(), seats_.end(),
                     [&](const auto& seat) { return seat->step == step && seat->slot == slot && !(seat->given_up && seat->state == State::kEmpty); });
}

bool WorkerPool::idle(std::size_t step) const {
  return std::all_of(seats_.begin(), seats_.end(), [&](const auto& seat) { return seat->step != step || seat->state == State::kEmpty; });
}

std::set<std::string> WorkerPool::plugins_in_use() const {
  std::set<std::string> all;
  for (const auto& seat : seats_) {
    if (seat->state != State::kEmpty) all.insert(seat->stands_on.begin(), seat->stands_on.end());
  }
  return all;
}

WorkerPool::Seat* WorkerPool::seat_of(WorkerId worker) {
  const auto seat = std::find_if(seats_.begin(), seats_.end(), [&](const auto& s) { return s->id == worker && s->process; });
  return seat == seats_.end() ? nullptr : seat->get();
}

void WorkerPool::put_off(Seat& seat, Nanoseconds now) {
  seat.backoff = std::clamp(seat.backoff * 2, kSecond, kMaxBackoff);
  seat.next_start = now + seat.backoff;
}

void WorkerPool::start(Seat& seat, Nanoseconds now) {
  wire::WorkerSettings settings = steps_[seat.step];
  settings.slot = seat.slot;
  auto process = WorkerProcess::start(program_, settings);
  if (!process) {
    failures_[seat.step] = process.error().text;
    owner_.warn(settings.step.slashed() + ": " + process.error().text);
    return put_off(seat, now);
  }
  seat.process = std::move(*process);
  seat.id = next_id_++;
  seat.version = settings.plugin_version;
  if (!targets_ || *targets_ != settings.targets) targets_ = std::make_shared<const std::vector<std::string>>(settings.targets);
  seat.targets = targets_;
  seat.stands_on = {settings.step.plugin};
  for (const wire::PredicateLibrary& predicate : settings.predicates) seat.stands_on.push_back(predicate.plugin);
  seat.timeout_s = settings.step.timeout_s;
  seat.sources = settings.sources.size();
  seat.outdated = false;
  seat.start_timeout_s = settings.step.start_timeout_s;
  seat.state = State::kStarting;
  seat.started = now;
  seat.was_useful = seat.crashed = seat.spared = seat.group_dead = false;
  seat.first_error.clear();
  seat.sockets.clear();
  seat.deposits = {};
  seat.in_hand.clear();
  seat.settled.clear();
  seat.planned.clear();
  seat.kill_reason.clear();
  seat.kill_at = 0;
  const Nanoseconds age = random_age(settings.step.max_age_s);
  seat.replace_at = age > 0 ? now + age : 0;
  seat.process->page().pressure = pressure_;
  seat.process->page().retry_after_ms = retry_after_ms_;
  seat.on_channel = loop_.on_readable(seat.process->channel(), [this, &seat] { read_channel(seat); });
  seat.on_output = loop_.on_readable(seat.process->output(), [this, &seat] { read_output(seat); });
}

void WorkerPool::read_output(Seat& seat) {
  bool closed = false;
  const std::string lines = seat.process->read_output(closed);
  if (!lines.empty()) {
    const std::size_t error = lines.starts_with("<3>") ? 0 : lines.find("\n<3>");
    if (seat.first_error.empty() && error != std::string::npos) {
      const std::size_t begin = lines.find("<3>", error) + 3;
      seat.first_error = lines.substr(begin, lines.find('\n', begin) - begin);
    }
    owner_.output(seat.step, lines);
  }
  if (closed) seat.on_output.reset();
}

void WorkerPool::read_channel(Seat& seat) {
  for (int round = 0; round < 32; ++round) {
    auto received = seat.process->receive();
    if (!received) {
      owner_.warn(steps_[seat.step].step.slashed() + ": its worker sent " + received.error().text + "; it is killed");
      seat.kill_reason = "a broken message";
      seat.process->kill();
      seat.on_channel.reset();
      return;
    }
    if (!received->has_value()) {
      if (round == 0) seat.on_channel.reset();  // end of file: SIGCHLD follows
      return;
    }
    wire::Message& message = **received;
    if (const auto* ready = std::get_if<wire::Ready>(&message); ready && seat.state == State::kStarting) {
      become_ready(seat, ready->batch);
    } else {
      take(seat, message);
    }
  }
}

void WorkerPool::become_ready(Seat& seat, std::size_t batch) {
  seat.batch = batch;
  if (!seat.beside) return enter(seat);
  seat.state = State::kStandby;
  if (seat.before->state == State::kReady) stop(*seat.before, EventLoop::now_ns());
}

void WorkerPool::enter(Seat& seat) {
  seat.state = State::kReady;
  failures_[seat.step].clear();
  if (steps_[seat.step].step.kind == WorkerKind::kListener) owner_.sockets_in_use(seat.step, seat.sockets);
  owner_.ready(seat.id, seat.step, seat.batch);
}

void WorkerPool::take(Seat& seat, wire::Message& message) {
  if (auto* results = std::get_if<wire::Results>(&message)) {
    const auto treated = [](const wire::Done& done) { return done.duration_ns > 0; };
    if (std::any_of(results->done.begin(), results->done.end(), treated)) seat.was_useful = true;
    if (seat.was_useful) seat.backoff = 0;
    owner_.results(seat.id, seat.step, std::move(*results), *seat.targets);
  } else if (auto* metrics = std::get_if<wire::Metrics>(&message)) {
    owner_.metrics(seat.step, *metrics);
  } else if (const auto* health = std::get_if<wire::Health>(&message)) {
    owner_.health(seat.id, seat.step, *health);
  } else if (const auto* wanted = std::get_if<wire::SocketRequest>(&message)) {
    std::set<std::string> in_use;
    for (const auto& other : seats_) {
      if (other->step == seat.step && other->process && other->state != State::kReaping) in_use.insert(other->sockets.begin(), other->sockets.end());
    }
    const auto socket = owner_.socket(seat.step, *wanted, in_use);
    if (socket) seat.sockets.insert(wanted->address);
    if (!seat.process->send_socket({socket ? "" : socket.error().text}, socket ? *socket : -1)) seat.process->kill();  // it waits
  } else if (const auto* accepted = std::get_if<wire::Accepted>(&message)) {
    owner_.accepted(*accepted);
  } else if (const auto* trace = std::get_if<wire::Trace>(&message)) {
    take_trace(seat, *trace);
  }
}

void WorkerPool::take_trace(Seat& seat, const wire::Trace& trace) {
  if (trace.planned) {
    std::vector<wire::Trace>& plan = seat.planned[trace.uid];
    if (!plan.empty() && !plan.back().more) plan.clear();  // of an end that came to nothing
    plan.push_back(trace);
    return;
  }
  seat.planned.erase(trace.uid);
  owner_.traced(seat.step, trace, *seat.targets);
}

void WorkerPool::start_beside(Seat& seat, Nanoseconds now) {
  const auto starting = std::count_if(seats_.begin(), seats_.end(), [](const auto& other) {
    return other->beside && (other->state == State::kStarting || other->state == State::kStopping);
  });
  if (starting >= kBesideAtOnce) return;
  Seat& next = *seats_.emplace_back(std::make_unique<Seat>());
  next.step = seat.step;
  next.slot = seat.slot;
  next.beside = true;
  next.before = &seat;
  seat.next = &next;
  start(next, now);
  if (!next.process) give_up_beside(next, failures_[seat.step], now);
}

// It has never owned anything of the spool: nothing is recovered.
void WorkerPool::bury_beside(Seat& seat, int status, Nanoseconds now) {
  seat.process->kill();
  drain(seat);
  const bool asked = seat.state == State::kStopping;  // before it had anything to do
  const bool refused = WIFEXITED(status) && WEXITSTATUS(status) == wire::kRefusedExit;
  seat.death = death_of(seat, status);
  owner_.exited(seat.step, seat.version, refused ? "refused" : asked ? "stopped" : seat.death, !asked && !refused);
  owner_.gone(seat.id, seat.step);
  if (!seat.before) return remove(seat);
  give_up_beside(seat, !seat.first_error.empty() ? seat.first_error : "it ended with " + seat.death, now);
}

// As it may be for want of what the one before has, that one ends first.
// `why` is not a reference: it may be what is cleared.
void WorkerPool::give_up_beside(Seat& seat, std::string why, Nanoseconds now) {
  Seat& before = *seat.before;
  failures_[seat.step].clear();
  owner_.warn(steps_[seat.step].step.slashed() + ": its next worker cannot be started beside the one that it replaces (" + why +
              "): that one ends first");
  remove(seat);
  if (before.state == State::kReady) stop(before, now);
}

// The slot is recovered: it is the other one's now.
void WorkerPool::hand_over(Seat& seat) {
  Seat& next = *seat.next;
  next.beside = false;
  next.before = nullptr;
  remove(seat);
  if (next.state == State::kStandby) enter(next);
}

void WorkerPool::remove(const Seat& seat) {
  if (seat.before) seat.before->next = nullptr;
  std::erase_if(seats_, [&](const auto& one) { return one.get() == &seat; });
}

void WorkerPool::stop(Seat& seat, Nanoseconds now) {
  seat.state = State::kStopping;
  seat.outdated = false;
  const bool is_step = steps_[seat.step].step.kind == WorkerKind::kStep;  // then its files have the time first
  seat.kill_at = now + (seat.beside ? kStopGrace : nanoseconds(seat.timeout_s) + (is_step ? kStopGrace : 0));  // beside: without a file in hand
  if (seat.before) seat.before->next = nullptr;
  seat.before = nullptr;
  seat.stopped_at = now;
  seat.notice_after = kLongStop;
  seat.next_notice = now + seat.notice_after;
  owner_.draining(seat.id);
  seat.process->terminate();
}

// Why a worker has to be killed now; empty: it need not be.
std::string WorkerPool::overdue(const Seat& seat, Nanoseconds now) const {
  const wire::ProgressPage& page = seat.process->page();
  const auto lasts = [&](Nanoseconds since, double limit_s) {
    if (since <= 0 || since > now) return false;
    const Nanoseconds asleep = since < gap_end_ ? std::min(gap_, gap_end_ - since) : 0;
    return now - since - asleep > nanoseconds(limit_s);
  };
  const std::string in_time = shown_seconds(seat.timeout_s);
  if (steps_[seat.step].step.kind == WorkerKind::kStep && lasts(static_cast<Nanoseconds>(page.started_ns.load()), seat.timeout_s)) {
    return "timeout: more than " + in_time + " on one file";
  }
  if (seat.state == State::kStarting) {
    return lasts(seat.started, seat.start_timeout_s) ? "start_timeout: not ready after " + shown_seconds(seat.start_timeout_s) : "";
  }
  const auto call = static_cast<wire::Call>(page.call.load());
  const double limit_s = call == wire::Call::kCreate ? seat.start_timeout_s : seat.timeout_s;  // also when it is to stop meanwhile
  if (lasts(static_cast<Nanoseconds>(page.called_ns.load()), limit_s)) {
    return "timeout: more than " + shown_seconds(limit_s) + " in " + wire::call_name(call);
  }
  if (seat.state == State::kStopping && now > seat.kill_at) {
    const Nanoseconds given = seat.kill_at - seat.stopped_at;
    return "timeout: it did not stop within " + shown_seconds(static_cast<double>(given) / 1e9) + " when asked";
  }
  return "";
}

void WorkerPool::check_times(Seat& seat, Nanoseconds now) {
  if (!seat.kill_reason.empty()) return;  // it is killed
  seat.kill_reason = overdue(seat, now);
  if (!seat.kill_reason.empty()) {
    seat.process->kill();
  } else if (seat.state == State::kStopping && now > seat.next_notice) {
    seat.notice_after *= 2;
    seat.next_notice = now + seat.notice_after;
    owner_.waits_for(seat.step, in_hand_of(seat));
  } else if (seat.state == State::kReady && seat.replace_at > 0 && now > seat.replace_at) {
    stop(seat, now);
  }
}

void WorkerPool::tell_deposits(Seat& seat) {
  if (steps_[seat.step].step.kind != WorkerKind::kListener) return;
  const wire::ProgressPage& page = seat.process->page();
  const Deposits now{page.deposits, page.deposit_bytes, page.repeats};
  const Deposits fresh{now.files - seat.deposits.files, now.bytes - seat.deposits.bytes, now.repeats - seat.deposits.repeats};
  seat.deposits = now;
  if (fresh.files + fresh.repeats > 0) owner_.deposited(seat.step, fresh);
}

void WorkerPool::tick(Nanoseconds now) {
  constexpr Nanoseconds kAsleep = 5 * kSecond;  // since we tick each second: the machine, or all of the service, was stopped
  if (last_tick_ > 0 && now - last_tick_ > kAsleep) {
    gap_ = now - last_tick_;
    gap_end_ = now;
  }
  last_tick_ = now;
  for (std::size_t i = 0; i < seats_.size(); ++i) {  // others are added meanwhile, and removed
    Seat* const seat = seats_[i].get();
    switch (seat->state) {
      case State::kEmpty:
        if (!stopping_ && !held_[seat->step] && !seat->given_up && now >= seat->next_start) start(*seat, now);
        break;
      case State::kReady:
        check_times(*seat, now);
        tell_deposits(*seat);
        if (seat->state == State::kReady && seat->outdated && !seat->next) start_beside(*seat, now);
        break;
      case State::kStarting:
      case State::kStandby: check_times(*seat, now); break;
      case State::kStopping:
        tell_deposits(*seat);
        check_times(*seat, now);
        break;
      case State::kReaping:
        if (!seat->reaper && now >= seat->next_start) start_reaper(*seat, now);
        break;
    }
  }
}

// What it said before it died.
void WorkerPool::drain(Seat& seat) {
  while (true) {
    auto last = seat.process->receive();
    if (!last || !last->has_value()) break;
    take(seat, **last);
  }
  read_output(seat);
}

std::string WorkerPool::death_of(const Seat& seat, int status) {
  if (!seat.kill_reason.empty()) return seat.kill_reason;
  if (WIFEXITED(status) && WEXITSTATUS(status) == wire::kSpoiledExit) return "spoiled: " + seat.process->last_words();
  return describe_status(status);
}

// The worker itself is dead; what it started is killed, and its slot recovered once they are gone.
void WorkerPool::bury(Seat& seat, int status) {
  const Nanoseconds now = EventLoop::now_ns();
  if (seat.beside) return bury_beside(seat, status, now);
  seat.process->kill();
  drain(seat);
  tell_deposits(seat);
  if (seat.process->page().unreported > 0) {
    seat.was_useful = true;
    owner_.succeeded(seat.step);
  }
  const bool in_hand = seat.process->page().started_ns != 0;
  const bool refused = WIFEXITED(status) && WEXITSTATUS(status) == wire::kRefusedExit && seat.state == State::kStarting;
  const bool asked = seat.state == State::kStopping && seat.kill_reason.empty();
  const bool said_farewell = seat.process->page().farewell != static_cast<std::uint32_t>(wire::Farewell::kNone);
  const bool clean = WIFEXITED(status) && WEXITSTATUS(status) == 0 && !in_hand && (asked || said_farewell);
  seat.in_hand = seat.process->in_hand();
  seat.death = death_of(seat, status);
  seat.crashed = !clean && !refused && !(asked && !in_hand) && !seat.spared;
  const bool never_ready = seat.state == State::kStarting;
  const bool lived = seat.was_useful || now - seat.started > kMaxBackoff;
  if (never_ready) {
    const std::string end = (seat.kill_reason.empty() ? "it ended with " + seat.death : "it was killed (" + seat.kill_reason + ')') + " before it was ready";
    failures_[seat.step] = !seat.first_error.empty() ? seat.first_error : end;
  }
  if (lived) seat.backoff = 0;
  // Crashes on files are the schedule's to count: it suspends the step, and probes it in its own time.
  const bool on_a_file = in_hand && !never_ready;
  if (asked || lived || on_a_file) {
    seat.next_start = now;
  } else {
    put_off(seat, now);
  }
  owner_.exited(seat.step, seat.version, refused ? "refused" : clean ? "stopped" : seat.death, seat.crashed);
  const WorkerId id = seat.id;
  seat.on_channel.reset();
  seat.on_output.reset();
  seat.state = State::kReaping;
  owner_.gone(id, seat.step);
  start_reaper(seat, now);
}

// Once everything that the worker started is dead; tried again at each tick and each death of a child.
void WorkerPool::start_reaper(Seat& seat, Nanoseconds now) {
  if (seat.process && !seat.group_dead && seat.process->group_lives()) {
    seat.process->kill();
    return;
  }
  seat.group_dead = true;  // its number may be somebody else's from now on
  if (owner_.orphans_live(seat.step, seat.slot)) return;
  wire::WorkerSettings settings = steps_[seat.step];
  settings.task = wire::Task::kReap;
  settings.slot = seat.slot;
  settings.count_crash = seat.crashed && !owner_.suspended(seat.step);
  settings.crash_reason = seat.death;
  if (!seat.version.empty()) settings.plugin_version = seat.version;
  settings.crash_in_hand = seat.in_hand;
  auto reaper = WorkerProcess::start(program_, settings);
  if (!reaper) {
    owner_.warn(reaper.error().text);
    return put_off(seat, now);
  }
  seat.reaper = std::move(*reaper);
  seat.on_reaper = loop_.on_readable(seat.reaper->channel(), [this, &seat] {
    if (!read_reaper(seat)) seat.on_reaper.reset();
  });
  seat.on_reaper_output = loop_.on_readable(seat.reaper->output(), [this, &seat] { read_reaper_output(seat); });
}

void WorkerPool::read_reaper_output(Seat& seat) {
  bool closed = false;
  const std::string lines = seat.reaper->read_output(closed);
  if (!lines.empty()) owner_.output(seat.step, lines);
  if (closed) seat.on_reaper_output.reset();
}

// True when something came; otherwise the channel is empty or closed.
bool WorkerPool::read_reaper(Seat& seat) {
  bool came = false;
  while (true) {
    auto received = seat.reaper->receive();
    if (!received || !received->has_value()) return came;
    came = true;
    if (auto* settled = std::get_if<wire::SettledFile>(&**received)) seat.settled.push_back(std::move(*settled));
  }
}

void WorkerPool::finish_reaping(Seat& seat, int status, Nanoseconds now) {
  read_reaper(seat);
  read_reaper_output(seat);
  seat.on_reaper.reset();
  seat.on_reaper_output.reset();
  seat.reaper.reset();
  for (wire::SettledFile& file : seat.settled) {
    if (file.what == "finished" && seat.planned.contains(file.uid)) {
      file.delivered.clear();  // the plan says so
    } else {
      seat.planned.erase(file.uid);
    }
  }
  owner_.settled(seat.step, seat.version, std::exchange(seat.settled, {}));
  if (status != 0 && !stopping_) {  // tried again: nothing may start in this slot before
    owner_.warn(steps_[seat.step].step.slashed() + ": what its worker left could not be recovered yet, see its log");
    return put_off(seat, now);
  }
  // What was planned, and is not in the slot, was committed.
  for (const auto& [uid, parts] : std::exchange(seat.planned, {})) {
    for (const wire::Trace& part : parts) owner_.traced(seat.step, part, *seat.targets);
  }
  seat.process.reset();
  seat.state = State::kEmpty;
  if (seat.next) hand_over(seat);
}

bool WorkerPool::knows(pid_t pid) const {
  return std::any_of(seats_.begin(), seats_.end(), [&](const auto& seat) {
    return (seat->process && seat->process->pid() == pid) || (seat->reaper && seat->reaper->pid() == pid);
  });
}

bool WorkerPool::child_died(pid_t pid, int status) {
  for (auto& seat : seats_) {
    if (seat->process && seat->process->pid() == pid && seat->state != State::kReaping) {
      bury(*seat, status);
      return true;
    }
    if (seat->reaper && seat->reaper->pid() == pid) {
      finish_reaping(*seat, status, EventLoop::now_ns());
      return true;
    }
  }
  return false;
}

bool WorkerPool::send(WorkerId worker, const wire::Jobs& jobs) {
  Seat* seat = seat_of(worker);
  return seat && seat->process->send(jobs);
}

std::uint32_t WorkerPool::revoke(WorkerId worker, std::uint32_t up_to) {
  Seat* seat = seat_of(worker);
  if (!seat) return UINT32_MAX;
  seat->process->page().revoked_up_to = up_to;
  return seat->process->page().job;
}

void WorkerPool::set_pressure(std::uint32_t pressure, std::uint32_t retry_after_ms) {
  pressure_ = pressure;
  retry_after_ms_ = retry_after_ms;
  for (auto& seat : seats_) {
    if (!seat->process) continue;
    seat->process->page().retry_after_ms = retry_after_ms;
    seat->process->page().pressure = pressure;
  }
}

void WorkerPool::replace(std::size_t step, wire::WorkerSettings settings, bool beside) {
  const Nanoseconds now = EventLoop::now_ns();
  steps_[step] = std::move(settings);
  set_tick_interval();
  failures_[step].clear();
  for (auto& seat : seats_) {
    if (seat->step != step) continue;
    if (beside && seat->state == State::kReady) {
      seat->outdated = true;
    } else if (runs(*seat)) {
      stop(*seat, now);
    }
    if (seat->state == State::kEmpty) seat->next_start = now;  // what it waited for is gone
    seat->backoff = 0;
  }
}

bool WorkerPool::replacing() const {
  return std::any_of(seats_.begin(), seats_.end(), [](const auto& seat) { return seat->state == State::kReady && seat->outdated; });
}

bool WorkerPool::know_source(std::size_t step, std::uint16_t source) const {
  return std::none_of(seats_.begin(), seats_.end(),
                      [&](const auto& seat) { return seat->step == step && seat->state == State::kReady && source >= seat->sources; });
}

void WorkerPool::hold(std::size_t step, bool held) {
  const Nanoseconds now = EventLoop::now_ns();
  held_[step] = held;
  for (auto& seat : seats_) {
    if (seat->step != step) continue;
    if (held && runs(*seat)) stop(*seat, now);
    if (!held && seat->state == State::kEmpty) seat->next_start = now;
  }
}

std::string WorkerPool::draining(std::size_t step) const {
  const auto old = std::find_if(seats_.begin(), seats_.end(), [&](const auto& seat) {
    const bool ends = seat->state == State::kStopping || (seat->state == State::kReady && seat->outdated);
    return seat->step == step && ends && seat->version != steps_[step].plugin_version;
  });
  return old == seats_.end() ? "" : (*old)->version;
}

void WorkerPool::stop_all() {
  stopping_ = true;
  for (auto& seat : seats_) {
    if (runs(*seat)) stop(*seat, EventLoop::now_ns());
  }
}

bool WorkerPool::all_stopped() const {
  return std::all_of(seats_.begin(), seats_.end(), [](const auto& seat) { return seat->state == State::kEmpty; });
}

unsigned WorkerPool::count(std::size_t step, State state) const {
  return static_cast<unsigned>(
      std::count_if(seats_.begin(), seats_.end(), [&](const auto& seat) { return seat->step == step && seat->state == state; }));
}

std::vector<pid_t> WorkerPool::pids(std::size_t step) const {
  std::vector<pid_t> all;
  for (const auto& seat : seats_) {
    if (seat->step == step && seat->process && seat->state != State::kReaping) all.push_back(seat->process->pid());
  }
  return all;
}

WorkerPool::InHand WorkerPool::in_hand_of(const Seat& seat) {
  const wire::ProgressPage& page = seat.process->page();
  const auto since = static_cast<Nanoseconds>(page.started_ns.load());
  return {seat.id, seat.process->pid(), seat.slot, seat.version, page.job, since, seat.state == State::kStopping};
}

std::vector<WorkerPool::InHand> WorkerPool::in_hand(std::size_t step) const {
  std::vector<InHand> all;
  for (const auto& seat : seats_) {
    if (seat->step != step || !seat->process || seat->state == State::kReaping) continue;
    if (InHand one = in_hand_of(*seat); one.since > 0 && steps_[step].step.kind == WorkerKind::kStep) all.push_back(std::move(one));
  }
  return all;
}

std::vector<WorkerPool::InHand> WorkerPool::kill_treatments(std::size_t step, bool all, bool charge) {
  std::vector<InHand> ended = in_hand(step);
  const auto longest = std::min_element(ended.begin(), ended.end(), [](const InHand& a, const InHand& b) { return a.since < b.since; });
  if (!all && longest != ended.end()) ended = {InHand(*longest)};
  for (const InHand& one : ended) {
    Seat& seat = *seat_of(one.worker);
    if (seat.kill_reason.empty()) seat.kill_reason = "ended by an operator";
    seat.spared = !charge;
    seat.process->kill();
  }
  return ended;
}

}  // namespace mfdata
