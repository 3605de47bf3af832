#include "control_client.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "libmfdata/clock.hpp"
#include "libmfdata/disk.hpp"

namespace mfdata::tools {
namespace {

constexpr std::int64_t kPatience_ns = 30'000'000'000;

// Looks only, and makes no file; a loader that starts tries again after so short a look.
bool is_locked(const boost::filesystem::path& path) {
  FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  return file && ::flock(file.get(), LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

// A loader holds its lock before it listens, and for a moment after.
Result<FileDescriptor> connect_to(const Home& home, const sockaddr_un& address) {
  for (const std::int64_t until = monotonic_ns() + kPatience_ns;;) {
    FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!socket) return system_error(errno, "cannot make a socket");
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return socket;
    const int error = errno;
    if (error != ENOENT && error != ECONNREFUSED) return system_error(error, std::string("cannot reach the loader at ") + address.sun_path);
    if (!is_locked(home.loader_lock())) return Error{Code::kGone, error, "no loader runs in " + home.root.string()};
    if (monotonic_ns() > until) return Error{Code::kBusy, 0, "the loader of " + home.root.string() + " is still starting: try again when it has started"};
    ::usleep(50'000);
  }
}

bool send_line(const FileDescriptor& socket, const std::string& line) {
  return ::send(socket.get(), line.data(), line.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(line.size());
}

}  // namespace

Result<std::string> ask_loader(const Home& home, const std::string& request, double patience_s) {
  const std::string path = home.control_socket().string();
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return Error{Code::kBadConfig, 0, "the path of the control socket is too long: " + path};
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  const std::string line = request + '\n';
  auto socket = connect_to(home, address);
  // One that was just being replaced takes no line: the next one does.
  for (int attempt = 0; socket && !send_line(*socket, line); ++attempt) {
    if (attempt == 10) return system_error(errno, "cannot ask the loader at " + path);
    ::usleep(50'000);
    socket = connect_to(home, address);
  }
  if (!socket) return socket.error();
  const auto seconds = static_cast<time_t>(patience_s);
  const timeval patience{seconds, static_cast<suseconds_t>(std::max((patience_s - static_cast<double>(seconds)) * 1e6, seconds > 0 ? 0.0 : 1.0))};
  ::setsockopt(socket->get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  auto reply = read_all(socket->get(), std::size_t{16} << 20, path);
  if (!reply && (reply.error().errnum == EAGAIN || reply.error().errnum == EWOULDBLOCK)) {
    return Error{Code::kBusy, 0, "the loader has not answered within " + std::to_string(seconds) + " s: it is still busy with what was asked, or hangs. See its log"};
  }
  if (!reply) return reply.error();
  if (!reply->ends_with('\n')) return Error{Code::kIo, 0, "the loader ended before it answered: ask again"};
  reply->pop_back();
  return reply;
}

nlohmann::json status_of_loader(const Home& home, double patience_s) {
  const auto reply = ask_loader(home, R"({"command":"status"})", patience_s);
  nlohmann::json status = reply ? nlohmann::json::parse(*reply, nullptr, false) : nlohmann::json();
  return status.is_object() ? status : nlohmann::json::object();
}

Result<std::string> ask_for_reload(const Home& home, bool tries, double patience_s) {
  return ask_loader(home, tries ? R"({"command":"reload"})" : R"({"command":"reload","trial":false})", patience_s);
}

}  // namespace mfdata::tools
