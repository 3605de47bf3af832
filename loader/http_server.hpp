// A small HTTP server for machines that ask often and little: GET and HEAD, one request for a connection, each answered from
// one thread of its own that waits for nobody. A connection that has not sent its request within two seconds, or not read
// its answer, is closed; of more than 256 the oldest is. So connections that idle, or are slow, delay nobody.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <string>
#include <thread>

#include "libmfdata/file_descriptor.hpp"
#include "libmfdata/result.hpp"

namespace mfdata {

class HttpServer {
 public:
  struct Reply {
    int status = 200;
    std::string body;  // text
  };
  using Answer = std::function<Reply(const std::string& path)>;  // called on the server's thread

  // "127.0.0.1:9464", "[::1]:9464", or a port alone: every IPv4 address. Port 0: any; `port` tells.
  static Result<std::unique_ptr<HttpServer>> listen(const std::string& address, Answer answer);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  int port() const { return port_; }

 private:
  struct Client {
    FileDescriptor socket;
    std::int64_t until_ns = 0;
    std::string request, reply;
    std::size_t sent = 0;
    bool answered = false;  // all is sent; its end is waited for
    bool finished = false;
  };
  HttpServer(FileDescriptor socket, FileDescriptor stop, int port, Answer answer);
  void run();
  void accept_clients();
  void serve(Client& client);
  void read_request(Client& client);
  std::string reply_to(const std::string& request) const;

  FileDescriptor socket_, stop_;
  int port_ = 0;
  Answer answer_;
  std::list<Client> clients_;  // the oldest first
  std::thread thread_;
};

}  // namespace mfdata
