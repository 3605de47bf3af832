// The keys of [custom], a plugin's own, by what its [schema] says of them.
#pragma once

#include <string>
#include <vector>

#include "libmfdata/config_value.hpp"

namespace mfdata {

// Fills in the defaults of [schema], checks the types, and makes durations seconds and sizes bytes.
void apply_schema(const ConfigValue& tree, ConfigValue& custom, Problems& problems);

// Keys that name steps: type = "target" or "targets".
std::vector<std::string> target_keys(const ConfigValue& tree);

// Keys that are paths or name steps: what stands in their braces is the configuration's.
std::vector<std::string> path_keys(const ConfigValue& tree);

// A key that only an override has is a mistake: the plugin would never read it. `layers`: the plugin's own file first; `of_base`:
// keys that its base has.
void check_custom_keys(const std::vector<ConfigValue>& layers, const std::vector<std::string>& of_base, Problems& problems);

}  // namespace mfdata
