// What a worker process does to itself before it runs anything of a plugin: dies with its loader, takes the shared
// lock that tells the next loader it lives, sets its limits, gives up new privileges.
#pragma once

#include <sys/types.h>

#include "libmfdata/home.hpp"
#include "libmfdata/settings.hpp"

namespace mfdata {

inline constexpr mode_t kUmask = 077;

// What it opens from now on and keeps lives at high numbers. The lock's descriptor stays open for ever and is inherited by what the
// worker starts. Without `locks` it is not taken: by one that leaves the spool alone.
Result<void> set_up_process(const Home& home, const ResourceLimits& limits, bool locks = true);

}  // namespace mfdata
