// Components of plugins started on trial: for each, a worker of its own makes it with the configuration that it is told, says so,
// and ends. Nothing of the spool is touched, and what runs in earnest is left alone. Listeners come last, and only when nothing
// else is wrong: they may take a port or a socket.
//
// Passive: the owner calls `tick` about each 20 ms and tells of its children's deaths. At most four at a time, each for at most
// 55 s; after two minutes no more are begun.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "wire/worker_process.hpp"

namespace mfdata {

// Where the keys of a plugin's [custom] are written: what a plugin says of one of them is shown there.
using KeyPlaces = std::vector<std::pair<std::string, Location>>;
KeyPlaces key_places(const PluginSettings& plugin);

class StartTrials {
 public:
  struct Candidate {
    wire::WorkerSettings settings;  // as for a worker in earnest
    KeyPlaces places;
  };

  StartTrials(std::string program, std::vector<Candidate> candidates, std::int64_t now_ns);
  ~StartTrials();  // kills those that still run; their deaths are the owner's to reap
  StartTrials(const StartTrials&) = delete;
  StartTrials& operator=(const StartTrials&) = delete;

  void tick(std::int64_t now_ns);
  bool child_died(pid_t pid, int status);  // as waitpid(2) told; false: it was none of these
  bool knows(pid_t pid) const;
  std::vector<pid_t> running() const;
  bool finished() const { return waiting_.empty() && running_.empty(); }
  // Why components do not start, and which rules cannot be used.
  const Problems& problems() const { return problems_; }
  const Problems& warnings() const { return warnings_; }  // what there was no time for

 private:
  struct Running {
    std::unique_ptr<WorkerProcess> process;
    StepSettings step;
    KeyPlaces places;
    std::string place;  // a directory instead of the spool
    std::int64_t overdue_at_ns = 0;
    bool overdue = false;
    bool ready = false;  // it said so: some programs end with 0 whatever happens
    std::string log;     // its end
  };
  bool has_to_wait(const Candidate& next) const;
  static void listen_to(Running& trial);
  void begin(Candidate candidate, std::int64_t now_ns);
  void judge(const Running& trial, int status);
  void add(const StepSettings& step, const KeyPlaces& places, const std::string& why);

  const std::string program_;
  const std::int64_t until_ns_;
  std::deque<Candidate> waiting_;
  std::vector<Running> running_;
  Problems problems_, warnings_;
};

}  // namespace mfdata
