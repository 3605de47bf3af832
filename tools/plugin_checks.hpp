// The checks of mfdata-plugin validate, by the numbers of doc/plugin_abi.md: each looks at one plugin folder and adds what it found.
// The plugin's code runs in processes of their own, each with a time limit.
#pragma once

#include <string>
#include <vector>

#include "libmfdata/plugin_check.hpp"

namespace mfdata::tools {

struct Check {
  const char* rule;
  const char* title;
  std::string trouble;  // empty: passed
};
using Checks = std::vector<Check>;

inline constexpr const char* kExpectsNoSymbol = "expects no symbol from the host";

// What its file and its description say, without a file treated.
void check_library(const CheckedPlugin& plugin, Checks& checks);
// A step or a listener; `custom` are lines of TOML for [custom].
void check_component(const std::string& folder, const StepSettings& component, const std::vector<std::string>& custom, Checks& checks);
void check_predicate(const std::string& folder, const PluginSettings& plugin, const std::string& id, Checks& checks);

}  // namespace mfdata::tools
