#include "schedule.hpp"

#include <algorithm>
#include <cmath>

namespace mfdata {
namespace {

using wire::Outcome;

constexpr double kAheadNs = 20e6;  // names ahead for about 20 ms
constexpr std::size_t kMaxAhead = 128;
constexpr Nanoseconds kHoarding = 50 * kMillisecond;
constexpr Nanoseconds kBusyAgain = kSecond;
constexpr Nanoseconds kMaxBackoff = 60 * kSecond;
constexpr std::size_t kSuspendAfter = 5;
constexpr std::size_t kMaxTroubles = 10'000;

}  // namespace

Schedule::Schedule(const std::vector<StepRules>& steps) {
  for (const StepRules& rules : steps) add(rules);
}

std::size_t Schedule::add(const StepRules& rules) {
  steps_.emplace_back().rules = rules;
  return steps_.size() - 1;
}

void Schedule::retire(std::size_t index) {
  Step& step = steps_[index];
  step.retired = true;
  resume(step);
  for (auto* lane : {&step.hops, &step.arrivals, &step.crashed}) lane->clear();
  drop_delayed(index, std::nullopt);
}

// Of one source of the step, or of all.
void Schedule::drop_delayed(std::size_t index, std::optional<std::uint16_t> source) {
  Step& step = steps_[index];
  std::erase_if(delayed_, [&](const auto& entry) {
    const auto& [owner, queued_name] = entry.second;
    if (owner != index || (source && queued_name.source != *source)) return false;
    step.in_flight.erase(key(queued_name));
    return true;
  });
  std::erase_if(step.troubles, [&](const auto& entry) { return !source || entry.second.file.source == *source; });
}

std::deque<Schedule::Queued>& Schedule::lane_of(Step& step, Lane lane) {
  switch (lane) {
    case Lane::kHop: return step.hops;
    case Lane::kArrival: return step.arrivals;
    case Lane::kCrashed: return step.crashed;
  }
  return step.hops;
}

std::size_t Schedule::queued(std::size_t index) const {
  const Step& step = steps_[index];
  return step.hops.size() + step.arrivals.size() + step.crashed.size();
}

std::size_t Schedule::in_flight(std::size_t index) const { return steps_[index].in_flight.size(); }

std::size_t Schedule::backlog(std::size_t index) const {
  const Step& step = steps_[index];
  return step.hops.size() + step.crashed.size() + step.in_flight.size();
}

std::string Schedule::oldest(std::size_t index) const {
  const Step& step = steps_[index];
  return !step.hops.empty() ? step.hops.front().name : !step.crashed.empty() ? step.crashed.front().name : "";
}

bool Schedule::any_in_hand() const {
  return std::any_of(workers_.begin(), workers_.end(), [](const auto& entry) { return !entry.second.flights.empty(); });
}

bool Schedule::idle(std::size_t step) const {
  return std::none_of(workers_.begin(), workers_.end(), [&](const auto& entry) { return entry.second.step == step && !entry.second.flights.empty(); });
}

std::size_t Schedule::in_hand() const {
  std::size_t all = 0;
  for (const auto& [id, worker] : workers_) all += worker.flights.size();
  return all;
}

bool Schedule::crowded() const {
  return std::any_of(workers_.begin(), workers_.end(), [&](const auto& entry) {
    return entry.second.flights.size() > 1 || has_work(steps_[entry.second.step]);
  });
}

void Schedule::revive(std::size_t index) {
  steps_[index].retired = steps_[index].rests = false;
  resume(steps_[index]);
}

bool Schedule::any_in_flight(std::size_t index, std::uint16_t source) const {
  const std::string prefix = std::to_string(source) + '/';
  const auto& names = steps_[index].in_flight;
  return std::any_of(names.begin(), names.end(), [&](const auto& entry) { return entry.first.starts_with(prefix); });
}

bool Schedule::has_room(std::size_t step) const { return queued(step) < steps_[step].rules.max_queued / 2; }

bool Schedule::offer(std::size_t index, Lane lane, std::uint16_t source, std::string name, bool alone) {
  Step& step = steps_[index];
  Queued queued_name{lane, source, std::move(name), alone || lane == Lane::kCrashed};
  if (auto flight = step.in_flight.find(key(queued_name)); flight != step.in_flight.end()) {
    flight->second = true;
    return true;
  }
  if (step.retired || step.left.contains(source)) return true;
  if (queued(index) >= step.rules.max_queued) return false;
  auto& queue = lane_of(step, lane);
  const bool twice = !queue.empty() && queue.back().source == source && queue.back().name == queued_name.name;  // renamed, then closed
  if (!twice) queue.push_back(std::move(queued_name));
  return true;
}

void Schedule::forget(std::size_t index, std::uint16_t source) {
  Step& step = steps_[index];
  for (auto* lane : {&step.hops, &step.arrivals, &step.crashed}) {
    std::erase_if(*lane, [&](const Queued& queued_name) { return queued_name.source == source; });
  }
}

void Schedule::leave(std::size_t index, std::uint16_t source) {
  forget(index, source);
  drop_delayed(index, source);
  steps_[index].left.insert(source);
}

// What nobody takes any more stays on disk.
void Schedule::queue_again(Step& step, Queued queued, bool in_front) {
  if (step.retired || step.left.contains(queued.source)) return;
  auto& lane = lane_of(step, queued.lane);
  in_front ? lane.push_front(std::move(queued)) : lane.push_back(std::move(queued));
}

void Schedule::worker_ready(WorkerId id, std::size_t step, std::size_t batch) {
  workers_[id].step = step;
  steps_[step].batch = batch;
}

void Schedule::worker_draining(WorkerId id) {
  if (auto worker = workers_.find(id); worker != workers_.end()) worker->second.draining = true;
}

void Schedule::worker_gone(WorkerId id, const std::function<bool(const Finished&)>& stands_there) {
  auto worker = workers_.find(id);
  if (worker == workers_.end()) return;
  Step& step = steps_[worker->second.step];
  auto& flights = worker->second.flights;
  for (auto flight = flights.rbegin(); flight != flights.rend(); ++flight) {
    const std::string name = key(flight->queued);
    step.in_flight.erase(name);
    if (!stands_there || stands_there(flight->queued)) {
      queue_again(step, std::move(flight->queued), true);
    } else {
      step.troubles.erase(name);  // it comes back under another one
    }
  }
  step.probing = false;
  workers_.erase(worker);
}

std::optional<Schedule::Finished> Schedule::begun(WorkerId id, std::uint32_t job, std::size_t& files) const {
  files = 0;
  const auto worker = workers_.find(id);
  if (worker == workers_.end()) return std::nullopt;
  std::optional<Finished> last;
  for (const Flight& flight : worker->second.flights) {
    if (flight.id > job) continue;
    ++files;
    if (flight.id == job) last = flight.queued;
  }
  if (steps_[worker->second.step].batch == 0) files = last ? 1 : 0;
  return last;
}

void Schedule::pause(Step& step, Nanoseconds now) {
  if (step.mood != Mood::kRunning && now < step.until) return;  // names that were sent ahead bring the same news
  if (step.mood == Mood::kRunning) step.mood = Mood::kPaused;
  step.backoff = std::clamp(step.backoff * 2, kSecond, kMaxBackoff);
  step.until = now + step.backoff;
  step.probing = false;
}

void Schedule::resume(Step& step) {
  step.mood = Mood::kRunning;
  step.backoff = 0;
  step.probing = false;
  step.crashes_in_a_row.clear();
}

std::optional<Schedule::Finished> Schedule::finished(WorkerId id, const wire::Done& done, Nanoseconds now) {
  auto found = workers_.find(id);
  if (found == workers_.end()) return std::nullopt;
  Worker& worker = found->second;
  Step& step = steps_[worker.step];
  worker.last_result = now;
  auto flight = std::find_if(worker.flights.begin(), worker.flights.end(), [&](const Flight& f) { return f.id == done.id; });
  if (flight == worker.flights.end()) return std::nullopt;
  Queued ended = std::move(flight->queued);
  worker.flights.erase(flight);
  step.probing = false;
  if (done.outcome == Outcome::kBusy) {  // stays in flight until it is asked again: a listing does not double it
    delayed_.emplace(now + kBusyAgain, std::pair(worker.step, ended));
    return ended;
  }
  if (done.outcome == Outcome::kNoSpace || done.outcome == Outcome::kError) {
    hold_back(worker.step, ended, done, now);
    return ended;
  }
  if (done.outcome != Outcome::kRevoked) step.troubles.erase(key(ended));
  const auto entry = step.in_flight.find(key(ended));
  const bool offered_again = entry != step.in_flight.end() && entry->second;
  if (entry != step.in_flight.end()) step.in_flight.erase(entry);
  switch (done.outcome) {
    case Outcome::kRevoked: queue_again(step, ended, true); return ended;
    case Outcome::kNoSpace:
    case Outcome::kError:
    case Outcome::kBusy:
    case Outcome::kGone:
    case Outcome::kRefused:
    case Outcome::kForeign:
    case Outcome::kCancelled: break;
    case Outcome::kYielded:
      step.rests = true;
      step.rests_until = std::max(step.rests_until, now + static_cast<Nanoseconds>(done.pause_ms) * kMillisecond);
      break;
    default:
      ++step.passed;
      step.mean_ns += (static_cast<double>(done.duration_ns) - step.mean_ns) / 16;
      if (step.mood != Mood::kRunning || !step.crashes_in_a_row.empty()) resume(step);
  }
  if (offered_again) queue_again(step, ended, false);
  return ended;
}

// It stays in flight until it is tried again: a listing does not double it. The next probe of the step is another file, since
// this one alone may be what cannot be processed; what fails again after others have passed is held back alone.
void Schedule::hold_back(std::size_t index, Queued queued, const wire::Done& done, Nanoseconds now) {
  Step& step = steps_[index];
  if (step.retired || step.left.contains(queued.source)) {
    step.in_flight.erase(key(queued));
    step.troubles.erase(key(queued));
    return;
  }
  if (!done.waits_as.empty() && done.waits_as != queued.name) {  // an arrival that has become ours: its old name is free
    const auto flight = step.in_flight.find(key(queued));
    const bool came_again = flight != step.in_flight.end() && flight->second;  // another file under that name
    if (flight != step.in_flight.end()) step.in_flight.erase(flight);
    if (came_again) queue_again(step, queued, false);
    queued = {Lane::kHop, wire::kStepSource, done.waits_as, queued.alone};
    std::erase_if(step.hops, [&](const Queued& told) { return told.source == queued.source && told.name == queued.name; });
    step.in_flight.emplace(key(queued), false);
  }
  const std::string name = key(queued);
  auto [entry, fresh] = step.troubles.try_emplace(name);
  Step::Trouble& trouble = entry->second;
  // Others have passed since it was first tried: that it fails again says nothing of them, whether one came meanwhile or not.
  const bool alone = !fresh && step.passed > trouble.passed_at_first;
  if (fresh) trouble.since = now;
  if (fresh) trouble.passed_at_first = step.passed;
  trouble.file = queued;
  trouble.reason = done.reason;
  trouble.no_space = done.outcome == Outcome::kNoSpace;
  trouble.backoff = std::clamp(trouble.backoff * 2, kSecond, kMaxBackoff);
  trouble.due = now + trouble.backoff;
  ++trouble.attempts;
  delayed_.emplace(trouble.due, std::pair(index, queued));
  if (fresh && step.troubles.size() > kMaxTroubles) step.troubles.erase(entry);
  if (!alone) pause(step, now);
}

std::vector<Schedule::HeldBack> Schedule::held_back(std::size_t step) const {
  std::vector<HeldBack> all;
  for (const auto& [name, trouble] : steps_[step].troubles) all.push_back(trouble);
  std::sort(all.begin(), all.end(), [](const HeldBack& a, const HeldBack& b) { return std::pair(a.since, a.file.name) < std::pair(b.since, b.file.name); });
  return all;
}

bool Schedule::crashed(std::size_t index, const std::string& uid, Nanoseconds now) {
  Step& step = steps_[index];
  step.crashes_in_a_row.insert(uid);
  if (step.mood != Mood::kSuspended && step.crashes_in_a_row.size() < kSuspendAfter) return false;
  const bool first = step.mood != Mood::kSuspended;
  if (first) step.backoff = step.until = 0;
  step.mood = Mood::kSuspended;
  step.crashes_in_a_row.clear();
  pause(step, now);
  return first;
}

std::size_t Schedule::window(const Step& step) const {
  const double ahead = std::ceil(kAheadNs / std::max(step.mean_ns, 1.0));
  const auto names = static_cast<std::size_t>(std::clamp(ahead, 1.0, static_cast<double>(kMaxAhead)));
  return std::max(names, step.batch);
}

bool Schedule::has_work(const Step& step) const {
  if (step.held || step.retired || step.rests) return false;
  return !step.hops.empty() || !step.crashed.empty() || (!step.arrivals.empty() && !entrances_closed_);
}

// The first name in a lane that has not been held back before.
std::deque<Schedule::Queued>::iterator Schedule::first_untried(Step& step, std::deque<Queued>& lane) {
  return std::find_if(lane.begin(), lane.end(), [&](const Queued& queued) { return !step.troubles.contains(key(queued)); });
}

// A probe takes the lanes in turn, and in each a file that is not known to be in trouble itself: a lane full of files that cannot
// be processed hides no other one. When all are in trouble, the one that has waited longest since its last attempt.
std::optional<Schedule::Queued> Schedule::pop_probe(Step& step) {
  std::deque<Queued>* const lanes[] = {&step.hops, entrances_closed_ ? nullptr : &step.arrivals, &step.crashed};
  constexpr std::size_t kLanes = std::size(lanes);
  for (const bool untried : {true, false}) {
    for (std::size_t turn = 0; turn < kLanes; ++turn) {
      const std::size_t number = (step.next_probe + turn) % kLanes;
      std::deque<Queued>* lane = lanes[number];
      if (!lane) continue;
      const auto chosen = untried ? first_untried(step, *lane) : lane->begin();
      if (chosen == lane->end()) continue;
      Queued probe = std::move(*chosen);
      lane->erase(chosen);
      step.next_probe = number + 1;
      return probe;
    }
  }
  return std::nullopt;
}

std::optional<Schedule::Queued> Schedule::pop(Step& step) {
  if (step.mood != Mood::kRunning) return pop_probe(step);
  std::deque<Queued>* lane = nullptr;
  if (!step.hops.empty()) {
    lane = &step.hops;
  } else if (!step.arrivals.empty() && !entrances_closed_) {
    lane = &step.arrivals;
  } else if (!step.crashed.empty()) {
    lane = &step.crashed;
  }
  if (!lane) return std::nullopt;
  Queued queued_name = std::move(lane->front());
  lane->pop_front();
  return queued_name;
}

void Schedule::give(Step& step, Worker& worker, Dispatch& dispatch, std::size_t count, Nanoseconds now) {
  while (count > 0 && dispatch.jobs.size() < wire::kMaxJobsPerPacket) {
    auto queued_name = pop(step);
    if (!queued_name) return;
    auto [entry, fresh] = step.in_flight.emplace(key(*queued_name), false);
    if (!fresh) {  // queued twice: the one in flight answers for both
      entry->second = true;
      continue;
    }
    if (worker.flights.empty()) worker.last_result = now;
    const std::uint32_t id = ++worker.last_id;
    wire::JobName job{id, queued_name->source, queued_name->name, queued_name->alone};
    if (const auto trouble = step.troubles.find(entry->first); trouble != step.troubles.end() && trouble->second.attempts > 1) {
      const Nanoseconds waited = now - trouble->second.since;
      job.alone = true;  // what alone does not fit holds up no batch and no commit
      // A disk that is full for everybody is no file's own trouble; where only this one waits nobody else can tell.
      const bool others_pass = step.passed > trouble->second.passed_at_first || step.troubles.size() == 1;
      job.last_chance = trouble->second.no_space && others_pass && no_space_max_wait_ > 0 && waited >= no_space_max_wait_;
    }
    dispatch.jobs.push_back(std::move(job));
    worker.flights.push_back({id, std::move(*queued_name)});
    --count;
  }
}

// Its file in hand takes long: what is sent to it now would wait. A batch step waits on purpose.
bool Schedule::is_stuck(const Worker& worker, Nanoseconds now) const {
  return !worker.flights.empty() && now - worker.last_result > kHoarding && steps_[worker.step].batch == 0;
}

std::vector<Schedule::Dispatch> Schedule::decide(Nanoseconds now) {
  for (Step& step : steps_) step.rests = step.rests && step.rests_until > now;
  while (!delayed_.empty() && delayed_.begin()->first <= now) {
    auto [index, queued_name] = std::move(delayed_.extract(delayed_.begin()).mapped());
    steps_[index].in_flight.erase(key(queued_name));
    queue_again(steps_[index], std::move(queued_name), false);
  }
  std::vector<std::size_t> takers(steps_.size(), 0);
  for (const auto& [id, worker] : workers_) takers[worker.step] += !worker.draining && !is_stuck(worker, now);
  std::vector<Dispatch> dispatches;
  for (auto& [id, worker] : workers_) {
    Step& step = steps_[worker.step];
    if (worker.draining || !has_work(step)) continue;
    if (is_stuck(worker, now)) continue;
    std::size_t room = window(step);
    if (step.mood != Mood::kRunning) {
      if (now < step.until || step.probing || !idle(worker.step)) continue;
      step.probing = true;
      room = 1;
    }
    const std::size_t waiting = queued(worker.step);
    const std::size_t share = (waiting + takers[worker.step] - 1) / takers[worker.step];
    takers[worker.step] -= takers[worker.step] > 1;
    // A bundle, not a name at a time, once a worker is well supplied.
    if (steps_[worker.step].batch == 0 && worker.flights.size() * 2 > room) continue;
    if (worker.flights.size() >= room) continue;
    Dispatch dispatch{id, {}};
    give(step, worker, dispatch, std::min(room - worker.flights.size(), std::max<std::size_t>(share, 1)), now);
    if (dispatch.jobs.empty()) {  // all that was there is in flight already
      step.probing = false;
      continue;
    }
    dispatches.push_back(std::move(dispatch));
  }
  return dispatches;
}

std::optional<WorkerId> Schedule::hoarder(Nanoseconds now) const {
  std::vector<bool> idle(steps_.size(), false);
  for (const auto& [id, worker] : workers_) {
    if (!worker.draining && worker.flights.empty() && !has_work(steps_[worker.step])) idle[worker.step] = true;
  }
  for (const auto& [id, worker] : workers_) {
    if (worker.flights.size() > 1 && is_stuck(worker, now) && idle[worker.step]) return id;
  }
  return std::nullopt;
}

std::vector<WorkerId> Schedule::workers_of(std::size_t step) const {
  std::vector<WorkerId> all;
  for (const auto& [id, worker] : workers_) {
    if (worker.step == step) all.push_back(id);
  }
  return all;
}

std::uint32_t Schedule::last_id(WorkerId id) const {
  const auto worker = workers_.find(id);
  return worker == workers_.end() ? 0 : worker->second.last_id;
}

void Schedule::revoked(WorkerId id, std::uint32_t in_hand) {
  auto found = workers_.find(id);
  if (found == workers_.end()) return;
  Worker& worker = found->second;
  Step& step = steps_[worker.step];
  while (!worker.flights.empty() && worker.flights.back().id > in_hand) {
    Queued queued_name = std::move(worker.flights.back().queued);
    worker.flights.pop_back();
    step.in_flight.erase(key(queued_name));
    queue_again(step, std::move(queued_name), true);
  }
}

std::optional<Nanoseconds> Schedule::next_wakeup(Nanoseconds now) const {
  std::optional<Nanoseconds> next;
  if (!delayed_.empty()) next = delayed_.begin()->first;
  for (const Step& step : steps_) {
    if (step.rests) next = std::min(next.value_or(step.rests_until), step.rests_until);
    if (step.mood != Mood::kRunning && !step.probing && step.until > now && has_work(step)) next = std::min(next.value_or(step.until), step.until);
  }
  return next;
}

}  // namespace mfdata
