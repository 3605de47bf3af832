// What {WORD} stands for in the values of a configuration: {home}, {data_dir}, {plugin_dir},
// {plugin_name}, {step_dir}, and {file:PATH} and {env:NAME} for what the configuration itself must
// not hold.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "libmfdata/config_value.hpp"

namespace mfdata {

using Names = std::vector<std::pair<std::string, std::string>>;

// kPath: a path, or the name of a step. Every {WORD} in it has to be known, {{ and }} are braces
// themselves. kText: whatever a plugin reads. What is not known stays as it is: it may be the
// plugin's own, or a program's.
enum class Braces { kPath, kText };

// A text with what its words stand for; `what` says in a problem whose it is.
std::string substituted(const std::string& text, const Names& names, Braces braces,
                        const Location& where, const std::string& what, Problems& problems);

// The same in all strings of a value.
void substitute(ConfigValue& value, const Names& names, Braces braces, const std::string& what,
                Problems& problems);

// A warning for each {WORD} in a kText that is nearly one of `names`: it stays as it is, which was
// hardly meant.
void find_misspelt(const ConfigValue& value, const Names& names, const std::string& what,
                   Problems& warnings);

}  // namespace mfdata
