#include "worker/channel.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "libmfdata/clock.hpp"
#include "libmfdata/result.hpp"

namespace mfdata {

constexpr std::size_t kBundle = 24;
constexpr std::size_t kMaxRoutes = 1024;
constexpr std::int64_t kOldNs = 50'000'000;
constexpr std::size_t kFew = 2;  // the loader sends more names than that ahead of the results of quick treatments
constexpr std::uint64_t kQuickNs = 1'000'000;
constexpr int kMomentMs = 2;

Result<FileDescriptor> Channel::ask_socket(const std::string& address, std::uint32_t mode) {
  send(wire::SocketRequest{address, mode});
  std::array<char, wire::kMaxReason + 16> packet;
  while (!stop_seen_) {
    iovec part{packet.data(), packet.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control.data();
    header.msg_controllen = control.size();
    const ssize_t length = ::recvmsg(socket_.get(), &header, MSG_CMSG_CLOEXEC);
    if (length < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (length <= 0) break;
    FileDescriptor socket;
    if (const cmsghdr* rights = CMSG_FIRSTHDR(&header); rights && rights->cmsg_type == SCM_RIGHTS) {
      int descriptor = -1;
      std::memcpy(&descriptor, CMSG_DATA(rights), sizeof descriptor);
      socket = FileDescriptor(descriptor);
    }
    const auto message = wire::decode({packet.data(), static_cast<std::size_t>(length)});
    if (!message) continue;
    if (std::holds_alternative<wire::Stop>(*message)) stop_seen_ = true;
    const auto* answer = std::get_if<wire::SocketAnswer>(&*message);
    if (!answer) continue;
    if (socket) return socket;
    return Error{Code::kIo, 0, answer->error};
  }
  stop_seen_ = true;
  return Error{Code::kIo, 0, "the loader gives no socket: it stops this worker"};
}

bool Channel::receive(std::deque<wire::JobName>& jobs, int timeout_ms) {
  if (stop_seen_) return true;
  thread_local std::array<char, wire::kMaxPacket> packet;
  if (timeout_ms > 0 && timeout_ms != timeout_ms_) {  // of the socket itself: a wake-up costs one system call
    const timeval limit{timeout_ms / 1000, timeout_ms % 1000 * 1000};
    if (::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0) look_at(errno);
    if (lost_ != 0) return true;
    timeout_ms_ = timeout_ms;
  }
  while (true) {
    const ssize_t length = ::recv(socket_.get(), packet.data(), packet.size(), timeout_ms > 0 ? 0 : MSG_DONTWAIT);
    if (length == 0) return true;  // the loader is gone
    if (length < 0) {
      look_at(errno);
      return lost_ != 0;
    }
    auto message = wire::decode({packet.data(), static_cast<std::size_t>(length)});
    if (!message) continue;
    if (std::holds_alternative<wire::Stop>(*message)) return true;
    if (auto* more = std::get_if<wire::Jobs>(&*message)) {
      for (wire::JobName& job : more->jobs) jobs.push_back(std::move(job));
      return false;  // the next packet is looked for when these are done
    }
  }
}

std::optional<wire::Message> Channel::next() {
  static std::array<char, wire::kMaxPacket> packet;
  while (true) {
    const ssize_t length = ::recv(socket_.get(), packet.data(), packet.size(), 0);
    if (length < 0 && errno == EINTR) continue;
    if (length <= 0) return std::nullopt;
    if (auto message = wire::decode({packet.data(), static_cast<std::size_t>(length)})) return std::move(*message);
  }
}

// A bundle, but no result is old news: of a slow step each is sent at once.
std::size_t Channel::report(wire::Done done) {
  const std::int64_t now = monotonic_ns();
  if (results_.done.empty()) first_ns_ = now - static_cast<std::int64_t>(done.duration_ns);
  routes_ += done.routed.size();
  results_.done.push_back(std::move(done));
  if (results_.done.size() >= kBundle || routes_ > kMaxRoutes || now - first_ns_ > kOldNs) flush();
  return results_.done.size();
}

void Channel::flush() {
  if (results_.done.empty()) return;
  send(results_);
  results_.done.clear();
  routes_ = 0;
}

// Whoever it wakes takes the processor from the file that was just passed on.
std::size_t Channel::flush_when_quiet() {
  const bool few = !results_.done.empty() && results_.done.size() <= kFew && results_.done.back().duration_ns < kQuickNs;
  pollfd more{socket_.get(), POLLIN, 0};
  if (few && ::poll(&more, 1, kMomentMs) > 0) return results_.done.size();
  flush();
  return 0;
}

void Channel::send_metrics(std::vector<wire::MetricDelta> deltas) {
  for (std::size_t at = 0; at < deltas.size(); at += wire::kMaxDeltasPerPacket) {
    const std::size_t end = std::min(at + wire::kMaxDeltasPerPacket, deltas.size());
    send(wire::Metrics{{deltas.begin() + static_cast<std::ptrdiff_t>(at), deltas.begin() + static_cast<std::ptrdiff_t>(end)}});
  }
}

void Channel::send(const wire::Message& message) {
  const std::string packet = wire::encode(message);
  check(packet.size() <= wire::kMaxPacket, "a packet is larger than the loader reads");
  while (::send(socket_.get(), packet.data(), packet.size(), MSG_NOSIGNAL) < 0) {
    constexpr useconds_t kMoment = 10'000;
    if (errno == ENOBUFS || errno == ENOMEM) {  // of the machine: a result that is lost would be a file that nobody knows of
      ::usleep(kMoment);
    } else if (errno != EINTR) {
      return look_at(errno);
    }
  }
}

// Its other end may be gone, since then the loader is: this end cannot be.
void Channel::look_at(int errnum) {
  if (errnum == EBADF || errnum == ENOTSOCK || errnum == ENOTCONN || errnum == EINVAL) lost_ = errnum;
}

std::optional<std::string> Channel::lost() const {
  if (lost_ == 0) return std::nullopt;
  return "the plugin has closed or replaced the descriptor of the channel to the loader (" + std::string(std::strerror(lost_)) + ')';
}

}  // namespace mfdata
