// TOML into ConfigValue: the only place that knows toml11.
//
// Bounded before it is parsed: a file is at most 1 MiB, nesting at most 32 deep, a key at most 16 dots, one array at
// most 20 000 elements, a line at most 64 KiB. Whole numbers out of the range of 64 bits are an error, not clamped.
// Dates and times are refused: no key of ours takes one. An error names file, line and column.
#pragma once

#include <string>

#include "libmfdata/config_value.hpp"

namespace mfdata {

Result<ConfigValue> parse_toml(const std::string& text, const std::string& filename);
Result<ConfigValue> read_toml(const std::string& path);  // kGone: there is no such file

}  // namespace mfdata
