// A number with its noun, for messages: "1 file", "2 files".
#pragma once

#include <cstdint>
#include <string>

namespace mfdata {

// `plural`: of a noun that does not take an "s".
inline std::string counted(std::uint64_t number, const std::string& noun, const std::string& plural = "") {
  return std::to_string(number) + ' ' + (number == 1 ? noun : plural.empty() ? noun + 's' : plural);
}

}  // namespace mfdata
