// Text of others (names, messages) as it may stand in a log, a message or on a terminal.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace mfdata {

inline constexpr std::size_t kMaxPrintable = 8 * 1024;

// The length of the well-formed UTF-8 character (RFC 3629) at the front of a text that is not empty; 0: there is none.
std::size_t utf8_length(std::string_view text);

// Well-formed UTF-8 without control characters: those, and bytes that are no UTF-8, stand as \xNN. At most `limit` bytes
// of the text are taken.
std::string printable(std::string_view text, std::size_t limit = kMaxPrintable);

// "one, two, three"
std::string joined(const std::vector<std::string>& words, std::string_view separator = ", ");

}  // namespace mfdata
