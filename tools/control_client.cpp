#include "control_client.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

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

}  // namespace

Result<std::string> ask_loader(const Home& home, const std::string& request, double patience_s) {
  const std::string path = home.control_socket().string();
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return Error{Code::kBadConfig, 0, "the path of the control socket is too long: " + path};
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  auto socket = connect_to(home, address);
  if (!socket) return socket.error();
  const timeval patience{static_cast<time_t>(patience_s), 0};
  ::setsockopt(socket->get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  MFDATA_TRY(write_all(socket->get(), request + '\n', path));
  auto reply = read_all(socket->get(), std::size_t{16} << 20, path);
  if (!reply && (reply.error().errnum == EAGAIN || reply.error().errnum == EWOULDBLOCK)) {
    return Error{Code::kBusy, 0, "the loader has not answered within " + std::to_string(patience.tv_sec) + " s: it is busy with what was asked, or hangs. See its log"};
  }
  if (!reply) return reply.error();
  if (!reply->ends_with('\n')) return Error{Code::kIo, 0, "the loader did not answer"};
  reply->pop_back();
  return reply;
}

Result<std::string> ask_for_reload(const Home& home, bool tries) {
  constexpr double kPatience_s = 300;  // two reloads, each with components that do not come to an end
  return ask_loader(home, tries ? R"({"command":"reload"})" : R"({"command":"reload","trial":false})", kPatience_s);
}

}  // namespace mfdata::tools
