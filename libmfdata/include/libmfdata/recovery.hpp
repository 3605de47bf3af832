// Recovery: what a dead worker, a killed machine or a power cut left is finished or undone (model: recover, reap).
//
// `recover_all` runs at start, alone: no worker lives (the loader holds run/workers.lock). `reap_slot` runs while
// others live, for one slot whose worker and all that it started are dead. Both may be repeated at any point.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "libmfdata/claim.hpp"

namespace mfdata {

// Called for each file that was settled.
using OnSettled = std::function<void(const Slot&, const Settled&)>;
// Called for what could not be recovered now: it stays, the rest goes on, and a later recovery tries again.
using OnProblem = std::function<void(const Error&)>;

void recover_all(const Spool& spool, const Crash& crash, const OnSettled& on_settled, const OnProblem& on_problem);
Result<void> reap_slot(const Spool& spool, const Slot& slot, const Crash& crash, const OnSettled& on_settled);

// Every slot there is on disk, of any step.
Result<std::vector<Slot>> all_slots(const Spool& spool);

}  // namespace mfdata
