// What to run: the queues of all steps, and which worker gets which names. Pure: time is a parameter, there are no
// system calls; tested without processes.
//
// Names come from the spool watcher (`offer`), workers from the pool (`worker_ready`, `worker_gone`); `decide` hands
// out as many names ahead as a worker will need in the next moments. A name is in flight with one worker at a time:
// two workers never accept the same arrival. `~n` names are taken last. A step whose plugin crashed on five
// different files in a row is suspended, and probed with one file after 1, 2, 4 .. 60 s.
//
// A file for which there is no room, or that the system refuses, goes behind the others and waits 1, 2, 4 .. 60 s. The step
// pauses with it, and the next probe is another file, of another lane where one waits there; once others have passed, the file
// alone is held back.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "wire/worker_protocol.hpp"

namespace mfdata {

using Nanoseconds = std::int64_t;  // of CLOCK_MONOTONIC
inline constexpr Nanoseconds kSecond = 1'000'000'000;
inline constexpr Nanoseconds kMillisecond = 1'000'000;

using WorkerId = std::uint64_t;

enum class Lane { kHop, kArrival, kCrashed };

class Schedule {
 public:
  struct StepRules {
    std::size_t max_queued = 100000;
  };
  struct Dispatch {
    WorkerId worker = 0;
    std::vector<wire::JobName> jobs;
  };
  enum class Mood { kRunning, kPaused, kSuspended };  // kPaused: no room, or the system refuses what it does

  explicit Schedule(const std::vector<StepRules>& steps = {});

  std::size_t add(const StepRules& rules);  // a step; its number
  // The step is gone, until it is revived: what is queued stays on disk, what is in flight ends.
  void retire(std::size_t step);
  void revive(std::size_t step);

  // False: the queue is full, the name stays on disk. `alone`: it shares no batch and no commit.
  bool offer(std::size_t step, Lane lane, std::uint16_t source, std::string name, bool alone = false);
  // Before a directory is listed anew: forgets what is queued of it.
  void forget(std::size_t step, std::uint16_t source);
  // The step takes no more files of it, until it takes them again; what is in flight ends.
  void leave(std::size_t step, std::uint16_t source);
  void take_again(std::size_t step, std::uint16_t source) { steps_[step].left.erase(source); }
  bool has_room(std::size_t step) const;  // for a refill: less than half full
  std::size_t queued(std::size_t step) const;
  std::size_t in_flight(std::size_t step) const;
  std::string oldest(std::size_t step) const;  // a name of the spool that waits first in its lane; empty: none
  bool any_in_hand() const;  // of a worker
  std::size_t in_hand() const;  // with workers; not what somebody still writes, which is in flight as well
  bool crowded() const;  // names wait, or stand behind one in hand: they may have to change hands
  bool any_in_flight(std::size_t step, std::uint16_t source) const;

  // `batch`: how many files it takes at once; 0: one at a time.
  void worker_ready(WorkerId worker, std::size_t step, std::size_t batch);
  void worker_draining(WorkerId worker);  // gets no more names
  // Its names are queued again, but those that stand where they were no more: recovery gives them back under other names.
  struct Finished;
  void worker_gone(WorkerId worker, const std::function<bool(const Finished&)>& stands_there = nullptr);

  struct Finished {
    Lane lane = Lane::kHop;
    std::uint16_t source = 0;
    std::string name;
    bool alone = false;
  };
  // What a worker has in hand when this job is the one that it has begun last; nothing: it is not known any more. `files`: how
  // many were sent up to it, which of a batch step is the batch.
  std::optional<Finished> begun(WorkerId worker, std::uint32_t job, std::size_t& files) const;
  // A result; what it was a result of, or nothing when the name had been taken back.
  std::optional<Finished> finished(WorkerId worker, const wire::Done& done, Nanoseconds now);
  // A worker died with this file in hand. True: the step is suspended by it.
  bool crashed(std::size_t step, const std::string& uid, Nanoseconds now);

  // While closed, names of the arrival lane wait (back-pressure at the entrances only).
  void close_entrances(bool closed) { entrances_closed_ = closed; }

  std::vector<Dispatch> decide(Nanoseconds now);
  // A worker that holds names behind a file that takes long, while another one idles.
  std::optional<WorkerId> hoarder(Nanoseconds now) const;
  // Takes back what is above `in_hand`; it is queued again, in front.
  std::uint32_t last_id(WorkerId worker) const;
  void revoked(WorkerId worker, std::uint32_t in_hand);

