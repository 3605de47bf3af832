// One listener of a plugin in a test: the worker's own loop on a thread, with this object at the other end of its channel,
// where a loader would be. Used on one thread; its end is waited for when it is destroyed.
#pragma once

#include <set>
#include <thread>

#include "harness/test_room.hpp"
#include "worker/channel.hpp"

namespace mfdata {

class ListenerBench {
 public:
  // Returns once it runs. An error: it did not start.
  static Result<std::unique_ptr<ListenerBench>> start(TestRoom& room, wire::WorkerSettings settings, const mfdata_listener& listener);
  ListenerBench(const ListenerBench&) = delete;
  ListenerBench& operator=(const ListenerBench&) = delete;
  ~ListenerBench();

  // Until it has deposited `n` files. kBusy: not within the time; kExists: it has ended before.
  Result<void> wait(std::uint32_t n, std::uint32_t timeout_ms);
  // Tells it to stop, waits for its end, collects its deposits.
  void stop(KeptResult& result);

 private:
  ListenerBench(TestRoom& room, wire::WorkerSettings settings, FileDescriptor loader_end);
  void run(FileDescriptor worker_end, const mfdata_listener& listener);
  void receive(int timeout_ms);  // what it says, as long as something is there
  std::vector<std::string> deposits() const;
  void end();

  TestRoom& room_;
  const wire::WorkerSettings settings_;
  PluginHost host_;
  FileDescriptor channel_;
  std::set<std::string> others_;  // uids that stood before steps already
  bool ready_ = false;
  bool closed_ = false;
  std::vector<wire::MetricDelta> metrics_;
  Result<void> ended_;  // its thread's, until it has ended
  std::thread thread_;
};

}  // namespace mfdata
