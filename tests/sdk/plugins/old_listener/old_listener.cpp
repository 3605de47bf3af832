// old_listener: a listener: takes what arrives on a unix socket, one file for each connection, and answers "ok" once it is durable.
//
//   printf 'name.txt\ncontent' | socat - UNIX-CONNECT:/path/to/socket     (the first line is the file's name)
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <mfdata/plugin.hpp>

namespace sdk = mfdata::sdk;

// Whether somebody answers there: then it is not ours to take away.
bool is_in_use(const sockaddr_un& address) {
  const int probe = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const bool used = ::connect(probe, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 || errno == EAGAIN;
  ::close(probe);
  return used;
}

class Socket : public sdk::Listener {
 public:
  explicit Socket(const sdk::Context& context)
      : Listener(context), path_(context.text("socket")), dest_dir_(context.text("dest_dir", "")), patience_(context.integer("patience", 60)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path_.empty() || path_.size() >= sizeof address.sun_path) throw sdk::Error(MFDATA_E_ARG, "socket is a path of at most 107 bytes");
    std::memcpy(address.sun_path, path_.c_str(), path_.size());
    if (is_in_use(address)) throw sdk::Error(MFDATA_E_BUSY, "another program listens on " + path_);
    ::unlink(path_.c_str());  // what one that was killed has left
    listening_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listening_ < 0 || ::bind(listening_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 || ::listen(listening_, 16) != 0) {
      throw sdk::Error(MFDATA_E_IO, "cannot listen on " + path_);
    }
  }
  ~Socket() override {
    ::close(listening_);
    ::unlink(path_.c_str());
  }

  sdk::Result run() override {
    while (!stopped_) {
      pollfd ready{listening_, POLLIN, 0};
      if (::poll(&ready, 1, 200) <= 0) continue;
      const int client = ::accept4(listening_, nullptr, nullptr, SOCK_CLOEXEC);
      if (client < 0) continue;
      const std::string answer = take(client);
      (void)!::write(client, answer.data(), answer.size());
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

  // Only an OK of commit may be acknowledged: then the file is durable.
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
    const mfdata_host* host = component().host();
    mfdata_ctx* ctx = component().raw();
    mfdata_deposit* deposit = nullptr;
    mfdata_rc rc = host->deposit_open(ctx, sdk::c(dest_dir_), sdk::c(std::string_view(head).substr(0, end)), &deposit);
    if (rc != MFDATA_OK) return rc == MFDATA_E_BUSY || rc == MFDATA_E_FULL ? "busy\n" : rc == MFDATA_E_ARG ? "bad name\n" : "failed\n";
    rc = host->deposit_write(ctx, deposit, head.data() + end + 1, head.size() - end - 1);
    while (rc == MFDATA_OK && (got = receive(client, until)) > 0) rc = host->deposit_write(ctx, deposit, block_.data(), static_cast<std::size_t>(got));
    if (rc != MFDATA_OK || got < 0) {
      host->deposit_abort(ctx, deposit);
      return "failed\n";
    }
    return host->deposit_commit(ctx, deposit, nullptr, nullptr) == MFDATA_OK ? "ok\n" : "failed\n";
  }

  static constexpr std::size_t kMaxName = 4096;  // what is longer is no name: nobody fills our memory with it

  std::string path_, dest_dir_;
  std::int64_t patience_;
  std::array<char, 65536> block_;
  int listening_ = -1;
  std::atomic<bool> stopped_{false};
};

MFDATA_PLUGIN("old_listener", "0.1.0", "files from a unix socket", "BSD-3-Clause", sdk::listener<Socket>("main", "one file for each connection"))
