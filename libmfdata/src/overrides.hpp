// What an operator's override of a plugin cannot do, and files beside the overrides that nobody
// reads.
#pragma once

#include <boost/filesystem/path.hpp>
#include <string>
#include <vector>

#include "libmfdata/config_value.hpp"

namespace mfdata {

// `layers`: the plugin's own file first. An override changes what the plugin has: it adds no step,
// and the sections [plugin] and [schema] are the plugin's.
void check_overrides(const std::vector<ConfigValue>& layers, Problems& problems);

// Files of a plugins.d that are no override of an installed plugin. One whose name is nearly that
// of an override is a problem, any other a warning: an override may be there before its plugin.
// What editors and packages leave is nothing.
void check_override_files(const boost::filesystem::path& folder,
                          const std::vector<std::string>& installed, Problems& problems,
                          Problems& warnings);

}  // namespace mfdata
