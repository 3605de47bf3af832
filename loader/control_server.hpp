// The control socket, run/control.sock: one line of JSON in, {"command":"status"}, one line of JSON out. For the
// home's owner only (mode 0600). Bounded: eight connections, a request of 64 KiB.
#pragma once

#include <functional>
#include <list>
#include <string>

#include "event_loop.hpp"
#include "libmfdata/file_descriptor.hpp"

namespace mfdata {

class ControlServer {
 public:
  // `answer` gets the request line and gives the reply line.
  using Answer = std::function<std::string(const std::string&)>;
  static Result<std::unique_ptr<ControlServer>> listen(EventLoop& loop, const std::string& path, Answer answer);
  ~ControlServer();
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

 private:
  struct Client {
    FileDescriptor socket;
    std::string request;
    EventLoop::Handle readable;
    bool finished = false;
  };
  ControlServer(EventLoop& loop, std::string path, Answer answer) : loop_(loop), path_(std::move(path)), answer_(std::move(answer)) {}
  void accept_client();
  void read_client(Client& client);

  EventLoop& loop_;
  std::string path_;
  Answer answer_;
  FileDescriptor socket_;
  EventLoop::Handle readable_;
  std::list<Client> clients_;
};

}  // namespace mfdata
