// What no file of the configuration shows by itself: targets that do not exist, secrets that are not there, watched
// directories that are the spool's own.
#pragma once

#include "libmfdata/settings.hpp"

namespace mfdata {

// The key of [custom] that makes a plugin a switch: what becomes of a file that no rule matches.
inline constexpr const char* kNoMatchPolicy = "no_match_policy";

// Adds a problem for each; bad switch rules go to `settings.rule_problems`, keys of plugins that
// name steps that are not there to `settings.target_problems`.
void check_together(Settings& settings, const Home& home, Problems& problems);

}  // namespace mfdata
