// A plugin without a library of its own: [plugin] base = "exec" names a plugin that came with mfdata, and it runs by the
// library of that one. The base is found when the configuration is read: it is the one of the mfdata that runs.
//
// The plugin says which keys of [custom] it sets; what keys there are is the base's business, and so are their types.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "libmfdata/config_value.hpp"

namespace mfdata {

struct BasePlugin {
  std::string name;
  std::string folder, library;         // absolute
  ConfigValue layer;                   // its [custom] and [schema], which lie below those of the plugin
  std::vector<std::string> custom_keys;  // that it knows
  std::vector<std::pair<std::string, std::string>> components;  // kind ("step", "listener") and component

  // What runs a step of the plugin that names no component: the base's of that name, or its only one.
  std::string component_for(const std::string& kind, const std::string& name) const;
};

// The base that a plugin's own file names. Nothing: it names none, or one that is not there (then a problem).
std::optional<BasePlugin> base_of(const ConfigValue& own, Problems& problems);

// A key that the base does not know has no effect, unless the plugin declares it in its own [schema].
void check_keys_of_base(const ConfigValue& own, const BasePlugin& base, Problems& problems);

}  // namespace mfdata
