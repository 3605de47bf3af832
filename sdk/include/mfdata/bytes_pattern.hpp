// mfdata/bytes_pattern.hpp - what a rule of type "bytes" says about the content of a file. Header-only, pure; C++20.
//
// A pattern is the bytes that stand at the beginning of the file, or after "@OFFSET:" at that offset: "GRIB",
// "\x1f\x8b\x08", "@257:ustar". "\xHH" is one byte, "\\" is a backslash, "?" is any byte. A literal "?" is \x3f, and
// a literal "@" at the beginning is \x40. A file that ends before the last byte does not match.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace mfdata::sdk {

class BytesPattern {
 public:
  static constexpr std::size_t kMaxEnd = std::size_t{1} << 20;  // so much of a file is looked at, at most

  // A pattern that is wrong matches nothing, and says why in error().
  explicit BytesPattern(std::string_view text) {
    error_ = parse(text);
    if (error_.empty() && bytes_.empty()) error_ = "there are no bytes in it";
    if (error_.empty() && end() > kMaxEnd) error_ = "only the first 1048576 bytes of a file are looked at";
  }

  const std::string& error() const { return error_; }
  std::size_t offset() const { return offset_; }
  std::size_t end() const { return offset_ + bytes_.size(); }
  // The bytes before the first that may be any.
  std::string_view literal() const { return std::string_view(bytes_).substr(0, any_.find('?')); }

  // `content`: the first bytes of the file, end() of them where it has as many.
  bool matches(std::string_view content) const {
    if (!error_.empty() || content.size() < end()) return false;
    for (std::size_t i = 0; i < bytes_.size(); ++i) {
      if (any_[i] != '?' && content[offset_ + i] != bytes_[i]) return false;
    }
    return true;
  }

 private:
  static int digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    const char lower = static_cast<char>(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
  }

  std::string parse(std::string_view text) {
    if (text.starts_with('@')) {
      const std::size_t colon = text.find(':');
      if (colon == std::string_view::npos || colon == 1) return "an offset is written @OFFSET:, as in \"@257:ustar\"";
      for (const char c : text.substr(1, colon - 1)) {
        if (c < '0' || c > '9') return "an offset is a decimal number, as in \"@257:ustar\"";
        if (offset_ <= kMaxEnd) offset_ = offset_ * 10 + static_cast<std::size_t>(c - '0');
      }
      text.remove_prefix(colon + 1);
    }
    for (std::size_t i = 0; i < text.size(); ++i) {
      const std::string_view rest = text.substr(i);
      if (rest[0] != '\\') {
        add(rest[0], rest[0] == '?');
      } else if (rest.starts_with("\\\\")) {
        add('\\', false);
        ++i;
      } else if (rest.size() >= 4 && rest[1] == 'x' && digit(rest[2]) >= 0 && digit(rest[3]) >= 0) {
        add(static_cast<char>(digit(rest[2]) * 16 + digit(rest[3])), false);
        i += 3;
      } else {
        return "a backslash begins \\xHH, a byte in hexadecimal, or is written \\\\";
      }
    }
    return "";
  }

  void add(char byte, bool any) {
    bytes_ += byte;
    any_ += any ? '?' : '.';
  }

  std::size_t offset_ = 0;
  std::string bytes_, any_;  // "?" where a byte may be any
  std::string error_;
};

}  // namespace mfdata::sdk
