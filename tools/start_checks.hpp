// What `mfdata check` finds by trying: components that do not start, an address that is taken.
#pragma once

#include "libmfdata/settings.hpp"

namespace mfdata::tools {

// Starts each step and listener that is to run once on trial, as the home's owner; a listener that a loader runs is left out, since
// it may hold what a second one needs.
Result<Problems> try_components(const Home& home, const Settings& settings);

// Whether the metrics can be served: by the loader that runs, when it does so already.
Problems try_addresses(const Home& home, const Settings& settings);

}  // namespace mfdata::tools
