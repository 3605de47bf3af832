// run/workers.lock: every worker, and what it started, holds it shared; the loader takes it alone before it recovers
// anything, so that nobody works on the files that it moves.
#pragma once

#include "libmfdata/home.hpp"

namespace mfdata {

// Waits up to 10 s for workers of an earlier loader to end, then kills those of our own user; an error names the
// others. The lock is held until the descriptor is closed.
Result<FileDescriptor> lock_workers_alone(const Home& home);

}  // namespace mfdata
