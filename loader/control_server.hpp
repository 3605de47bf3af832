// The control socket, run/control.sock: one line of JSON in, {"command":"status"}, one line of JSON out. For the
// home's owner only (mode 0600). Bounded: 32 connections, a request of 64 KiB. A reply may come later: the loop waits for none.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <string>

#include "event_loop.hpp"
#include "libmfdata/file_descriptor.hpp"

namespace mfdata {

class ControlServer {
 public:
  // Takes the reply line, once, as long as the server is there; nothing happens when the client is gone.
  using Reply = std::function<void(const std::string&)>;
  // `answer` gets the request line.
  using Answer = std::function<void(const std::string& request, Reply reply)>;
  static Result<std::unique_ptr<ControlServer>> listen(EventLoop& loop, const std::string& path, Answer answer);
  ~ControlServer();
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

 private:
  struct Client {
    std::uint64_t number = 0;
    FileDescriptor socket;
    std::string request;
    EventLoop::Handle readable;
    bool asked = false;  // its reply is under way
    bool finished = false;
  };
  ControlServer(EventLoop& loop, std::string path, Answer answer) : loop_(loop), path_(std::move(path)), answer_(std::move(answer)) {}
  void accept_client();
  void read_client(Client& client);
  void reply_to(std::uint64_t number, const std::string& text);
  static void finish(Client& client);

  EventLoop& loop_;
  std::string path_;
  Answer answer_;
  FileDescriptor socket_;
  EventLoop::Handle readable_;
  std::list<Client> clients_;
  std::uint64_t next_number_ = 0;
};

}  // namespace mfdata
