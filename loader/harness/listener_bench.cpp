#include "harness/listener_bench.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "libmfdata/clock.hpp"
#include "worker/listener_runner.hpp"

namespace mfdata {

constexpr std::int64_t kLookMs = 5;  // how often deposits are looked for

ListenerBench::ListenerBench(TestRoom& room, wire::WorkerSettings settings, FileDescriptor loader_end)
    : room_(room), settings_(std::move(settings)), host_(room.spool(), settings_, room.page(), room.surroundings()), channel_(std::move(loader_end)) {
  for (std::string& uid : deposits()) others_.insert(std::move(uid));
}

Result<std::unique_ptr<ListenerBench>> ListenerBench::start(TestRoom& room, wire::WorkerSettings settings, const mfdata_listener& listener) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return system_error(errno, "cannot make a channel");
  FileDescriptor loader_end(ends[0]), worker_end(ends[1]);
  std::unique_ptr<ListenerBench> bench(new ListenerBench(room, std::move(settings), std::move(loader_end)));
  bench->run(std::move(worker_end), listener);
  while (!bench->ready_ && !bench->closed_) bench->receive(-1);
  if (bench->ready_) return bench;
  bench->end();
  return bench->ended_ ? Error{Code::kIo, 0, "the listener ended before it was ready"} : bench->ended_.error();
}

ListenerBench::~ListenerBench() { end(); }

void ListenerBench::run(FileDescriptor worker_end, const mfdata_listener& listener) {
  thread_ = std::thread([this, listener, end = worker_end.release()] {
    Channel channel{FileDescriptor(end)};  // closed with the thread: so the other end learns of it
    ended_ = run_listener(host_, channel, listener);
  });
}

void ListenerBench::receive(int timeout_ms) {
  std::vector<char> packet(wire::kMaxPacket);
  pollfd readable{channel_.get(), POLLIN, 0};
  if (closed_ || ::poll(&readable, 1, timeout_ms) <= 0) return;
  while (true) {
    const ssize_t length = ::recv(channel_.get(), packet.data(), packet.size(), MSG_DONTWAIT);
    if (length < 0 && (errno == EAGAIN || errno == EINTR)) return;
    closed_ = length <= 0;
    if (closed_) return;
    auto message = wire::decode({packet.data(), static_cast<std::size_t>(length)});
    if (!message) continue;
    ready_ = ready_ || std::holds_alternative<wire::Ready>(*message);
    if (auto* more = std::get_if<wire::Metrics>(&*message)) metrics_.insert(metrics_.end(), more->deltas.begin(), more->deltas.end());
  }
}

std::vector<std::string> ListenerBench::deposits() const {
  std::vector<std::string> uids;
  for (const std::string& target : settings_.targets) {
    for (const SpoolName& name : room_.shelf().waiting(target)) {
      if (!others_.contains(name.uid)) uids.push_back(name.uid);
    }
  }
  return uids;
}

Result<void> ListenerBench::wait(std::uint32_t n, std::uint32_t timeout_ms) {
  const std::int64_t until = monotonic_ns() + std::int64_t{timeout_ms} * 1'000'000;
  while (true) {
    const std::size_t there = deposits().size();
    if (there >= n) return {};
    if (closed_) return Error{Code::kExists, 0, "the listener has ended after " + std::to_string(there) + " deposits"};
    if (monotonic_ns() >= until) {
      return Error{
          Code::kBusy, 0,
          "it has deposited " + std::to_string(there) + " files, not " + std::to_string(n) + ", after " + std::to_string(timeout_ms) + " ms"};
    }
    receive(static_cast<int>(std::clamp<std::int64_t>((until - monotonic_ns()) / 1'000'000, 0, kLookMs)));
  }
}

void ListenerBench::end() {
  if (!thread_.joinable()) return;
  const std::string stop = wire::encode(wire::Stop{});
  (void)!::send(channel_.get(), stop.data(), stop.size(), MSG_NOSIGNAL);
  while (!closed_) receive(-1);
  thread_.join();
}

void ListenerBench::stop(KeptResult& result) {
  end();
  result.set_outcome(ended_ ? "ok" : "failed", ended_ ? "" : ended_.error().text);
  std::vector<CollectedFile> files = room_.shelf().collect(settings_.targets, [&](const std::string& uid) { return !others_.contains(uid); });
  sort(files);
  for (const CollectedFile& file : files) result.add(file);
  for (wire::MetricDelta& delta : host_.take_metrics()) metrics_.push_back(std::move(delta));
  room_.finish(result, std::exchange(metrics_, {}));
}

}  // namespace mfdata
