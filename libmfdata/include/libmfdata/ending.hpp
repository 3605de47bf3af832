// The ends of a treatment that need no transaction (model: Spool.end, pass_on, finish_rename).
//
//   end      no output: one unlink
//   pass_on  the only output is the input: its context is written with generation+1 and `to`; that write is the
//            commit, the rename that follows can be finished by anybody who reads the context
//   give_back  nothing happened: the file returns to its step, no penalty
#pragma once

#include <string>

#include "libmfdata/spool.hpp"

namespace mfdata {

// Where a file got: where it should, or to trash since there is no such place any more.
struct Landing {
  bool trashed = false;
  std::string reason;
};

// Only for a file without a sidecar (a transaction ends those).
Result<void> end(const Spool& spool, const Slot& slot, const Job& job);

// `next` carries uid, generation+1, `to` and the tags; it becomes the job's context at the commit. kAttribute: the
// attribute cannot hold it, nothing has changed. Any other error after the commit leaves a file in the slot which
// the next recovery of the slot finishes.
Result<Landing> pass_on(const Spool& spool, const Slot& slot, Job& job, Context next);

// The rename that the context of `job` announces: to a step, to a waiting directory, or a delivery. A target that
// no longer exists or refuses the file sends it to trash with that reason.
Result<Landing> finish_rename(const Spool& spool, const Slot& slot, const Job& job);

Result<void> give_back(const Spool& spool, const Slot& slot, const Job& job);

// The file of the job stands under its path.
bool stands(const Spool& spool, const Job& job);

// Where a step has removed, moved or replaced its input, which it may not: the file as it was taken, found in the slot or made
// anew from what the job has open of it. False: it stands where it should.
Result<bool> restore_input(const Spool& spool, const Slot& slot, Job& job);

}  // namespace mfdata
