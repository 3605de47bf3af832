// A home whose making has not come to its end carries a mark: find_home says so, and mfdata init given again completes it.
#pragma once

#include "libmfdata/home.hpp"

namespace mfdata {

bool is_half_made(const Home& home);
Result<void> mark_half_made(const Home& home, bool half_made);

}  // namespace mfdata
