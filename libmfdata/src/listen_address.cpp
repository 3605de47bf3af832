#include "libmfdata/listen_address.hpp"

#include <netdb.h>
#include <sys/socket.h>

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
