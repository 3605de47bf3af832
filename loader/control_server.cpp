#include "control_server.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace mfdata {

constexpr std::size_t kMaxClients = 32;
constexpr std::size_t kMaxRequest = 64 * 1024;

Result<std::unique_ptr<ControlServer>> ControlServer::listen(EventLoop& loop, const std::string& path, Answer answer) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return Error{Code::kBadConfig, 0, "the path of the control socket is too long: " + path + ". Choose a home with a shorter path"};
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  std::unique_ptr<ControlServer> server(new ControlServer(loop, path, std::move(answer)));
  server->socket_ = FileDescriptor(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  ::unlink(path.c_str());  // of a loader that is dead: we hold the lock
  if (!server->socket_ || ::bind(server->socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::chmod(path.c_str(), 0600) != 0 || ::listen(server->socket_.get(), kMaxClients) != 0) {
    return system_error(errno, "cannot listen on " + path);
  }
  server->readable_ = loop.on_readable(server->socket_.get(), [raw = server.get()] { raw->accept_client(); });
  return server;
}

// One that never listened has no name to remove.
ControlServer::~ControlServer() {
  if (readable_) ::unlink(path_.c_str());
}

void ControlServer::accept_client() {
  std::erase_if(clients_, [](const Client& client) { return client.finished; });
  FileDescriptor socket(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket) return;
  if (clients_.size() >= kMaxClients) {
    constexpr std::string_view kFull = "{\"error\":\"too many commands at a time: try again\"}\n";
    (void)::send(socket.get(), kFull.data(), kFull.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    return;
  }
  Client& client = clients_.emplace_back();
  client.number = next_number_++;
  client.socket = std::move(socket);
  client.readable = loop_.on_readable(client.socket.get(), [this, &client] { read_client(client); });
}

void ControlServer::read_client(Client& client) {
  std::array<char, 4096> block;
  const ssize_t got = ::recv(client.socket.get(), block.data(), block.size(), MSG_DONTWAIT);
  if (got == 0 && client.asked) return client.readable.reset();  // it has said all, and waits for the reply
  if (got <= 0) return finish(client);
  if (client.asked) return;
  client.request.append(block.data(), static_cast<std::size_t>(got));
  const std::size_t end = client.request.find('\n');
  if (end == std::string::npos) return client.request.size() <= kMaxRequest ? void() : finish(client);
  client.asked = true;
  answer_(client.request.substr(0, end), [this, number = client.number](const std::string& text) { reply_to(number, text); });
}

void ControlServer::reply_to(std::uint64_t number, const std::string& text) {
  const auto client = std::find_if(clients_.begin(), clients_.end(), [&](const Client& one) { return one.number == number && !one.finished; });
  if (client == clients_.end()) return;
  const std::string reply = text + '\n';
  // A reader that does not read gets what fits into the socket: the loop waits for nobody.
  const int large = 4 << 20;
  ::setsockopt(client->socket.get(), SOL_SOCKET, SO_SNDBUF, &large, sizeof large);
  (void)::send(client->socket.get(), reply.data(), reply.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  finish(*client);
}

void ControlServer::finish(Client& client) {
  client.finished = true;
  client.readable.reset();
  client.socket.close();
}

}  // namespace mfdata
