#include "json_text.hpp"

#include <cstdlib>

using nlohmann::json;

namespace exec_protocol {
namespace {

constexpr const char* kHex = "0123456789abcdef";
constexpr std::string_view kHexDigits = "0123456789abcdefABCDEF";
// Stands for a byte while JSON is parsed: a noncharacter, then its two digits.
constexpr std::string_view kByteMark = "\xef\xb7\x90";  // U+FDD0

// The length of the UTF-8 character at the front; 0: it is none.
std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const std::size_t length = byte(0) < 0x80   ? 1
                             : byte(0) < 0xc2 ? 0
                             : byte(0) < 0xe0 ? 2
                             : byte(0) < 0xf0 ? 3
                             : byte(0) < 0xf5 ? 4
                                              : 0;
  if (length == 0 || length > text.size()) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  const bool overlong = (byte(0) == 0xe0 && byte(1) < 0xa0) || (byte(0) == 0xf0 && byte(1) < 0x90);
  const bool beyond = (byte(0) == 0xed && byte(1) > 0x9f) || (byte(0) == 0xf4 && byte(1) > 0x8f);
  return overlong || beyond ? 0 : length;
}

// Of a valid UTF-8 character.
unsigned code_point(std::string_view character) {
  const auto first = static_cast<unsigned char>(character[0]);
  if (character.size() == 1) return first;
  unsigned code = first & (0x7fU >> character.size());
  for (const char next : character.substr(1)) code = code << 6 | (static_cast<unsigned char>(next) & 0x3fU);
  return code;
}

void append_escape(std::string& out, unsigned unit) {
  out += "\\u";
  for (int shift = 12; shift >= 0; shift -= 4) out += kHex[unit >> shift & 15];
}

void append_character(std::string& out, unsigned code) {
  if (code >= 0x10000) {
    append_escape(out, 0xd800 + ((code - 0x10000) >> 10));
    append_escape(out, 0xdc00 + ((code - 0x10000) & 0x3ff));
  } else if (code < 0x20 || code == '"' || code == '\\' || code >= 0x7f) {
    append_escape(out, code);
  } else {
    out += static_cast<char>(code);
  }
}

void append_percent(std::string& out, unsigned byte) {
  out += '%';
  for (const int shift : {4, 0}) out += "0123456789ABCDEF"[byte >> shift & 15];
}

bool is_hex(std::string_view digits) {
  return digits.find_first_not_of(kHexDigits) == std::string_view::npos;
}

unsigned long hex_value(std::string_view digits) {
  return std::strtoul(std::string(digits).c_str(), nullptr, 16);
}

// Puts the mark of the mark itself, which stands as its bytes.
void append_marked_mark(std::string& out) {
  for (const char* digits : {"ef", "b7", "90"}) out += kByteMark, out += digits;
}

// Appends what the escape at `at` becomes; returns its length. A lone surrogate of a byte is marked.
std::size_t append_marked_escape(std::string& out, std::string_view line, std::size_t at) {
  const std::string_view escape = line.substr(at, 6);
  if (escape.size() < 6 || escape[1] != 'u' || !is_hex(escape.substr(2))) {
    out += line.substr(at, 2);
    return 2;
  }
  const unsigned long code = hex_value(escape.substr(2));
  if (code == 0xfdd0) {
    append_marked_mark(out);
    return 6;
  }
  if (code >= 0xdc80 && code <= 0xdcff) {
    out += kByteMark;
    out += escape.substr(4);
    return 6;
  }
  const bool pair = code >= 0xd800 && code < 0xdc00 && line.size() >= at + 12;
  out += line.substr(at, pair ? 12 : 6);
  return pair ? 12 : 6;
}

// Lone surrogates \udc80 .. \udcff are no JSON for a strict parser: they are marked first.
std::string with_marked_bytes(std::string_view line) {
  if (line.find("\\u") == line.npos && line.find(kByteMark) == line.npos) return std::string(line);
  std::string out;
  for (std::size_t at = 0; at < line.size();) {
    if (line.substr(at).starts_with(kByteMark)) {
      append_marked_mark(out);
      at += kByteMark.size();
    } else if (line[at] == '\\' && at + 1 < line.size()) {
      at += append_marked_escape(out, line, at);
    } else {
      out += line[at++];
    }
  }
  return out;
}

std::string without_marks(std::string text) {
  for (std::size_t at = 0; (at = text.find(kByteMark, at)) != std::string::npos; ++at) {
    const unsigned long byte = hex_value(text.substr(at + kByteMark.size(), 2));
    text.replace(at, kByteMark.size() + 2, 1, static_cast<char>(byte));
  }
  return text;
}

std::string without_percents(const std::string& text) {
  std::string out;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] != '%') {
      out += text[at];
      continue;
    }
    const std::string digits = text.substr(at + 1, 2);
    if (digits.size() < 2 || !is_hex(digits)) {
      throw Malformed(shown(text.substr(at, 3)) +
                      ": in percent encoding two hexadecimal digits stand behind each %");
    }
    out += static_cast<char>(hex_value(digits));
    at += 2;
  }
  return out;
}

}  // namespace

std::string shown(std::string_view bytes) {
  constexpr std::size_t kMost = 100;
  std::string out = "\"";
  for (const char c : bytes.substr(0, kMost)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7f) {
      out += c;
    } else {
      out += "\\x", out += kHex[byte >> 4], out += kHex[byte & 15];
    }
  }
  return out + (bytes.size() > kMost ? "...\"" : "\"");
}

std::string json_text(std::string_view bytes, Encoding encoding) {
  std::string out = "\"";
  while (!bytes.empty()) {
    const std::size_t length = utf8_length(bytes);
    const unsigned first = static_cast<unsigned char>(bytes[0]);
    if (encoding == Encoding::kPercent && (length == 0 || first == '%')) {
      append_percent(out, first);
    } else if (length == 0) {
      append_escape(out, 0xdc00 + first);
    } else {
      append_character(out, code_point(bytes.substr(0, length)));
    }
    bytes.remove_prefix(length == 0 ? 1 : length);
  }
  return out + '"';
}

json parsed_object(const std::string& line) {
  json value = json::parse(with_marked_bytes(line), nullptr, false);
  if (value.is_object()) return value;
  throw Malformed(shown(line) +
                  " is no JSON object (only messages of the protocol go to standard output)");
}

std::string bytes_of_name(const std::string& name, Encoding encoding) {
  const std::string text = without_marks(name);
  return encoding == Encoding::kPercent ? without_percents(text) : text;
}

std::string bytes_of(const json& value, const char* what, Encoding encoding) {
  if (!value.is_string()) throw Malformed(std::string(what) + " is a text");
  return bytes_of_name(value.get_ref<const std::string&>(), encoding);
}

}  // namespace exec_protocol
