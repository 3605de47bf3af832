// Files that wait for another attempt: moves each back to its step when it is due. The truth is the directory
// step.<plugin>.<step>_reinject; here stand at most `limit` names of each step. The names tell wall time; once they are here
// only monotonic time counts, so that a clock that is set meanwhile neither hurries nor delays a retry.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "libmfdata/spool.hpp"

namespace mfdata {

class WaitingRoom {
 public:
  WaitingRoom(const Disk& disk, std::size_t limit) : disk_(disk), limit_(limit) {}

  // The next step, dotted. `max_wait_ms`: its retry_max_wait; a due time beyond it counts as it.
  void add(std::string step, std::int64_t max_wait_ms);
  // True: it was another one, so that what waits has to be listed anew.
  bool set_max_wait(std::size_t step, std::int64_t max_wait_ms) { return std::exchange(max_waits_ms_[step], max_wait_ms) != max_wait_ms; }
  // False: no room. `wall_ms`: since 1970; `now_ms`: monotonic, as below.
  bool offer(std::size_t step, const std::string& filename, std::int64_t wall_ms, std::int64_t now_ms);
  void forget(std::size_t step);
  bool has_room(std::size_t step) const { return counts_[step] < limit_ / 2; }
  // Moves what is due, at most 1000 files. What cannot be moved is put off; the first error of such a one is told.
  Result<void> move_due(std::int64_t now_ms);
  std::int64_t next_due_ms() const { return due_.empty() ? -1 : due_.begin()->first; }
  std::size_t size() const { return names_.size(); }

 private:
  using Name = std::pair<std::size_t, std::string>;
  const Disk& disk_;
  std::vector<std::string> steps_;
  std::vector<std::int64_t> max_waits_ms_;
  std::size_t limit_;
  std::vector<std::size_t> counts_;
  std::multimap<std::int64_t, Name> due_;
  std::set<Name> names_;
};

}  // namespace mfdata
