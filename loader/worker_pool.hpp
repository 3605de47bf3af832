// Who runs it: keeps `numprocesses` workers of each step alive, replaces them by age, kills them on timeout, starts
// them again with back-off, and has what a dead one left recovered before its slot is used again.
//
// A seat is one place for a worker (its slot number is its index in the step). Its states:
//   kEmpty -> kStarting -> kReady -> kStopping -> kReaping -> kEmpty     (any of them -> kReaping on death)
// kReaping: first everything of the worker's session has to be dead, then a reaper process recovers the slot.
//
// Where workers are replaced side by side, another one is started for the same slot while the one before goes on treating
// files:
//   kStarting -> kStandby -> kReady                      (its death: the one before is stopped, and the seat begins anew)
// kStandby: it is ready, the one before was asked to stop, and the slot is not recovered yet. So no more workers than
// `numprocesses` ever treat files, and a slot has one owner; at most kBesideAtOnce of all steps are starting at a time.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "event_loop.hpp"
#include "schedule.hpp"
#include "wire/worker_process.hpp"

namespace mfdata {

class WorkerPool {
 public:
  // What one worker is treating.
  struct InHand {
    WorkerId worker = 0;
    pid_t pid = 0;
    unsigned slot = 0;
    std::string version;     // of its plugin
    std::uint32_t job = 0;
    Nanoseconds since = 0;   // 0: nothing
    bool stopping = false;   // it was asked to stop after this
  };
  struct Deposits {
    std::uint64_t files = 0, bytes = 0, repeats = 0;
  };
  struct Owner {
    std::function<void(WorkerId, std::size_t step, std::size_t batch)> ready;
    // `targets`: the steps that its results name by index.
    std::function<void(WorkerId, std::size_t step, wire::Results, const std::vector<std::string>& targets)> results;
    std::function<void(const wire::Accepted&)> accepted;
    std::function<void(std::size_t step, const wire::Trace&, const std::vector<std::string>& targets)> traced;
    std::function<void(WorkerId)> draining;
    std::function<void(WorkerId, std::size_t step)> gone;
    std::function<bool(std::size_t step)> suspended;  // nothing is charged to the files of a suspended step
    // Of one dead worker, all at once: none when it had nothing in hand.
    std::function<void(std::size_t step, const std::string& version, const std::vector<wire::SettledFile>&)> settled;
    std::function<void(std::size_t step)> succeeded;  // files were finished that nobody could report
    // What dead workers started and left behind (it is killed), or what else is at work on a slot.
    std::function<bool(std::size_t step, unsigned slot)> orphans_live;
    std::function<void(std::size_t step, const wire::Metrics&)> metrics;
    // What a listener has deposited since it was asked before.
    std::function<void(std::size_t step, const Deposits&)> deposited;
    std::function<void(WorkerId, std::size_t step, const wire::Health&)> health;
    // A listening socket for a listener; and the addresses that the newest of its workers has asked for, once it is ready.
    std::function<Result<int>(std::size_t step, const wire::SocketRequest&, const std::set<std::string>& in_use)> socket;
    std::function<void(std::size_t step, const std::set<std::string>& addresses)> sockets_in_use;
    std::function<void(std::size_t step, const std::string& lines)> output;
    std::function<void(std::size_t step, const std::string& version, const std::string& reason, bool crash)> exited;
    std::function<void(const std::string&)> warn;
    std::function<void(std::size_t step, const InHand&)> waits_for;  // a worker that was asked to stop takes long
  };
  enum class State { kEmpty, kStarting, kStandby, kReady, kStopping, kReaping };

  WorkerPool(EventLoop& loop, std::string program, Owner owner);
  ~WorkerPool();

  void tick(Nanoseconds now);  // starts, replaces, kills what is over its time
  Nanoseconds tick_interval() const { return tick_interval_; }  // while files are in hand: a tenth of the shortest timeout
  // A child of ours died, as waitpid(2) told; false: it was none of the pool's.
  bool child_died(pid_t pid, int status);
  bool knows(pid_t pid) const;

  bool send(WorkerId worker, const wire::Jobs& jobs);
  // Takes back what the worker has not begun; the id of the job that it has in hand.
  std::uint32_t revoke(WorkerId worker, std::uint32_t up_to);
  void set_pressure(std::uint32_t pressure, std::uint32_t retry_after_ms);

  void add(wire::WorkerSettings settings);  // the next step; it has no seat yet
  // So many seats; what sits in those beyond finishes its file. `recover_first`: the slots of new ones may hold what
  // a worker left.
  void resize(std::size_t step, unsigned numprocesses, bool recover_first);
  // From now on workers of the step are started with these settings; those that run finish their file first. `beside`: and
  // go on until the one that takes the place of each is ready, or does not start beside it.
  void replace(std::size_t step, wire::WorkerSettings settings, bool beside);
  bool replacing() const;  // some worker goes on until another one is ready
  // No worker that still gets names lacks the number of this source.
  bool know_source(std::size_t step, std::uint16_t source) const;
  const wire::WorkerSettings& settings(std::size_t step) const { return steps_[step]; }
  std::size_t steps() const { return steps_.size(); }
  std::size_t seats(std::size_t step) const;              // also those that are given up
  bool owns(std::size_t step, unsigned long slot) const;  // what stands there is a worker's, or its reaper's
  bool idle(std::size_t step) const;                      // nothing of it runs
  // The plugins whose folders something that runs stands on: its own, and those whose predicates it may ask.
  std::set<std::string> plugins_in_use() const;
  // A step that is held has no workers: those that run finish their file, and none is started until it is released.
  void hold(std::size_t step, bool held);
  bool held(std::size_t step) const { return held_[step]; }
  // The version of a worker that is about to end, when it is not the step's any more; empty: none.
  std::string draining(std::size_t step) const;