  // A file that is held back: for want of room, or since the system refuses it.
  struct HeldBack {
    Finished file;
    std::string reason;     // of its last attempt
    unsigned attempts = 0;
    Nanoseconds since = 0;  // its first attempt
    Nanoseconds due = 0;    // its next one
    bool no_space = false;
  };
  std::vector<HeldBack> held_back(std::size_t step) const;
  // What has been held back for want of room for so long gets its last chance (JobName::last_chance); 0: none ever does.
  void set_no_space_max_wait(Nanoseconds wait) { no_space_max_wait_ = wait; }

  // By an operator: a step that is held gets no files; what its workers have not begun is taken back by the caller.
  void hold(std::size_t step, bool held) { steps_[step].held = held; }
  bool held(std::size_t step) const { return steps_[step].held; }
  Nanoseconds rests_until(std::size_t step) const { return steps_[step].rests ? steps_[step].rests_until : 0; }  // 0: it does not
  std::vector<WorkerId> workers_of(std::size_t step) const;

  // What stopped it may be gone: it is no longer suspended, and its crashes are forgotten.
  void renew(std::size_t step) {
    steps_[step].rests = false;
    resume(steps_[step]);
  }

  Mood mood(std::size_t step) const { return steps_[step].mood; }
  // The next moment at which `decide` has something to do that no event announces.
  std::optional<Nanoseconds> next_wakeup(Nanoseconds now) const;
  // Files that the step itself has to drain: those at the entrances are not counted.
  std::size_t backlog(std::size_t step) const;
  // A worker had finished files that it could not report any more before it died.
  void succeeded(std::size_t step) { steps_[step].crashes_in_a_row.clear(); }

 private:
  using Queued = Finished;
  struct Flight {
    std::uint32_t id = 0;
    Queued queued;
  };
  struct Worker {
    std::size_t step = 0;
    bool draining = false;
    std::uint32_t last_id = 0;
    Nanoseconds last_result = 0;
    std::deque<Flight> flights;
  };
  struct Step {
    StepRules rules;
    std::deque<Queued> hops, arrivals, crashed;
    std::unordered_map<std::string, bool> in_flight;  // "<source>/<name>" -> offered again meanwhile
    std::size_t batch = 0;
    double mean_ns = 1e6;  // of a treatment, sliding
    Mood mood = Mood::kRunning;
    Nanoseconds until = 0;  // of the pause, or of the next probe
    Nanoseconds backoff = 0;
    bool probing = false;
    std::size_t next_probe = 0;              // the lane of the next probe
    bool held = false;
    bool rests = false;           // it has yielded
    Nanoseconds rests_until = 0;  // the same
    bool retired = false;
    std::uint64_t passed = 0;                // files that were not held back
    struct Trouble : HeldBack {
      Nanoseconds backoff = 0;
      std::uint64_t passed_at_first = 0;  // by others, when it was first tried
    };
    std::unordered_map<std::string, Trouble> troubles;  // by key; bounded
    std::set<std::uint16_t> left;            // sources
    std::set<std::string> crashes_in_a_row;  // uids
  };

  static std::string key(const Queued& queued) { return std::to_string(queued.source) + '/' + queued.name; }
  std::deque<Queued>& lane_of(Step& step, Lane lane);
  void queue_again(Step& step, Queued queued, bool in_front);
  bool idle(std::size_t step) const;  // no worker has anything of it
  void hold_back(std::size_t index, Queued queued, const wire::Done& done, Nanoseconds now);
  static std::deque<Queued>::iterator first_untried(Step& step, std::deque<Queued>& lane);
  void drop_delayed(std::size_t index, std::optional<std::uint16_t> source);
  std::size_t window(const Step& step) const;
  std::optional<Queued> pop(Step& step);
  std::optional<Queued> pop_probe(Step& step);
  bool has_work(const Step& step) const;
  bool is_stuck(const Worker& worker, Nanoseconds now) const;
  void give(Step& step, Worker& worker, Dispatch& dispatch, std::size_t count, Nanoseconds now);
  void pause(Step& step, Nanoseconds now);
  void resume(Step& step);

  std::vector<Step> steps_;
  std::map<WorkerId, Worker> workers_;
  std::multimap<Nanoseconds, std::pair<std::size_t, Queued>> delayed_;  // being written, or held back; bounded by the queues
  Nanoseconds no_space_max_wait_ = 0;
  bool entrances_closed_ = false;
};

}  // namespace mfdata
