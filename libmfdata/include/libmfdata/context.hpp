// The context of one file, and its text: the value of the attribute user.mfdata.tags, or the content of a sidecar.
//
//   mfdata/1 uid=019ab3c4d5e67f8091a2b3c4d5e6f708 gen=3 size=20913 crc32c=9f3b2c1a to=step.archive.main
//   first.core.original_basename=Example 100%25.png
//
// The checksum (CRC-32C) covers the whole text with its own eight digits written as zeros. Header values escape
// spaces too. Pure: no system calls; the bytes are foreign, and decode refuses what it does not know exactly.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "libmfdata/result.hpp"
#include "libmfdata/tag_set.hpp"

namespace mfdata {

// How a file is delivered to an absolute directory; part of the header, so that a recovery can finish it.
struct DeliveryStyle {
  std::uint32_t mode = 0;   // permission bits to set; 0: as they are
  std::string tags_suffix;  // a companion "<name><suffix>" with the tags; empty: none
  bool drop_tags = false;   // the delivered file carries no tags
  bool operator==(const DeliveryStyle&) const = default;
};

struct Context {
  std::string uid;
  std::uint64_t generation = 0;
  std::uint64_t size = 0;
  std::string to;  // "step.P.S", "step.P.S_reinject/<due ms>", or an absolute path
  DeliveryStyle style;
  TagSet tags;

  bool operator==(const Context&) const = default;
};

// The largest text that `decode` takes: everything that `encode` can make.
inline constexpr std::size_t kMaxContextText = 4 * (kMaxTagBytes + 16 * 1024);

std::string encode(const Context& context);
Result<Context> decode(std::string_view text);

}  // namespace mfdata
