#include "libmfdata/can_listen.hpp"

#include <netdb.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "libmfdata/file_descriptor.hpp"

namespace mfdata {
namespace {

constexpr const char* kAdvice = ". Set [metrics] listen to a free address, or to \"\"";

Error cannot(const std::string& address, const std::string& why) {
  return Error{Code::kBadConfig, 0, "metrics cannot be served on \"" + address + "\": " + why + kAdvice};
}

}  // namespace

Result<void> can_listen(const std::string& address) {
  if (address.empty()) return {};
  const std::size_t colon = address.rfind(':');
  std::string host = colon == std::string::npos ? "" : address.substr(0, colon);
  const std::string port = colon == std::string::npos ? address : address.substr(colon + 1);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  addrinfo hints{};
  hints.ai_family = host.empty() ? AF_INET : AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int failed = ::getaddrinfo(host.empty() ? nullptr : host.c_str(), port.c_str(), &hints, &found);
  if (failed != 0) return cannot(address, std::string(::gai_strerror(failed)) + ", it is written as 127.0.0.1:9464");
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> place(found, ::freeaddrinfo);
  const FileDescriptor socket(::socket(place->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) return system_error(errno, "cannot make a socket");
  const int on = 1;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(socket.get(), place->ai_addr, place->ai_addrlen) != 0 || ::listen(socket.get(), 1) != 0) {
    return cannot(address, std::strerror(errno));
  }
  return {};
}

}  // namespace mfdata
