#include "libmfdata/listen_address.hpp"

#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>

namespace mfdata {
namespace {

struct Parts {
  std::string host;  // empty: every address of IPv4
  std::string port;
};

Parts parts_of(const std::string& address) {
  const std::size_t colon = address.rfind(':');
  if (colon == std::string::npos) return {"", address};
  Parts parts{address.substr(0, colon), address.substr(colon + 1)};
  if (parts.host.starts_with('[') && parts.host.ends_with(']')) parts.host = parts.host.substr(1, parts.host.size() - 2);
  return parts;
}

}  // namespace

Result<FileDescriptor> listening_socket(const std::string& address) {
  const Parts parts = parts_of(address);
  addrinfo hints{};
  hints.ai_family = parts.host.empty() ? AF_INET : AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int failed = ::getaddrinfo(parts.host.empty() ? nullptr : parts.host.c_str(), parts.port.c_str(), &hints, &found);
  if (failed != 0) return Error{Code::kBadConfig, 0, std::string(::gai_strerror(failed)) + ", it is written as 127.0.0.1:9464"};
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> places(found, ::freeaddrinfo);
  int errnum = EADDRNOTAVAIL;
  for (const int family : {AF_INET, AF_INET6}) {
    for (const addrinfo* place = places.get(); place; place = place->ai_next) {
      if (place->ai_family != family) continue;
      FileDescriptor socket(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
      const int on = 1;
      if (socket) ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
      if (socket && ::bind(socket.get(), place->ai_addr, place->ai_addrlen) == 0 && ::listen(socket.get(), SOMAXCONN) == 0) return socket;
      errnum = errno;
    }
  }
  return system_error(errnum, "it cannot be listened on");
}

namespace {

bool is_listened_on(const sockaddr_un& address) {
  const FileDescriptor probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  return probe && (::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 || errno != ECONNREFUSED);
}

Result<FileDescriptor> unix_socket(const std::string& path, unsigned mode) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return Error{Code::kBadConfig, 0, "the path of a unix socket has at most 107 bytes: " + path};
  path.copy(address.sun_path, path.size());
  struct stat there;
  if (::lstat(path.c_str(), &there) == 0) {
    if (!S_ISSOCK(there.st_mode)) return Error{Code::kBadConfig, EEXIST, path + " stands there and is no socket: remove it, or choose another path"};
    if (is_listened_on(address)) return Error{Code::kIo, EADDRINUSE, "another program listens on " + path};
    (void)::unlink(path.c_str());
  }
  FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket || ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::chmod(path.c_str(), mode == 0 ? 0660 : mode) != 0 || ::listen(socket.get(), SOMAXCONN) != 0) {
    return system_error(errno, "it cannot be listened on " + path);
  }
  return socket;
}

}  // namespace

Result<BoundSocket> BoundSocket::bind(const std::string& address, unsigned mode) {
  const bool is_path = address.starts_with('/');
  auto socket = is_path ? unix_socket(address, mode) : listening_socket(address);
  if (!socket) return socket.error();
  struct stat there {};
  if (is_path) (void)::lstat(address.c_str(), &there);
  return BoundSocket(std::move(*socket), is_path ? address : "", there.st_ino);
}

bool is_address(const std::string& address) {
  if (address.starts_with('/')) return true;
  const Parts parts = parts_of(address);
  std::array<unsigned char, 16> bytes;
  const bool is_host = ::inet_pton(AF_INET, parts.host.c_str(), bytes.data()) == 1 || ::inet_pton(AF_INET6, parts.host.c_str(), bytes.data()) == 1;
  const bool is_port = !parts.port.empty() && parts.port.size() <= 5 && parts.port.find_first_not_of("0123456789") == std::string::npos;
  return is_host && is_port && std::stoul(parts.port) <= 65535;
}

Result<void> can_bind(const std::string& address) {
  if (address.starts_with('/')) {
    const std::string directory = address.substr(0, address.rfind('/') + 1);
    return ::access(directory.c_str(), W_OK | X_OK) == 0 ? Result<void>() : system_error(errno, "no socket can be made in " + directory);
  }
  auto socket = listening_socket(address);
  return socket || socket.error().errnum == EADDRINUSE ? Result<void>() : socket.error();
}

bool BoundSocket::is_lost() const {
  struct stat there {};
  return !path_.empty() && (::lstat(path_.c_str(), &there) != 0 || there.st_ino != inode_);
}

void BoundSocket::set_mode(unsigned mode) const {
  if (!path_.empty()) (void)::chmod(path_.c_str(), mode == 0 ? 0660 : mode);
}

BoundSocket& BoundSocket::operator=(BoundSocket&& other) noexcept {
  remove();
  socket_ = std::move(other.socket_);
  path_ = std::move(other.path_);
  inode_ = other.inode_;
  return *this;
}

void BoundSocket::remove() {
  struct stat there {};
  if (socket_ && !path_.empty() && ::lstat(path_.c_str(), &there) == 0 && there.st_ino == inode_) (void)::unlink(path_.c_str());
}

BoundSocket::~BoundSocket() { remove(); }

Result<void> can_listen(const std::string& address, int own_port) {
  if (address.empty()) return {};
  auto socket = listening_socket(address);
  if (socket) return {};
  Error error = socket.error();
  if (error.errnum == EADDRINUSE && own_port != 0 && parts_of(address).port == std::to_string(own_port)) return {};
  error.code = Code::kBadConfig;
  error.text = "metrics cannot be served on \"" + address + "\": " + error.text + ". Set [metrics] listen to a free address, or to \"\"";
  return error;
}

}  // namespace mfdata
