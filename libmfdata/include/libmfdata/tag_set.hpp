// The tags of one file: a sorted set of name -> value pairs. A value type without any system call.
//
// Names match [A-Za-z0-9_.@-]{1,255}; values are any bytes; names and values together are at most kMaxTagBytes.
// `set` refuses what breaks a rule and leaves the set as it was. Tags of a hop are named
// "<n>.<plugin>.<step>.<name>" (SEMANTICS: tag names); `forget_old_hops` keeps the last kMaxHops of them.
// "first.core.*" and "latest.core.*" belong to the host: `is_reserved` tells, the host refuses them to plugins.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libmfdata/result.hpp"

namespace mfdata {

inline constexpr std::size_t kMaxTagName = 255;
inline constexpr std::size_t kMaxTagBytes = 64 * 1024;
inline constexpr std::uint64_t kMaxHops = 32;

class TagSet {
  // One tag: in text_, its name stands at `at` and its value behind it.
  struct Place {
    std::uint32_t at = 0;
    std::uint32_t value_size = 0;
    std::uint8_t name_size = 0;
  };

 public:
  // Valid until the set changes, is moved or ends, as everything that points into it.
  struct Tag {
    std::string_view name, value;
    bool operator==(const Tag&) const = default;
  };
  class Iterator {
   public:
    using value_type = Tag;
    using difference_type = std::ptrdiff_t;
    Iterator() = default;
    Tag operator*() const { return set_->tag(*place_); }
    Iterator& operator++() {
      ++place_;
      return *this;
    }
    Iterator operator++(int) {
      Iterator before = *this;
      ++place_;
      return before;
    }
    bool operator==(const Iterator& other) const { return place_ == other.place_; }

   private:
    friend class TagSet;
    Iterator(const TagSet& set, const Place* place) : set_(&set), place_(place) {}
    const TagSet* set_ = nullptr;
    const Place* place_ = nullptr;
  };

  static bool valid_name(std::string_view name);
  static bool is_reserved(std::string_view name);

  std::optional<std::string_view> get(std::string_view name) const;
  Result<void> set(std::string_view name, std::string_view value);
  bool erase(std::string_view name);  // false: it was not there
  void forget_old_hops(std::uint64_t current_hop);
  void forget_hops();  // all but when the last one began: for an attribute that holds little

  std::size_t bytes() const { return bytes_; }
  std::size_t size() const { return places_.size(); }
  Iterator begin() const { return {*this, places_.data()}; }  // in the order of their names
  Iterator end() const { return {*this, places_.data() + places_.size()}; }
  bool operator==(const TagSet& other) const;

 private:
  using Places = std::vector<Place>;
  std::string_view name(const Place& place) const { return {text_.data() + place.at, place.name_size}; }
  Tag tag(const Place& place) const { return {name(place), {text_.data() + place.at + place.name_size, place.value_size}}; }
  Places::const_iterator find(std::string_view name) const;
  bool holds(std::string_view text) const;
  void drop_waste();
  template <class Goes>
  void erase_if(Goes goes);

  // One buffer for all: each hop copies the set twice, with two allocations instead of two for each tag.
  std::string text_;       // also what was replaced or erased, until it is much more than the rest
  Places places_;          // sorted by name
  std::size_t bytes_ = 0;  // of the tags
};

// `text` with each byte below 0x20, 0x7f and '%' as %XX (upper case); with `spaces`, 0x20 too.
void append_escaped(std::string& out, std::string_view text, bool spaces = false);
// The reverse; kBadData on a '%' that is not followed by two hexadecimal digits.
Result<std::string> unescaped(std::string_view text);

// The content of a .tags file: sorted "name = value" lines, values escaped as above.
std::string tags_file_text(const TagSet& tags);
Result<TagSet> parse_tags_file(std::string_view text);

}  // namespace mfdata
