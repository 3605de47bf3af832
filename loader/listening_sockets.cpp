#include "listening_sockets.hpp"

#include <algorithm>
#include <cerrno>

namespace mfdata {

Result<int> ListeningSockets::open(const std::string& listener, const std::string& address, unsigned mode, const std::set<std::string>& in_use) {
  const auto known = sockets_.find({listener, address});
  if (known != sockets_.end() && known->second.is_lost()) {
    sockets_.erase(known);
  } else if (known != sockets_.end()) {
    known->second.set_mode(mode);
    return known->second.descriptor();
  }
  const auto of_it = std::count_if(sockets_.begin(), sockets_.end(), [&](const auto& one) { return one.first.first == listener; });
  if (static_cast<std::size_t>(of_it) >= kMaxOfOne) return Error{Code::kLimit, 0, "a listener has at most 64 listening sockets"};
  auto made = BoundSocket::bind(address, mode);
  if (!made && made.error().errnum == EADDRINUSE) {  // by an address that overlaps, it may be
    keep_only(listener, in_use);
    made = BoundSocket::bind(address, mode);
  }
  if (!made && made.error().errnum == EADDRINUSE) {
    const auto ours = std::find_if(sockets_.begin(), sockets_.end(), [&](const auto& one) { return one.first.second == address; });
    if (ours != sockets_.end()) return Error{Code::kIo, EADDRINUSE, "the listener " + ours->first.first + " of this home listens there"};
  }
  if (!made) return made.error();
  return sockets_.emplace(std::pair(listener, address), std::move(*made)).first->second.descriptor();
}

void ListeningSockets::keep_only(const std::string& listener, const std::set<std::string>& addresses) {
  std::erase_if(sockets_, [&](const auto& one) { return one.first.first == listener && !addresses.contains(one.first.second); });
}

void ListeningSockets::keep_listeners(const std::set<std::string>& listeners) {
  std::erase_if(sockets_, [&](const auto& one) { return !listeners.contains(one.first.first); });
}

}  // namespace mfdata
