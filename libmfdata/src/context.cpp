#include "libmfdata/context.hpp"

#include <array>
#include <charconv>
#include <cstdio>

#include "libmfdata/crc32c.hpp"
#include "libmfdata/spool_name.hpp"

namespace mfdata {
namespace {

constexpr std::string_view kMagic = "mfdata/1";
constexpr std::string_view kChecksumKey = " crc32c=";
constexpr std::size_t kChecksumDigits = 8;

std::string checksum_of(std::string_view before, std::string_view after) {
  const std::uint32_t crc = crc32c(crc32c(crc32c(0, before), {"00000000", kChecksumDigits}), after);
  std::array<char, 9> digits;
  std::snprintf(digits.data(), digits.size(), "%08x", static_cast<unsigned>(crc));
  return std::string(digits.data(), kChecksumDigits);
}

Error broken(const std::string& what) { return Error{Code::kBadData, 0, "broken context: " + what}; }

bool number(std::string_view text, std::uint64_t& value, int base = 10) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

// One "key=value" of the header into the context. False: unknown key or bad value.
bool set_header(Context& context, std::string_view key, std::string_view value) {
  std::uint64_t mode = 0;
  auto text = unescaped(value);
  if (!text) return false;
  if (key == "uid") {
    context.uid = value;
    return valid_uid(value);
  }
  if (key == "gen") return number(value, context.generation);
  if (key == "size") return number(value, context.size);
  if (key == "crc32c") return value.size() == kChecksumDigits;
  if (key == "to") {
    context.to = *text;
    return true;
  }
  if (key == "mode") {
    const bool ok = number(value, mode, 8) && mode <= 07777;
    context.style.mode = static_cast<std::uint32_t>(mode);
    return ok;
  }
  if (key == "tags") {
    context.style.tags_suffix = *text;
    return true;
  }
  if (key == "drop") {
    context.style.drop_tags = true;
    return value == "1";
  }
  return false;
}

Result<void> set_tag(TagSet& tags, std::string_view name, std::string_view escaped) {
  if (escaped.find('%') == std::string_view::npos) return tags.set(name, escaped);
  auto value = unescaped(escaped);
  return value ? tags.set(name, *value) : Result<void>(value.error());
}

Result<void> parse_header(Context& context, std::string_view line) {
  if (!line.starts_with(kMagic)) return broken("it does not begin with \"mfdata/1\"");
  line.remove_prefix(kMagic.size());
  unsigned seen = 0;
  while (!line.empty()) {
    if (line[0] != ' ') return broken("its header is not a list of key=value");
    line.remove_prefix(1);
    const std::string_view pair = line.substr(0, line.find(' '));
    line.remove_prefix(pair.size());
    const std::size_t equals = pair.find('=');
    if (equals == std::string_view::npos) return broken("its header is not a list of key=value");
    if (!set_header(context, pair.substr(0, equals), pair.substr(equals + 1))) {
      return broken("unknown or bad header \"" + std::string(pair.substr(0, equals).substr(0, 20)) + '"');
    }
    ++seen;
  }
  return seen >= 5 && !context.uid.empty() ? Result<void>() : broken("its header is incomplete");
}

}  // namespace

std::string encode(const Context& context) {
  std::string text;
  text.reserve(192 + context.tags.bytes() + 2 * context.tags.size());
  text += kMagic;
  text += " uid=";
  text += context.uid;
  text += " gen=";
  text += std::to_string(context.generation);
  text += " size=";
  text += std::to_string(context.size);
  text += kChecksumKey;
  const std::size_t hole = text.size();
  text += "00000000 to=";
  append_escaped(text, context.to, true);
  if (context.style.mode != 0) {
    std::array<char, 24> octal;
    std::snprintf(octal.data(), octal.size(), " mode=%o", context.style.mode);
    text += octal.data();
  }
  if (!context.style.tags_suffix.empty()) {
    text += " tags=";
    append_escaped(text, context.style.tags_suffix, true);
  }
  if (context.style.drop_tags) text += " drop=1";
  text += '\n';
  for (const auto& [name, value] : context.tags) {
    text += name;
    text += '=';
    append_escaped(text, value);
    text += '\n';
  }
  const std::string_view all = text;
  text.replace(hole, kChecksumDigits, checksum_of(all.substr(0, hole), all.substr(hole + kChecksumDigits)));
  return text;
}

Result<Context> decode(std::string_view text) {
  if (text.size() > kMaxContextText) return broken("it is larger than any of ours");
  const std::size_t header_end = text.find('\n');
  if (header_end == std::string_view::npos || !text.ends_with('\n')) return broken("it is cut off");
  Context context;
  const std::string_view header = text.substr(0, header_end);
  MFDATA_TRY(parse_header(context, header));
  const std::size_t key = header.find(kChecksumKey);
  if (key == std::string_view::npos) return broken("it has no checksum");
  const std::size_t hole = key + kChecksumKey.size();
  const std::string sum = checksum_of(text.substr(0, hole), text.substr(hole + kChecksumDigits));
  if (text.substr(hole, kChecksumDigits) != sum) return broken("its checksum is wrong");
  text.remove_prefix(header_end + 1);
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(line.size() + 1);
    const std::size_t equals = line.find('=');
    if (equals == std::string_view::npos) return broken("a line without '='");
    if (auto ok = set_tag(context.tags, line.substr(0, equals), line.substr(equals + 1)); !ok) return broken(ok.error().text);
  }
  return context;
}

}  // namespace mfdata
