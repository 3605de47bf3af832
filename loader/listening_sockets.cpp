#include "listening_sockets.hpp"

#include <algorithm>

namespace mfdata {

Result<int> ListeningSockets::open(const std::string& listener, const std::string& address, unsigned mode) {
  const auto known = sockets_.find({listener, address});
  if (known != sockets_.end()) return known->second.descriptor();
  const auto of_it = std::count_if(sockets_.begin(), sockets_.end(), [&](const auto& one) { return one.first.first == listener; });
  if (static_cast<std::size_t>(of_it) >= kMaxOfOne) return Error{Code::kLimit, 0, "a listener has at most 64 listening sockets"};
  auto made = BoundSocket::bind(address, mode);
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