  void stop_all();
  bool all_stopped() const;
  unsigned count(std::size_t step, State state) const;
  std::string last_failure(std::size_t step) const { return failures_[step]; }
  std::vector<pid_t> pids(std::size_t step) const;
  // Of the workers of a step that have begun a file or a batch.
  std::vector<InHand> in_hand(std::size_t step) const;
  // By an operator: the treatment that is in hand longest, or every one, ends at once, and its files go back to the step.
  // `charge`: as crashes. What was ended.
  std::vector<InHand> kill_treatments(std::size_t step, bool all, bool charge);

 private:
  struct Seat {
    std::size_t step = 0;
    unsigned slot = 0;
    State state = State::kEmpty;
    WorkerId id = 0;
    bool given_up = false;  // beyond the number of the step: no other worker is started
    bool outdated = false;  // its worker goes on until another one is ready
    Seat* next = nullptr;    // which is started beside it
    bool beside = false;     // it is such a one: the slot is not its own
    Seat* before = nullptr;  // which it is to replace; null when it is wanted no more
    std::string version;    // of its plugin
    std::shared_ptr<const std::vector<std::string>> targets;
    std::vector<std::string> stands_on;  // plugins, its own first
    double timeout_s = 0, start_timeout_s = 0;  // that it was started with
    std::size_t sources = 0;                    // the same
    std::size_t batch = 0;                      // as it says when it is ready
    std::unique_ptr<WorkerProcess> process;
    EventLoop::Handle on_channel, on_output;
    Nanoseconds started = 0;
    Nanoseconds replace_at = 0;  // 0: never
    Nanoseconds next_start = 0;
    Nanoseconds backoff = 0;
    Nanoseconds kill_at = 0, stopped_at = 0;  // of a worker that was asked to stop
    Nanoseconds notice_after = 0, next_notice = 0;  // that it is waited for
    bool was_useful = false;  // it finished a file since it started
    std::string kill_reason;  // why we killed it
    std::string death;        // how it died, for the files in its hands
    std::string in_hand;      // Crash::in_hand
    bool crashed = false;
    bool spared = false;      // an operator ended it: no crash
    bool group_dead = false;  // nothing of its session is left
    std::string first_error;  // line of its output
    std::set<std::string> sockets;  // addresses that it has asked for
    Deposits deposits;              // that were told
    std::map<std::string, std::vector<wire::Trace>> planned;  // by uid: of commits that it has not told the end of
    std::vector<wire::SettledFile> settled;
    std::unique_ptr<WorkerProcess> reaper;
    EventLoop::Handle on_reaper, on_reaper_output;
  };

  static bool runs(const Seat& seat) { return seat.state == State::kStarting || seat.state == State::kStandby || seat.state == State::kReady; }
  void start(Seat& seat, Nanoseconds now);
  void stop(Seat& seat, Nanoseconds now);
  void start_beside(Seat& seat, Nanoseconds now);
  void become_ready(Seat& seat, std::size_t batch);
  void enter(Seat& seat);
  void hand_over(Seat& seat);
  void bury_beside(Seat& seat, int status, Nanoseconds now);
  void give_up_beside(Seat& seat, std::string why, Nanoseconds now);
  void drain(Seat& seat);
  static std::string death_of(const Seat& seat, int status);
  void remove(const Seat& seat);
  void read_channel(Seat& seat);
  void read_output(Seat& seat);
  void take(Seat& seat, wire::Message& message);
  void take_trace(Seat& seat, const wire::Trace& trace);
  void bury(Seat& seat, int status);
  void start_reaper(Seat& seat, Nanoseconds now);
  bool read_reaper(Seat& seat);
  void read_reaper_output(Seat& seat);
  void finish_reaping(Seat& seat, int status, Nanoseconds now);
  void tell_deposits(Seat& seat);
  void check_times(Seat& seat, Nanoseconds now);
  std::string overdue(const Seat& seat, Nanoseconds now) const;
  static InHand in_hand_of(const Seat& seat);
  void set_tick_interval();
  void put_off(Seat& seat, Nanoseconds now);
  Seat* seat_of(WorkerId worker);

  EventLoop& loop_;
  std::string program_;
  std::vector<wire::WorkerSettings> steps_;
  std::shared_ptr<const std::vector<std::string>> targets_;  // those of steps_, shared by those that start now
  Owner owner_;
  std::vector<std::unique_ptr<Seat>> seats_;
  std::vector<bool> held_;
  Nanoseconds tick_interval_ = 100 * kMillisecond;
  std::vector<std::string> failures_;  // why the last start of a step failed; empty: it did not
  WorkerId next_id_ = 1;
  std::uint32_t pressure_ = 0, retry_after_ms_ = 0;
  bool stopping_ = false;
  Nanoseconds last_tick_ = 0, gap_ = 0, gap_end_ = 0;  // a time in which nobody ran counts for no timeout
};

}  // namespace mfdata
