// Who sends files to a plugin.
#pragma once

#include <string>
#include <vector>

#include "libmfdata/settings.hpp"

namespace mfdata {

// The places, "file:line:column", where other plugins' rules, destinations and policies, and the entrance, point at it.
std::vector<std::string> references_to(const Settings& settings, const std::string& name);

}  // namespace mfdata
