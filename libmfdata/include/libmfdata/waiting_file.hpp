// The files that wait before a step, for the person who looks after them and for the collection of old ones: what there
// is, away, before another step, into trash.
//
// Each is first renamed into a slot, as a worker does it: who has it there has it alone, and what is killed meanwhile is
// returned to its step by the recovery of that slot.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "libmfdata/spool.hpp"

namespace mfdata {

// Slots of no worker. The tools of people take turns by Home::trash_lock; the loader runs one collection at a time.
inline constexpr unsigned kToolSlot = 999'999;
inline constexpr unsigned kCollectorSlot = 999'998;

// Before one of them is used for files of its step: what somebody who was killed left there goes back before the step, or
// to where it was committed to.
Result<void> open_slot(const Spool& spool, const Slot& slot);

struct WaitingFile {
  std::string step;               // dotted
  std::optional<SpoolName> name;  // nothing: it was put there by somebody, and is accepted when its turn comes
  std::string path;               // relative to the data directory
  std::int64_t due_ms = 0;        // of another attempt; 0: it waits for its turn
  std::uint64_t size = 0;
  std::int64_t since_s = 0;       // when it came there: its status change time, seconds since 1970
  bool in_hand = false;           // it stands in the slot of a worker
  bool watched = false;           // it stands in a watched directory

  std::string basename() const { return path.substr(path.rfind('/') + 1); }
};

// Those that wait for their turn first, by name (the oldest arrivals in front), then those that wait for another attempt.
// What vanishes meanwhile is left out.
Result<std::vector<WaitingFile>> waiting_files(const Spool& spool, const std::string& step);

// Those in the slots of its workers, batches and common commits too, also of workers that are dead.
Result<std::vector<WaitingFile>> files_in_hand(const Spool& spool, const std::string& step);
// What stands in a watched directory and is no ignored name: nobody has accepted it yet.
Result<std::vector<WaitingFile>> watched_files(const Spool& spool, const std::string& step, const std::string& directory,
                                               const std::vector<std::string>& ignore);
// The pattern of [data] ignore that keeps the name from being taken, or that of names of ours. Nothing: it is taken.
std::optional<std::string> ignoring_pattern(const std::vector<std::string>& patterns, const std::string& name);
bool is_ignored(const std::vector<std::string>& patterns, const std::string& name);

// Its context. kGone: it has none (yet), or is gone itself.
Result<Context> context_of(const Spool& spool, const WaitingFile& file);

// By way of an open slot of the file's step. kGone: somebody else has it. After any other error the file is before its step
// again, or where it was committed to.
Result<void> drop_waiting(const Spool& spool, const WaitingFile& file, const Slot& slot);
// Before another step (dotted), with its tags; the hop is not counted.
Result<void> move_waiting(const Spool& spool, const WaitingFile& file, const std::string& target, const Slot& slot);
Result<void> trash_waiting(const Spool& spool, const WaitingFile& file, const std::string& reason, const std::string& text, const Slot& slot);

}  // namespace mfdata
