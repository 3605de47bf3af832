// @NAME@: a listener: takes what arrives on a socket, one file for each connection, and answers "ok" once it is durable.
//
//   printf 'name.txt\ncontent' | socat - UNIX-CONNECT:/path/to/socket     (the first line is the file's name)
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <mfdata/plugin.hpp>

namespace sdk = mfdata::sdk;

class Socket : public sdk::Listener {
 public:
  // The host keeps the socket over restarts and upgrades of this listener: who connects meanwhile waits.
  explicit Socket(const sdk::Context& context)
      : Listener(context), dest_dir_(context.text("dest_dir", "")), patience_(context.integer("patience", 60)), listening_(listen_socket(context.text("socket"))) {}
  ~Socket() override { ::close(listening_); }

  sdk::Result run() override {
    while (!stopped_) {
      pollfd ready{listening_, POLLIN, 0};
      if (::poll(&ready, 1, 200) <= 0) continue;
      const int client = ::accept4(listening_, nullptr, nullptr, SOCK_CLOEXEC);
      if (client < 0) continue;
      const std::string answer = take(client);
      (void)!::send(client, answer.data(), answer.size(), MSG_NOSIGNAL);
      ::close(client);
    }
    return sdk::Result::ok();
  }
  void stop() noexcept override { stopped_ = true; }

 private:
  using Clock = std::chrono::steady_clock;

  // What has come, at least a byte; 0: the sender has ended; negative: it cannot be read, its time is over, or we are told to stop.
  ssize_t receive(int client, Clock::time_point until) {
    while (!stopped_ && Clock::now() < until) {
      pollfd ready{client, POLLIN, 0};
      if (::poll(&ready, 1, 200) > 0) return ::read(client, block_.data(), block_.size());
    }
    return -1;
  }

  // Only what `commit` has not thrown for may be acknowledged: then the file is durable. A deposit that is left is none.
  std::string take(int client) {
    const Clock::time_point until = Clock::now() + std::chrono::seconds(patience_);
    std::string head;
    ssize_t got = 0;
    std::size_t end = std::string::npos;
    while (end == std::string::npos && head.size() <= kMaxName && (got = receive(client, until)) > 0) {
      head.append(block_.data(), static_cast<std::size_t>(got));
      end = head.find('\n');
    }
    if (got < 0) return "failed\n";
    if (end == std::string::npos) return head.size() > kMaxName ? "bad name\n" : "no name\n";
    try {
      sdk::Deposit deposit(component(), dest_dir_, head.substr(0, end));
      deposit.write(std::string_view(head).substr(end + 1));
      while ((got = receive(client, until)) > 0) deposit.write({block_.data(), static_cast<std::size_t>(got)});
      if (got < 0) return "failed\n";
      deposit.commit();
      return "ok\n";
    } catch (const sdk::Error& error) {
      return error.code == MFDATA_E_BUSY || error.code == MFDATA_E_FULL ? "busy\n" : error.code == MFDATA_E_ARG ? "bad name\n" : "failed\n";
    }
  }

  static constexpr std::size_t kMaxName = 4096;  // what is longer is no name: nobody fills our memory with it

  std::string dest_dir_;
  std::int64_t patience_;
  std::array<char, 65536> block_;
  int listening_ = -1;
  std::atomic<bool> stopped_{false};
};

MFDATA_PLUGIN("@NAME@", "0.1.0", "files from a socket", "BSD-3-Clause", sdk::listener<Socket>("main", "one file for each connection"))
