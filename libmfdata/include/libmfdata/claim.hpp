// Claim: a file of ours in a step directory moves into a slot (one rename), and a verdict says what to do with it.
//
// The verdict compares the generation and size in the context with the file's name and size: equal runs the step,
// a context that is ahead of the name finishes the rename that a kill interrupted, everything else goes to trash
// with its reason. `settle` is what becomes of a file found in a slot whose worker is dead, or not to be run.
#pragma once

#include <optional>
#include <string>

#include "libmfdata/spool.hpp"
#include "libmfdata/trash.hpp"

namespace mfdata {

enum class Verdict { kRun, kFinish, kArrival, kContextMissing, kEmptied, kOlderThanName };

const char* reason_of(Verdict verdict);  // as it stands in trash

// In Crash::in_hand: nobody knows which of the files in the slot it was (a batch, a common commit).
inline constexpr const char* kEveryFile = "*";

// What the loader knows of a worker's death; with `count` off, nothing is charged to the files in its slot.
struct Crash {
  bool count = false;
  unsigned max_crashes = 3;
  std::string reason;          // "signal 11 (Segmentation fault)", "timeout after 600 s"
  std::string plugin_version;  // of the code that crashed
  std::string in_hand;         // name of the file that it is charged to, or kEveryFile; empty: none of them
};

struct Claim {
  std::optional<Job> job;  // to be run; nothing: it has been settled
  std::string settled;     // why it was not run
  std::string delivered;   // as of Settled
};

// kGone: somebody else has it.
Result<Claim> claim(const Spool& spool, const Slot& slot, const std::string& filename);

// True when a file under one of our names stands in a step directory without a context: an arrival.
bool is_arrival(const Spool& spool, const std::string& directory, const std::string& filename);

// Opens the file of a slot and judges it; the job is filled as far as it could be read.
Result<Verdict> judge(const Spool& spool, Job& job);

struct Settled {
  std::string uid;
  unsigned crashes = 0;
  bool trashed = false;
  std::string what;  // "returned", "finished", or the reason in trash
  std::string delivered = {};  // where one that is finished has left the spool to
};
Result<Settled> settle(const Spool& spool, const Slot& slot, const std::string& path, const Crash& crash);

}  // namespace mfdata
