// How many processes have the files of one directory open, as far as inotify(7) tells, and when each file was last
// told to be complete: closed by a writer, or renamed into the directory.
//
// A file that somebody still has open is not complete, whatever another process has closed. Readers are counted like
// writers, since an open does not tell which it is. A name that is not known here may have been open before anybody
// looked, so one unknown opener is assumed; only the close of a writer ends that. The kernel merges an event with the
// one before when both are the same: two opens at the same instant may count as one, and so may two closes. Whoever
// asks must therefore also wait until the file has not changed for a time.
//
// Pure: the caller passes the events and the time. Bounded: a name without room is one of which nothing was told.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>

namespace mfdata {

class OpenCounts {
 public:
  explicit OpenCounts(std::size_t max_names) : max_names_(max_names) {}

  void created(const std::string& name);        // a new file has the name, and nobody has opened it under this name
  void opened(std::string_view name);
  void closed_by_reader(std::string_view name);
  void closed_by_writer(std::string_view name, std::int64_t now_ns);
  // A file was renamed to this name, or has been quiet for so long that nobody is assumed to write it.
  void completed(std::string_view name, std::int64_t now_ns);
  // Counts from now on, with one unknown opener, if nothing is known of the name.
  void watch(std::string_view name);
  void forget(std::string_view name);
  void clear() { names_.clear(); }
  // Events were lost: nothing is told of any name, and somebody unknown may have it open.
  void lose_track();
  // Drops the names that `stands` denies, once there are so many that some are probably left over.
  void drop_gone(const std::function<bool(const std::string&)>& stands);

  bool knows(std::string_view name) const { return names_.contains(name); }
  bool is_open(std::string_view name) const;
  // When the file was last told to be complete, by the caller's clock. 0: never, or somebody has it open.
  std::int64_t told_ns(std::string_view name) const;
  std::size_t size() const { return names_.size(); }

 private:
  struct Name {
    unsigned openers = 1;
    std::int64_t told_ns = 0;
  };
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view name) const { return std::hash<std::string_view>()(name); }
  };
  Name* find(std::string_view name);
  Name* find_or_add(std::string_view name);

  std::unordered_map<std::string, Name, Hash, std::equal_to<>> names_;
  std::size_t max_names_;
  std::size_t left_ = 0;  // names that still stood when it was asked for all of them
};

}  // namespace mfdata
