// CRC-32C (Castagnoli, RFC 3720 appendix B.4): by the processor's instruction where it has one.
#pragma once

#include <cstdint>
#include <string_view>

namespace mfdata {

// Of texts one after another: begins with 0, and goes on with what the one before gave.
std::uint32_t crc32c(std::uint32_t before, std::string_view bytes);

// Without the instruction; the same.
std::uint32_t crc32c_in_software(std::uint32_t before, std::string_view bytes);

}  // namespace mfdata
