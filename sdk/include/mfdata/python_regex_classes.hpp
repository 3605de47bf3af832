// mfdata/python_regex_classes.hpp - how the characters and classes of Python's re are written for PCRE2, in text or in bytes.
// A part of mfdata/python_regex.hpp, which describes it. Header-only, pure; C++20.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace mfdata::sdk::detail {

using RegexText = std::vector<char32_t>;

struct RegexFlags {
  bool ignore_case = false, multiline = false, dot_all = false, verbose = false, ascii = false;
};

class RegexClasses {
 public:
  explicit RegexClasses(bool text) : text_(text) {}

  static bool is_digit(char32_t c, char32_t last = U'9') { return c >= U'0' && c <= last; }
  static bool is_letter(char32_t c) { return (c | 0x20) >= U'a' && (c | 0x20) <= U'z' && c < 0x80; }
  static std::string escaped(char32_t c) {
    if (is_letter(c) || is_digit(c)) return std::string(1, static_cast<char>(c));
    static constexpr char kHex[] = "0123456789abcdef";
    std::string digits;
    for (; c > 0 || digits.empty(); c >>= 4) digits.insert(digits.begin(), kHex[c & 15]);
    return "\\x{" + digits + '}';
  }
  static std::string range(char32_t first, char32_t last) { return escaped(first) + (last > first ? '-' + escaped(last) : ""); }
  // Text that ignores case is left to PCRE2; that of bytes too, which knows the case of ASCII alone. Both at once is spelled out.
  bool spells_case(const RegexFlags& flags) const { return text_ && flags.ascii && flags.ignore_case; }
  bool ignores_case(const RegexFlags& flags) const { return flags.ignore_case && !spells_case(flags); }
  // The only characters whose case Python and PCRE2 see differently: i, I and the two of Turkish are one for Python.
  static constexpr char32_t kI[] = {U'i', U'I', 0x130, 0x131};
  static constexpr const char* kAllI = "iI\\x{130}\\x{131}";
  // What a set has beside a range that it names, for the sake of case.
  std::string other_case(char32_t first, char32_t last, const RegexFlags& flags) const {
    if (!flags.ignore_case || !text_) return "";
    const bool has_i = std::any_of(std::begin(kI), std::end(kI), [&](char32_t i) { return first <= i && i <= last; });
    if (!spells_case(flags)) return has_i ? kAllI : "";
    std::string out;
    for (const auto& [from, to] : {std::pair(U'a', U'A'), std::pair(U'A', U'a')}) {
      const char32_t low = std::max<char32_t>(first, from), high = std::min<char32_t>(last, from + 25);
      if (low <= high) out += range(low - from + to, high - from + to);
    }
    return out;
  }
  std::string literal(char32_t c, const RegexFlags& flags) const {
    const std::string other = other_case(c, c, flags);
    return other.empty() ? escaped(c) : '[' + escaped(c) + other + ']';
  }

  // The members of \d, \s, \w, or of what they leave, inside of [ ].
  std::string members(char32_t letter, const RegexFlags& flags) const {
    const bool unicode = text_ && !flags.ascii;
    const std::string last = text_ ? "\\x{10ffff}" : "\\xff";
    switch (letter) {
      case U'd': return unicode ? "\\p{Nd}" : "0-9";
      case U'D': return unicode ? "\\P{Nd}" : "\\x00-/:-" + last;
      case U's':
        return unicode ? "\\x09-\\x0d\\x1c-\\x20\\x85\\xa0\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"
                       : "\\x09-\\x0d\\x20";
      case U'S':
        return unicode ? "\\x00-\\x08\\x0e-\\x1b\\x21-\\x84\\x86-\\x9f\\xa1-\\x{167f}\\x{1681}-\\x{1fff}\\x{200b}-\\x{2027}\\x{202a}-\\x{202e}\\x{"
                         "2030}-\\x{205e}\\x{2060}-\\x{2fff}\\x{3001}-\\x{10ffff}"
                       : "\\x00-\\x08\\x0e-\\x1f\\x21-" + last;
      case U'w': return unicode ? "\\p{L}\\p{N}_" : "0-9A-Z_a-z";
      default:  // W; of the punctuation that connects, all but _
        return unicode ? "\\p{M}\\p{S}\\p{Z}\\p{C}\\p{Pd}\\p{Ps}\\p{Pe}\\p{Pi}\\p{Pf}\\p{Po}\\x{203f}\\x{2040}\\x{2054}\\x{fe33}\\x{fe34}\\x{fe4d}-"
                         "\\x{fe4f}\\x{ff3f}"
                       : "\\x00-/:-@\\x5b-\\x5e\\x60\\x7b-" + last;
    }
  }
  std::string category(char32_t letter, const RegexFlags& flags) const {
    // Neither has members of another case that it has not: no case is ignored in it.
    const std::string set = '[' + members(letter, flags) + ']';
    return ignores_case(flags) ? "(?-i:" + set + ')' : set;
  }
  std::string boundary(bool is, const RegexFlags& flags) const {
    const std::string word = category(U'w', flags), before = "(?<=" + word + ')', after = "(?=" + word + ')', not_before = "(?<!" + word + ')',
                      not_after = "(?!" + word + ')';
    if (is) return "(?:" + before + not_after + '|' + not_before + after + ')';
    return "(?:(?!\\A\\z)(?:" + before + after + '|' + not_before + not_after + "))";  // in an empty text there is none
  }

 private:
  bool text_;
};

}  // namespace mfdata::sdk::detail
