// One task of the loader that runs beside its loop, in a process of its own: a collection, accepts of files that we may not
// tag, commits that nobody owns. What it reports is read while it runs, so it never waits for the loader; what a dead one
// left is on disk, and the next one takes it up.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "event_loop.hpp"
#include "wire/worker_process.hpp"

namespace mfdata {

class Chore {
 public:
  struct Owner {
    std::function<void(const wire::Message&)> message;
    std::function<void(const std::string& lines)> output;
  };

  static Result<std::unique_ptr<Chore>> start(EventLoop& loop, const std::string& program, const wire::WorkerSettings& settings, Owner owner);

  wire::Task task() const { return task_; }
  pid_t pid() const { return process_->pid(); }
  void stop(std::int64_t now_ns);   // it ends after the file in hand; what takes longer than some seconds is killed
  void check(std::int64_t now_ns);  // about each second
  void drain();                     // the rest of what it said, after its death

 private:
  Chore(std::unique_ptr<WorkerProcess> process, wire::Task task, Owner owner) : process_(std::move(process)), task_(task), owner_(std::move(owner)) {}
  void read_channel();
  void read_output();

  std::unique_ptr<WorkerProcess> process_;
  wire::Task task_;
  Owner owner_;
  std::int64_t kill_at_ns_ = 0;  // 0: it was not asked to stop
  EventLoop::Handle on_channel_, on_output_;
};

}  // namespace mfdata
