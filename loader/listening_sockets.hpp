// The listening sockets of listeners: made when a listener asks for one first, and kept while its workers come and go, so that
// nobody who connects meanwhile is refused. A unix socket is removed with the last who wants it.
//
// Owned by the program, since loaders follow one another in it.
#pragma once

#include <map>
#include <set>
#include <string>

#include "libmfdata/listen_address.hpp"

namespace mfdata {

class ListeningSockets {
 public:
  static constexpr std::size_t kMaxOfOne = 64;

  // The descriptor, which stays ours. `listener`: "plugin/listener". `in_use`: the addresses that its living workers have asked for;
  // its other sockets make room where they stand in the way.
  Result<int> open(const std::string& listener, const std::string& address, unsigned mode, const std::set<std::string>& in_use);
  // The listener needs only these addresses from now on.
  void keep_only(const std::string& listener, const std::set<std::string>& addresses);
  void keep_listeners(const std::set<std::string>& listeners);  // there are no others any more

 private:
  std::map<std::pair<std::string, std::string>, BoundSocket> sockets_;  // by listener and address
};

}  // namespace mfdata
