// Addresses to listen on: of TCP, and paths of unix sockets. Those of TCP as the configuration has them: "127.0.0.1:9464", "[::1]:9464", "name:9464", or "9464", which is
// every IPv4 address of the machine.
#pragma once

#include <string>

#include "libmfdata/file_descriptor.hpp"
#include "libmfdata/result.hpp"

namespace mfdata {

// A socket that listens there, non-blocking; of a name with addresses of both kinds at the first of IPv4 that can be had.
Result<FileDescriptor> listening_socket(const std::string& address);

// Whether one can be had: it is tried, and given up at once. "" always can. `own_port`: 0, or where the loader that asks, or that is
// asked about, listens itself: that this port is in use is no error. The error says what to do.
Result<void> can_listen(const std::string& address, int own_port);

// An address of TCP in numbers ("127.0.0.1:9091", "[::1]:9091"), or the absolute path of a unix socket.
bool is_address(const std::string& address);
// Whether such an address could be bound, were it not in use; nothing is left.
Result<void> can_bind(const std::string& address);

// A socket that listens for a listener: on an address of TCP, or on a unix socket at an absolute path with these permission bits (0:
// 0660). A unix socket that nobody listens on any more makes room; it is removed with the object, when it is still ours.
class BoundSocket {
 public:
  static Result<BoundSocket> bind(const std::string& address, unsigned mode);
  BoundSocket(BoundSocket&&) noexcept = default;
  BoundSocket& operator=(BoundSocket&& other) noexcept;
  ~BoundSocket();

  // Its path has been removed, or is another socket's; never of an address of TCP.
  bool is_lost() const;
  void set_mode(unsigned mode) const;

  int descriptor() const { return socket_.get(); }
  FileDescriptor take() { return std::move(socket_); }  // a unix socket stays at its path then

 private:
  BoundSocket(FileDescriptor socket, std::string path, unsigned long inode) : socket_(std::move(socket)), path_(std::move(path)), inode_(inode) {}
  void remove();

  FileDescriptor socket_;
  std::string path_;  // of a unix socket
  unsigned long inode_ = 0;
};

}  // namespace mfdata
