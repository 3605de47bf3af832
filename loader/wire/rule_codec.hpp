// The rules that a worker is told, as bytes: what a rule has in common with the one before it is not repeated, and nothing has
// to be searched for when they are read. A worker that is told of 60 000 rules reads them in some hundredths of a second.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libmfdata/switch_rules.hpp"

namespace mfdata::wire {

// All but `switch_plugin`, `switch_where` and the columns, which no worker needs.
std::string encode_rules(const std::vector<SwitchRule>& rules);
// Nothing: the bytes are not the whole of what encode_rules made.
std::optional<std::vector<SwitchRule>> decode_rules(std::string_view bytes, const std::string& switch_plugin);

}  // namespace mfdata::wire
