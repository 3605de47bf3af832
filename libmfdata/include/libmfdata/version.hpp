// Versions of plugins: what may be one, and which of two is newer.
#pragma once

#include <string>

namespace mfdata {

// Letters, digits and . + - _ ~, at most 64 bytes, none that a directory could not have as its name.
bool valid_version(const std::string& version);

// Negative, 0 or positive, as `a` is older than, the same as, or newer than `b`. Runs of digits count as numbers, other
// characters by their code; "~" and "-" sort before the end, so that "1.0-rc1" and "1.0~1" are older than "1.0"; what stands
// behind "+" does not count (semver.org, 10 and 11; deb-version(7)).
int compare_versions(const std::string& a, const std::string& b);

}  // namespace mfdata
