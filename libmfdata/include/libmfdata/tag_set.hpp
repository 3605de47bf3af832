// The tags of one file: a sorted set of name -> value pairs. A value type without any system call.
//
// Names match [A-Za-z0-9_.@-]{1,255}; values are any bytes; names and values together are at most kMaxTagBytes.
// `set` refuses what breaks a rule and leaves the set as it was. Tags of a hop are named
// "<n>.<plugin>.<step>.<name>" (SEMANTICS: tag names); `forget_old_hops` keeps the last kMaxHops of them.
// "first.core.*" and "latest.core.*" belong to the host: `is_reserved` tells, the host refuses them to plugins.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "libmfdata/result.hpp"

namespace mfdata {

inline constexpr std::size_t kMaxTagName = 255;
inline constexpr std::size_t kMaxTagBytes = 64 * 1024;
inline constexpr std::uint64_t kMaxHops = 32;

class TagSet {
 public:
  using Tag = std::pair<std::string, std::string>;

  static bool valid_name(std::string_view name);
  static bool is_reserved(std::string_view name);

  // nullptr when there is no such tag; valid until the set changes.
  const std::string* get(std::string_view name) const;
  Result<void> set(std::string_view name, std::string_view value);
  bool erase(std::string_view name);  // false: it was not there
  void forget_old_hops(std::uint64_t current_hop);
  void forget_hops();  // all but when the last one began: for an attribute that holds little

  std::size_t bytes() const { return bytes_; }
  std::size_t size() const { return tags_.size(); }
  auto begin() const { return tags_.begin(); }
  auto end() const { return tags_.end(); }
  bool operator==(const TagSet& other) const { return tags_ == other.tags_; }

 private:
  std::vector<Tag> tags_;  // sorted by name
  std::size_t bytes_ = 0;
};

// `text` with each byte below 0x20, 0x7f and '%' as %XX (upper case); with `spaces`, 0x20 too.
void append_escaped(std::string& out, std::string_view text, bool spaces = false);
// The reverse; kBadData on a '%' that is not followed by two hexadecimal digits.
Result<std::string> unescaped(std::string_view text);

// The content of a .tags file: sorted "name = value" lines, values escaped as above.
std::string tags_file_text(const TagSet& tags);
Result<TagSet> parse_tags_file(std::string_view text);

}  // namespace mfdata
