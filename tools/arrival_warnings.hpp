// What of this machine makes arrivals slower or less certain: warnings of `mfdata check`.
#pragma once

#include "libmfdata/settings.hpp"

namespace mfdata::tools {

// Asks a running loader what it may do; without one, what the home's owner may do.
Problems arrival_warnings(const Home& home, const Settings& settings);

}  // namespace mfdata::tools
