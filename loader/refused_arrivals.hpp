// Which arrivals are refused, so that each is told of once, and asked again only when something has changed.
//
// Pure: what the system says of a file is passed in. Bounded: of the first ten thousand the reasons are kept and
// shown; of more, only that they were refused; of more still, nothing, and then they are neither logged nor counted.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <unordered_map>

namespace mfdata {

class RefusedArrivals {
 public:
  struct Refusal {
    std::uint64_t inode = 0;
    std::int64_t changed_ns = 0;
    std::int64_t at_ns = 0;  // when it was refused last
    std::string reason;
  };
  struct News {
    bool log = false;
    bool count = false;
    bool first_of_many = false;  // from now on they are not logged one by one
  };
  explicit RefusedArrivals(std::size_t shown = 10'000, std::size_t known = 200'000) : most_shown_(shown), most_known_(known) {}

  News add(const std::string& path, const struct stat& status, const std::string& reason, std::int64_t now_ns);
  // It was refused, and nothing has changed since that would let it be taken. What a directory does not let go may have
  // been let go meanwhile: that is tried again about each minute.
  bool same(const std::string& path, const struct stat& status, std::int64_t now_ns);
  // An event told that its mode, owner or times have changed; those that we change ourselves are no news.
  bool heeds_attributes(const std::string& path) const;
  // Before everything is listed again. `stands`: what stands at a path now, as lstat(2) says it, or nothing.
  template <class Stands>
  void forget_gone(Stands&& stands);
  void clear();

  bool empty() const { return shown_.empty() && known_.empty(); }
  std::size_t size() const { return shown_.size() + known_.size(); }
  const std::map<std::string, Refusal>& shown() const { return shown_; }  // by path
  std::set<std::string> directories() const;                             // of those that are shown

 private:
  struct Known {
    std::int64_t changed_ns = 0;
    unsigned seen = 0;  // in which round of listings
  };
  void forget_unseen();

  std::size_t most_shown_, most_known_;
  std::map<std::string, Refusal> shown_;
  std::unordered_map<std::uint64_t, Known> known_;  // by a hash of path and inode
  unsigned round_ = 0;
};

template <class Stands>
void RefusedArrivals::forget_gone(Stands&& stands) {
  std::erase_if(shown_, [&](const auto& refusal) {
    const auto status = stands(refusal.first);
    return !status || status->st_ino != refusal.second.inode;
  });
  forget_unseen();
}

}  // namespace mfdata
