#include "http_server.hpp"

#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>
#include <vector>

#include "libmfdata/clock.hpp"
#include "libmfdata/listen_address.hpp"

namespace mfdata {
namespace {

constexpr std::size_t kMaxClients = 256;
constexpr std::size_t kMaxRequest = 16 * 1024;
constexpr std::int64_t kPatienceNs = 2'000'000'000;

const char* reason_phrase(int status) {
  switch (status) {
    case 200: return "OK";
    case 400: return "Bad Request";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 431: return "Request Header Fields Too Large";
    case 503: return "Service Unavailable";
    default: return "Error";
  }
}

std::string spelled(const HttpServer::Reply& reply, bool with_body) {
  return "HTTP/1.1 " + std::to_string(reply.status) + ' ' + reason_phrase(reply.status) +
         "\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: " + std::to_string(reply.body.size()) +
         (reply.status == 405 ? "\r\nAllow: GET, HEAD" : "") + "\r\nConnection: close\r\n\r\n" + (with_body ? reply.body : "");
}

int port_of(int socket) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &length) != 0) return 0;
  return ntohs(address.ss_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6&>(address).sin6_port
                                             : reinterpret_cast<const sockaddr_in&>(address).sin_port);
}

}  // namespace

Result<std::unique_ptr<HttpServer>> HttpServer::listen(const std::string& address, Answer answer) {
  auto socket = listening_socket(address);
  if (!socket) return socket.error();
  FileDescriptor stop(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!stop) return system_error(errno, "cannot make an eventfd");
  const int port = port_of(socket->get());
  std::unique_ptr<HttpServer> server(new HttpServer(std::move(*socket), std::move(stop), port, std::move(answer)));
  try {
    server->thread_ = std::thread([raw = server.get()] { raw->run(); });
  } catch (const std::system_error& error) {
    return Error{Code::kIo, 0, std::string("cannot start a thread: ") + error.what()};
  }
  return server;
}

HttpServer::HttpServer(FileDescriptor socket, FileDescriptor stop, int port, Answer answer)
    : socket_(std::move(socket)), stop_(std::move(stop)), port_(port), answer_(std::move(answer)) {}

HttpServer::~HttpServer() {
  if (!thread_.joinable()) return;
  const std::uint64_t one = 1;
  (void)!::write(stop_.get(), &one, sizeof one);
  thread_.join();
}

void HttpServer::run() {
  while (true) {
    std::vector<pollfd> polled = {{stop_.get(), POLLIN, 0}, {socket_.get(), POLLIN, 0}};
    std::int64_t until = monotonic_ns() + 60'000'000'000;
    for (const Client& client : clients_) {
      const bool writes = client.sent < client.reply.size();
      polled.push_back({client.socket.get(), static_cast<short>(writes ? POLLOUT : POLLIN), 0});
      until = std::min(until, client.until_ns);
    }
    const std::int64_t pause_ms = std::max<std::int64_t>(0, until - monotonic_ns()) / 1'000'000 + 1;
    if (::poll(polled.data(), polled.size(), static_cast<int>(pause_ms)) < 0 && errno != EINTR) return;
    if (polled[0].revents != 0) return;
    std::size_t at = 2;
    for (Client& client : clients_) {
      if (polled[at++].revents != 0) serve(client);
    }
    const std::int64_t now = monotonic_ns();
    clients_.remove_if([&](const Client& client) { return client.finished || now >= client.until_ns; });
    if (polled[1].revents != 0) accept_clients();
  }
}

void HttpServer::accept_clients() {
  for (std::size_t round = 0; round < kMaxClients; ++round) {
    FileDescriptor socket(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket) {
      if (errno != EMFILE && errno != ENFILE) return;
      if (clients_.empty()) ::usleep(50'000);  // others have all descriptors: it would be asked again at once
      if (!clients_.empty()) clients_.pop_front();
      return;
    }
    if (clients_.size() >= kMaxClients) clients_.pop_front();
    Client& client = clients_.emplace_back();
    client.socket = std::move(socket);
    client.until_ns = monotonic_ns() + kPatienceNs;
  }
}

void HttpServer::serve(Client& client) {
  if (client.reply.empty()) read_request(client);
  while (client.sent < client.reply.size()) {
    const ssize_t sent = ::send(client.socket.get(), client.reply.data() + client.sent, client.reply.size() - client.sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) {
      client.finished = client.finished || errno != EAGAIN;
      return;
    }
    client.sent += static_cast<std::size_t>(sent);
  }
  if (client.reply.empty() || client.finished) return;
  // A close with something unread would take the answer from a client that still sends: its end comes first.
  if (!client.answered) ::shutdown(client.socket.get(), SHUT_WR);
  client.answered = true;
  std::array<char, 4096> rest;
  ssize_t got = 1;
  for (int round = 0; round < 16 && got > 0; ++round) got = ::recv(client.socket.get(), rest.data(), rest.size(), MSG_DONTWAIT);
  client.finished = got == 0 || (got < 0 && errno != EAGAIN);
}

void HttpServer::read_request(Client& client) {
  std::array<char, 4096> block;
  bool ended = false;
  while (!ended) {
    const ssize_t got = ::recv(client.socket.get(), block.data(), block.size(), MSG_DONTWAIT);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) break;
    ended = got <= 0;
    if (ended) break;
    client.request.append(block.data(), static_cast<std::size_t>(got));
    if (client.request.size() > kMaxRequest) break;
  }
  const bool whole = client.request.find("\r\n\r\n") != std::string::npos || client.request.find("\n\n") != std::string::npos;
  client.finished = ended && !whole;
  if (client.finished || (!whole && client.request.size() <= kMaxRequest)) return;
  client.reply = whole ? reply_to(client.request) : spelled({431, "the request is too long\n"}, true);
  client.until_ns = monotonic_ns() + kPatienceNs;
}

std::string HttpServer::reply_to(const std::string& request) const {
  const std::string line = request.substr(0, request.find_first_of("\r\n"));
  const std::size_t space = line.find(' '), end = line.find(' ', space + 1);
  if (space == std::string::npos || end == std::string::npos || !line.substr(end + 1).starts_with("HTTP/1.")) {
    return spelled({400, "this is no request of HTTP/1.1\n"}, true);
  }
  const std::string method = line.substr(0, space);
  if (method != "GET" && method != "HEAD") return spelled({405, "GET and HEAD are served here\n"}, true);
  std::string path = line.substr(space + 1, end - space - 1);
  path.resize(std::min(path.find('?'), path.size()));
  return spelled(answer_(path), method == "GET");
}

}  // namespace mfdata
