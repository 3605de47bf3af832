// The collection of what is too old (DESIGN, Configuration: the lifetimes of [data]): trash, backlogs, scratch of dead slots.
// Nothing that waits is removed: a backlog goes to trash, and only when a lifetime says so. Directories are visited, never
// held in memory: they may have millions of files.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "libmfdata/spool.hpp"

namespace mfdata {

struct Lifetimes {  // seconds; 0: for ever
  double trash_s = 0;
  double tmp_s = 0;
  double backlog_s = 0;
  double keys_s = 0;
};

struct Collected {
  std::size_t purged = 0;     // files in trash
  std::size_t expired = 0;    // waiting files that went to trash
  std::size_t forgotten = 0;  // keys of deposits
  std::size_t swept = 0;      // scratch directories of dead slots
  std::size_t released = 0;   // slots of tools that were killed
  std::optional<std::size_t> in_trash;  // files that are left there, when there was time to count them
  std::vector<std::string> problems;
};

// `live_slots`: Slot::base of those that have, or may have, a worker. `now_s`: seconds since 1970. `go_on` is asked before
// each file: what is left then is for the next time. `next_part` is told when trash is done: a large one takes no time of the rest. First, what a killed tool or collection left in its slot is settled:
// nobody else may use those slots meanwhile (Home::trash_lock).
Collected collect(const Spool& spool, const Lifetimes& lifetimes, const std::vector<std::string>& live_slots, std::int64_t now_s,
                  const std::function<bool()>& go_on, const std::function<void()>& next_part = [] {});

}  // namespace mfdata
