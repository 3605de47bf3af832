// The worker's end of its channel to the loader: jobs come in, results go out in bundles.
#pragma once

#include <atomic>
#include <deque>
#include <optional>
#include <string>

#include "libmfdata/file_descriptor.hpp"
#include "wire/worker_protocol.hpp"

namespace mfdata {

class Channel {
 public:
  explicit Channel(FileDescriptor socket) : socket_(std::move(socket)) {}

  // Waits at most `timeout_ms` (0: not at all) for something to do, or for a signal. Jobs are added to
  // `jobs`; true once the loader said stop, or is gone.
  bool receive(std::deque<wire::JobName>& jobs, int timeout_ms);
  // The next message, whatever it is; nothing once the other end is gone. Waits.
  std::optional<wire::Message> next();
  // A listening socket from the loader; waits for its answer. Only before `receive` is called.
  Result<FileDescriptor> ask_socket(const std::string& address, std::uint32_t mode);
  std::size_t report(wire::Done done);  // kept until flush, or a bundle is full or 50 ms old; how many are kept
  void flush();
  // Once nothing more is at hand: few results of quick treatments wait a moment for more to come. How many are kept.
  std::size_t flush_when_quiet();
  void send(const wire::Message& message);
  void send_metrics(std::vector<wire::MetricDelta> deltas);  // in as many packets as it takes
  // Why it is a channel no more: something in this process has closed or replaced its descriptor. Then `receive` says true.
  std::optional<std::string> lost() const;
  int descriptor() const { return socket_.get(); }

 private:
  void look_at(int errnum);

  FileDescriptor socket_;
  std::atomic<int> lost_{0};   // errno
  wire::Results results_;
  bool stop_seen_ = false;     // while something else was waited for
  int timeout_ms_ = 0;         // that the socket has; 0: none yet
  std::size_t routes_ = 0;     // in them
  std::int64_t first_ns_ = 0;  // when the first of them was begun
};

}  // namespace mfdata
