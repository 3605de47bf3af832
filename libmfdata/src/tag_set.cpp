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

static auto position(auto& tags, std::string_view name) {
  return std::lower_bound(tags.begin(), tags.end(), name,
                          [](const TagSet::Tag& tag, std::string_view n) { return n.compare(tag.first) > 0; });
}

const std::string* TagSet::get(std::string_view name) const {
  auto at = position(tags_, name);
  return at != tags_.end() && at->first == name ? &at->second : nullptr;
}

Result<void> TagSet::set(std::string_view name, std::string_view value) {
  if (!valid_name(name)) {
    std::string shown;
    append_escaped(shown, name.substr(0, 80));
    return Error{Code::kBadData, 0,
                 "bad tag name \"" + shown + "\": 1 to 255 characters of A-Z a-z 0-9 _ . @ - are allowed"};
  }
  auto at = position(tags_, name);
  const bool there = at != tags_.end() && at->first == name;
  const std::size_t before = there ? name.size() + at->second.size() : 0;
  const std::size_t bytes = bytes_ - before + name.size() + value.size();
  if (bytes > kMaxTagBytes) {
    return Error{Code::kLimit, 0,
                 "tag \"" + std::string(name) + "\" does not fit: the tags of a file are at most 65536 bytes"};
  }
  if (there) {
    at->second.assign(value);
  } else {
    tags_.emplace(at, std::string(name), std::string(value));
  }
  bytes_ = bytes;
  return {};
}

bool TagSet::erase(std::string_view name) {
  auto at = position(tags_, name);
  if (at == tags_.end() || at->first != name) return false;
  bytes_ -= at->first.size() + at->second.size();
  tags_.erase(at);
  return true;
}

// The hop a tag belongs to, or UINT64_MAX for a tag of no hop.
static std::uint64_t hop_of(const std::string& name) {
  std::uint64_t hop = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), hop);
  return error == std::errc() && end != name.data() + name.size() && *end == '.' ? hop : UINT64_MAX;
}

void TagSet::forget_old_hops(std::uint64_t current_hop) {
  if (current_hop < kMaxHops) return;
  const auto is_old = [&](const Tag& tag) {
    if (hop_of(tag.first) > current_hop - kMaxHops) return false;
    bytes_ -= tag.first.size() + tag.second.size();
    return true;
  };
  tags_.erase(std::remove_if(tags_.begin(), tags_.end(), is_old), tags_.end());
}

void TagSet::forget_hops() {
  const std::string* counter = get("latest.core.step_counter");
  const std::string last = counter ? *counter + '.' : "";
  const auto goes = [&](const Tag& tag) {
    if (hop_of(tag.first) == UINT64_MAX || (!last.empty() && tag.first.starts_with(last) && tag.first.ends_with(".enter_step"))) return false;
    bytes_ -= tag.first.size() + tag.second.size();
    return true;
  };
  tags_.erase(std::remove_if(tags_.begin(), tags_.end(), goes), tags_.end());
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
