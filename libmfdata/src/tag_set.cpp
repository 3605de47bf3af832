#include "libmfdata/tag_set.hpp"

#include <algorithm>
#include <charconv>

namespace mfdata {

static bool name_byte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
         c == '@' || c == '-';
}

bool TagSet::valid_name(std::string_view name) {
  return !name.empty() && name.size() <= kMaxTagName && std::all_of(name.begin(), name.end(), name_byte);
}

bool TagSet::is_reserved(std::string_view name) {
  return name.starts_with("first.core.") || name.starts_with("latest.core.");
}

TagSet::Places::const_iterator TagSet::find(std::string_view wanted) const {
  if (places_.empty() || name(places_.back()) < wanted) return places_.end();  // a context is read in its order
  return std::lower_bound(places_.begin(), places_.end(), wanted, [this](const Place& place, std::string_view n) { return name(place) < n; });
}

bool TagSet::operator==(const TagSet& other) const { return size() == other.size() && std::equal(begin(), end(), other.begin()); }

std::optional<std::string_view> TagSet::get(std::string_view wanted) const {
  const auto place = find(wanted);
  return place != places_.end() && name(*place) == wanted ? std::optional(tag(*place).value) : std::nullopt;
}

bool TagSet::holds(std::string_view text) const {
  const auto first = reinterpret_cast<std::uintptr_t>(text_.data()), at = reinterpret_cast<std::uintptr_t>(text.data());
  return at >= first && at < first + text_.size();
}

Result<void> TagSet::set(std::string_view new_name, std::string_view value) {
  if (!valid_name(new_name)) {
    std::string shown;
    append_escaped(shown, new_name.substr(0, 80));
    return Error{Code::kBadData, 0,
                 "bad tag name \"" + shown + "\": 1 to 255 characters of A-Z a-z 0-9 _ . @ - are allowed"};
  }
  if (holds(new_name) || holds(value)) return set(std::string(new_name), std::string(value));
  auto at = places_.begin() + (find(new_name) - places_.cbegin());
  const bool there = at != places_.end() && name(*at) == new_name;
  const std::size_t before = there ? new_name.size() + at->value_size : 0;
  const std::size_t bytes = bytes_ - before + new_name.size() + value.size();
  if (bytes > kMaxTagBytes) {
    return Error{Code::kLimit, 0,
                 "tag \"" + std::string(new_name) + "\" does not fit: the tags of a file are at most 65536 bytes"};
  }
  const Place place{static_cast<std::uint32_t>(text_.size()), static_cast<std::uint32_t>(value.size()), static_cast<std::uint8_t>(new_name.size())};
  text_ += new_name;
  text_ += value;
  there ? void(*at = place) : void(places_.insert(at, place));
  bytes_ = bytes;
  drop_waste();
  return {};
}

void TagSet::drop_waste() {
  constexpr std::size_t kLittle = 1024;
  if (text_.size() <= 2 * bytes_ + kLittle) return;
  std::string kept;
  kept.reserve(bytes_ + kLittle);
  for (Place& place : places_) {
    const std::size_t at = kept.size();
    kept.append(text_, place.at, place.name_size + place.value_size);
    place.at = static_cast<std::uint32_t>(at);
  }
  text_ = std::move(kept);
}

template <class Goes>
void TagSet::erase_if(Goes goes) {
  std::erase_if(places_, [&](const Place& place) {
    if (!goes(name(place))) return false;
    bytes_ -= place.name_size + place.value_size;
    return true;
  });
  drop_waste();
}

bool TagSet::erase(std::string_view wanted) {
  const std::size_t before = size();
  erase_if([&](std::string_view name) { return name == wanted; });
  return size() != before;
}

// The hop a tag belongs to, or UINT64_MAX for a tag of no hop.
static std::uint64_t hop_of(std::string_view name) {
  std::uint64_t hop = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), hop);
  return error == std::errc() && end != name.data() + name.size() && *end == '.' ? hop : UINT64_MAX;
}

void TagSet::forget_old_hops(std::uint64_t current_hop) {
  if (current_hop < kMaxHops) return;
  erase_if([&](std::string_view name) { return hop_of(name) <= current_hop - kMaxHops; });
}

void TagSet::forget_hops() {
  const auto counter = get("latest.core.step_counter");
  const std::string last = counter ? std::string(*counter) + '.' : "";
  erase_if([&](std::string_view name) {
    return hop_of(name) != UINT64_MAX && (last.empty() || !name.starts_with(last) || !name.ends_with(".enter_step"));
  });
}

void append_escaped(std::string& out, std::string_view text, bool spaces) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f || c == '%' || (spaces && c == ' ')) {
      out += {'%', kHex[byte >> 4], kHex[byte & 15]};
    } else {
      out += c;
    }
  }
}

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

Result<std::string> unescaped(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    const int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
    const int low = high >= 0 ? hex_digit(text[i + 2]) : -1;
    if (low < 0) return Error{Code::kBadData, 0, "a '%' that is not followed by two hexadecimal digits"};
    out += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return out;
}

std::string tags_file_text(const TagSet& tags) {
  std::string text;
  text.reserve(tags.bytes() + 4 * tags.size());
  for (const auto& [name, value] : tags) {
    text += name;
    text += " = ";
    append_escaped(text, value);
    text += '\n';
  }
  return text;
}

Result<TagSet> parse_tags_file(std::string_view text) {
  TagSet tags;
  for (int number = 1; !text.empty(); ++number) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (line.empty()) continue;
    const std::size_t equals = line.find(" = ");
    const bool empty_value = line.ends_with(" =") && equals == std::string_view::npos;
    if (equals == std::string_view::npos && !empty_value) {
      return Error{Code::kBadData, 0, "line " + std::to_string(number) + " is not \"name = value\""};
    }
    const std::string_view name = line.substr(0, empty_value ? line.size() - 2 : equals);
    auto value = unescaped(empty_value ? "" : line.substr(equals + 3));
    if (!value) return Error{Code::kBadData, 0, "line " + std::to_string(number) + ": " + value.error().text};
    if (auto ok = tags.set(name, *value); !ok) {
      return Error{ok.error().code, 0, "line " + std::to_string(number) + ": " + ok.error().text};
    }
  }
  return tags;
}

}  // namespace mfdata
