// The routing rules of plugins: the [[switch_rules]] of their configuration, checked one by one (SEMANTICS section 5).
//
//   [[switch_rules]]
//   type = "fnmatch"                  # equal, fnmatch, regex, with not... of each; alwaystrue; plugin (a predicate)
//   tag = "latest.guess_file_type.main.system_magic"
//   switch = "switch"                 # the plugin that is to evaluate them
//   rules = { "PNG image*" = ["main", "other/main*"] }
//
// A bad rule is a problem of its own: the others of its block, and those of other plugins, stay in force.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "libmfdata/config_value.hpp"

namespace mfdata {

inline constexpr const char* kDefaultSwitch = "switch";

struct SwitchRule {
  Location where;
  std::string switch_plugin;  // that evaluates it
  Location switch_where;      // where it is named; of the default: empty
  std::string plugin;         // that has written it
  std::string type;
  std::string tag;            // empty for alwaystrue and plugin
  std::string pattern;        // of a code rule: the predicate, with its arguments
  std::vector<std::string> targets;  // "plugin/step", with a "*" behind it where a hard link is allowed
};

// The good rules of a plugin's merged tree; a problem for each bad one. Targets are not looked up here.
std::vector<SwitchRule> switch_rules(const std::string& plugin, const ConfigValue& tree, Problems& problems);

// The pattern of a code rule: a predicate of the plugin, and its arguments: `is_synop(AAXX, "with, comma")`. Blanks around
// an argument do not count; in quotes it may hold anything, with \" and \\ for themselves. Nothing: it is none.
struct PredicateCall {
  std::string predicate;
  std::vector<std::string> arguments;
};
std::optional<PredicateCall> parse_predicate_call(const std::string& pattern);

// A target without the "*" that allows a hard link.
std::string step_of_target(const std::string& target);

}  // namespace mfdata
