// How one mfdata-worker runs: started with posix_spawn in a session of its own, told what to do by a memory file, talked to
// over a SOCK_SEQPACKET channel, watched through a shared page; its output is a pipe of log lines, or its parent's own.
// Passive: the owner reads, writes, kills, and reaps it.
#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>

#include "libmfdata/file_descriptor.hpp"
#include "wire/worker_protocol.hpp"
#include "wire/worker_settings.hpp"

namespace mfdata {

class WorkerProcess {
 public:
  enum class Output { kPipe, kInherited };
  static Result<std::unique_ptr<WorkerProcess>> start(const std::string& program, const wire::WorkerSettings& settings,
                                                      Output output = Output::kPipe);
  WorkerProcess(const WorkerProcess&) = delete;
  WorkerProcess& operator=(const WorkerProcess&) = delete;
  ~WorkerProcess();

  pid_t pid() const { return pid_; }
  int channel() const { return channel_.get(); }
  int output() const { return output_.get(); }  // -1: inherited
  wire::ProgressPage& page() const { return *page_; }
  std::string in_hand() const;  // Crash::in_hand, once the worker is dead
  std::string last_words() const;  // why it ended as spoiled; printable

  // False: the channel is full or closed; the packet was not sent.
  bool send(const wire::Message& message) const;
  // An answer to a SocketRequest, with the descriptor unless it is -1.
  bool send_socket(const wire::SocketAnswer& answer, int descriptor) const;
  // The next message; nothing when there is none now. kBadData: the worker talks nonsense.
  Result<std::optional<wire::Message>> receive() const;
  // Whole lines of output that have come, at most 64 KiB of them; `closed` tells that no more will come, then the
  // rest without an end counts as a line.
  std::string read_output(bool& closed);

  void terminate() const;  // the file in hand finishes
  void kill() const;       // the whole session, at once
  // True while a process of its group is there.
  bool group_lives() const;

 private:
  WorkerProcess() = default;

  pid_t pid_ = -1;
  FileDescriptor channel_;
  FileDescriptor output_;
  wire::ProgressPage* page_ = nullptr;
  std::string partial_line_;
};

}  // namespace mfdata
