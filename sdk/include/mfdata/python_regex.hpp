// mfdata/python_regex.hpp - the regular expressions of rules, as Python's re reads them, for PCRE2. Header-only, pure; C++20.
//
// python_regex(pattern, true) is a pattern of text (UTF-8), python_regex(pattern, false) the same pattern of bytes, as
// re.compile of str and of bytes. The expression means for PCRE2 what the pattern means for Python: compile it with
// PCRE2_DOTALL | PCRE2_ANCHORED, and for text with PCRE2_UTF; then it matches what re.match matches. It names every
// character and class itself, so that no default of PCRE2 (properties, newlines, \v) changes it. What Python refuses is an
// error, and so is what cannot be had: \N{NAME}, (?L), a repeat above 65535, a backreference under (?ai).
#pragma once

#include <mfdata/python_regex_classes.hpp>

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace mfdata::sdk {

struct PythonRegex {
  std::string expression;  // for PCRE2
  std::string error;       // why there is none, with the character where; empty: nothing
};

namespace detail {

// What a part of a pattern may be long, in characters; kMany: without bound.
struct RegexWidth {
  static constexpr std::uint64_t kMany = std::uint64_t{1} << 32;
  std::uint64_t low = 0, high = 0;
  RegexWidth then(const RegexWidth& next) const { return {std::min(low + next.low, kMany), std::min(high + next.high, kMany)}; }
  RegexWidth times(std::uint64_t least, std::uint64_t most) const {
    return {std::min(low * least, kMany), high == 0 ? 0 : std::min(high * most, kMany)};
  }
  RegexWidth beside(const RegexWidth& other) const { return {std::min(low, other.low), std::max(high, other.high)}; }
};

// One item: an expression that a quantifier behind it repeats as a whole.
struct RegexItem {
  enum Kind { kNone, kPosition, kRepeat, kOther };
  std::string text;
  RegexWidth width;
  Kind kind = kOther;
};

class RegexTranslator : RegexClasses {
 public:
  RegexTranslator(RegexText pattern, bool text) : RegexClasses(text), pattern_(std::move(pattern)), text_(text) {}

  std::string translate() {
    RegexFlags flags;
    RegexWidth width;
    const std::string expression = alternatives(flags, width, true);
    if (!at_end()) wrong("unbalanced parenthesis");
    for (const std::size_t group : conditions_) {
      if (group >= groups_.size()) wrong("invalid group reference " + std::to_string(group));
    }
    return expression;
  }
  std::size_t position() const { return at_; }

 private:
  struct Group {
    RegexWidth width;
    bool open = true;
  };
  struct SetMember {
    std::string text;                   // of a class like \d
    std::optional<char32_t> character;  // or one character
  };

  [[noreturn]] static void wrong(const std::string& why) { throw std::invalid_argument(why); }

  // ---- reading
  bool at_end() const { return at_ >= pattern_.size(); }
  bool sees(char32_t c) const { return !at_end() && pattern_[at_] == c; }
  bool take(char32_t c) {
    if (!sees(c)) return false;
    ++at_;
    return true;
  }
  char32_t next(const char* missing) {
    if (at_end()) wrong(missing);
    return pattern_[at_++];
  }
  std::string until(char32_t end, const char* what) {
    std::string name;
    while (!sees(end)) {
      const char32_t c = next("missing the end of a group's name");
      if (!is_letter(c) && !is_digit(c) && c != U'_') wrong(std::string("bad character in ") + what + ": letters, digits and _ are allowed");
      name += static_cast<char>(c);
    }
    ++at_;
    if (name.empty()) wrong(std::string("missing ") + what);
    return name;
  }
  std::optional<std::uint64_t> number() {
    if (at_end() || !is_digit(pattern_[at_])) return std::nullopt;
    std::uint64_t value = 0;
    while (!at_end() && is_digit(pattern_[at_])) value = std::min<std::uint64_t>(value * 10 + (pattern_[at_++] - U'0'), RegexWidth::kMany);
    return value;
  }
  char32_t hexadecimal(std::size_t digits, char32_t escape) {
    char32_t value = 0;
    for (std::size_t i = 0; i < digits; ++i) {
      const char32_t c = at_end() ? U'g' : pattern_[at_++], lower = c | 0x20;
      if (!is_digit(c) && (lower < U'a' || lower > U'f'))
        wrong(std::string("incomplete escape \\") + static_cast<char>(escape) + ": it takes " + std::to_string(digits) + " hexadecimal digits");
      value = value * 16 + (is_digit(c) ? c - U'0' : lower - U'a' + 10);
    }
    if (value > 0x10ffff || (value >= 0xd800 && value < 0xe000)) wrong("the escape is no character");
    return value;
  }

  // ---- escapes
  std::optional<char32_t> common_escape(char32_t c) {
    switch (c) {
      case U'a': return U'\a';
      case U'f': return U'\f';
      case U'n': return U'\n';
      case U'r': return U'\r';
      case U't': return U'\t';
      case U'v': return U'\v';
      case U'\\': return U'\\';
      case U'x': return hexadecimal(2, c);
      case U'u': return text_ ? std::optional(hexadecimal(4, c)) : std::nullopt;
      case U'U': return text_ ? std::optional(hexadecimal(8, c)) : std::nullopt;
      default: break;
    }
    if (c == U'N' && text_) wrong("\\N{NAME} is not known here: write the character, or \\uXXXX");
    if (!is_letter(c) && !is_digit(c)) return c;
    return std::nullopt;
  }
  [[noreturn]] static void bad_escape(char32_t c) {
    std::string hint;
    if (c == U'z') hint = ": the end of the text is \\Z";
    if (c == U'h') hint = ": write [ \\t]";
    if (c == U'R') hint = ": write (?:\\r\\n|\\n|\\r)";
    if (c == U'p' || c == U'P' || c == U'X') hint = ": properties of characters are not known, [^\\W\\d_] is a letter";
    if (c == U'Q' || c == U'E') hint = ": write a \\ before each character that has a meaning";
    wrong(std::string("bad escape \\") + static_cast<char>(c) + hint);
  }
  char32_t octal(char32_t first, std::size_t more) {
    char32_t value = first - U'0';
    for (; more > 0 && !at_end() && is_digit(pattern_[at_], U'7'); --more) value = value * 8 + (pattern_[at_++] - U'0');
    if (value > 0377) wrong("an octal escape is at most \\377");
    return value;
  }
  RegexItem escape(const RegexFlags& flags) {
    const char32_t c = next("bad escape (end of pattern)");
    const auto position = [](std::string text) { return RegexItem{std::move(text), {}, RegexItem::kPosition}; };
    switch (c) {
      case U'A': return position("\\A");
      case U'Z': return position("\\z");
      case U'b': return position(boundary(true, flags));
      case U'B': return position(boundary(false, flags));
      case U'd':
      case U'D':
      case U's':
      case U'S':
      case U'w':
      case U'W': return {category(c, flags), {1, 1}};
      case U'0': return {literal(octal(c, 2), flags), {1, 1}};
      default: break;
    }
    if (const auto plain = common_escape(c)) return {literal(*plain, flags), {1, 1}};
    if (!is_digit(c)) bad_escape(c);
    std::size_t group = c - U'0';
    if (!at_end() && is_digit(pattern_[at_])) {
      const bool is_octal = is_digit(c, U'7') && is_digit(pattern_[at_], U'7') && at_ + 1 < pattern_.size() && is_digit(pattern_[at_ + 1], U'7');
      if (is_octal) return {literal(octal(c, 2), flags), {1, 1}};
      group = group * 10 + (pattern_[at_++] - U'0');
    }
    return reference(group, flags);
  }
  RegexItem reference(std::size_t group, const RegexFlags& flags) const {
    if (group == 0 || group >= groups_.size()) wrong("invalid group reference " + std::to_string(group));
    if (groups_[group].open) wrong("cannot refer to an open group");
    if (behind_ != 0 && group >= behind_) wrong("cannot refer to group defined in the same lookbehind subpattern");
    if (spells_case(flags)) wrong("a backreference under (?ai) is not known here: leave the a or the i away");
    return {"\\g{" + std::to_string(group) + '}', groups_[group].width};
  }

  // ---- sets
  SetMember set_member(const RegexFlags& flags) {
    const char32_t c = next("unterminated character set");
    if (c != U'\\') return {"", c};
    const char32_t escape = next("bad escape (end of pattern)");
    if (std::u32string_view(U"dDsSwW").find(escape) != std::u32string_view::npos) return {members(escape, flags), std::nullopt};
    if (escape == U'b') return {"", U'\b'};
    if (is_digit(escape, U'7')) return {"", octal(escape, 2)};
    if (const auto plain = common_escape(escape)) return {"", plain};
    bad_escape(escape);
  }
  std::string set(const RegexFlags& flags) {
    const bool negated = take(U'^');
    std::string out, categories;
    for (bool first = true; first || !take(U']'); first = false) {
      const SetMember begin = set_member(flags);
      const bool ranges = sees(U'-') && at_ + 1 < pattern_.size() && pattern_[at_ + 1] != U']';
      if (!ranges && sees(U'-') && at_ + 1 >= pattern_.size()) wrong("unterminated character set");
      if (ranges) ++at_;
      const SetMember end = ranges ? set_member(flags) : begin;
      if (!begin.character || !end.character) {
        if (ranges) wrong("bad character range: its ends are characters");
        categories += begin.text;
        continue;
      }
      if (*end.character < *begin.character) wrong("bad character range: its end stands before its beginning");
      out += range(*begin.character, *end.character) + other_case(*begin.character, *end.character, flags);
    }
    if (categories.empty()) return (negated ? "[^" : "[") + out + ']';
    if (!ignores_case(flags)) return (negated ? "[^" : "[") + out + categories + ']';
    // Classes do not ignore case, characters do.
    const std::string either = (out.empty() ? "" : '[' + out + "]|") + "(?-i:[" + categories + "])";
    return negated ? "(?:(?!" + either + ").)" : "(?:" + either + ')';
  }

  // ---- groups
  RegexFlags changed(RegexFlags flags, bool on, bool& is_global) {
    std::string letters;
    is_global = false;
    char32_t c = pattern_[at_ - 1];
    for (bool turns_on = on; c != U')' && c != U':'; c = next("missing ), : or - in flags")) {
      if (c == U'-' && turns_on) {
        turns_on = false;
        if (!at_end() && (sees(U':') || sees(U')'))) wrong("missing flag");
        continue;
      }
      if (!turns_on && letters.find(static_cast<char>(c)) != std::string::npos) wrong("bad inline flags: flag turned on and off");
      if (c == U'i')
        flags.ignore_case = turns_on;
      else if (c == U'm')
        flags.multiline = turns_on;
      else if (c == U's')
        flags.dot_all = turns_on;
      else if (c == U'x')
        flags.verbose = turns_on;
      else if (c == U'a' && turns_on)
        flags.ascii = true;
      else if (c == U'u' && turns_on && text_)
        flags.ascii = false;
      else if (c == U'L')
        wrong("the flag L is not known here");
      else
        wrong("unknown or misplaced flag in (?..): i, m, s, x, a and u are known");
      letters += static_cast<char>(c);
      on = turns_on;
    }
    if (letters.find('a') != std::string::npos && letters.find('u') != std::string::npos) wrong("bad inline flags: flags a and u are incompatible");
    is_global = c == U')';
    if (is_global && !on) wrong("missing : behind flags that are turned off");
    return flags;
  }
  std::string closed(const RegexFlags& flags, RegexWidth& width) {
    std::string inside = alternatives(flags, width, false);
    if (!take(U')')) wrong("missing ), unterminated subpattern");
    return inside;
  }
  RegexItem capture(const RegexFlags& flags, const std::string& name) {
    if (!name.empty() && is_digit(static_cast<char32_t>(name[0]))) wrong("bad character in group name: it begins with a letter");
    if (!name.empty() && !names_.try_emplace(name, groups_.size()).second) wrong("redefinition of group name \"" + name + '"');
    const std::size_t number = groups_.size();
    groups_.emplace_back();
    RegexItem item;
    item.text = '(' + closed(flags, item.width) + ')';
    groups_[number] = {item.width, false};
    return item;
  }
  RegexItem lookaround(const RegexFlags& flags, const std::string& opening, bool behind) {
    const std::size_t outer = behind_;
    if (behind && behind_ == 0) behind_ = groups_.size();
    RegexWidth width;
    const std::string inside = closed(flags, width);
    behind_ = outer;
    if (behind && width.low != width.high) wrong("look-behind requires fixed-width pattern");
    return {opening + inside + ')', {}};
  }
  RegexItem condition(const RegexFlags& flags) {
    const std::string name = until(U')', "group name");
    std::size_t group = 0;
    if (is_digit(static_cast<char32_t>(name[0]))) {
      if (name.size() > 4 || name.find_first_not_of("0123456789") != std::string::npos || std::stoul(name) == 0) wrong("bad group number " + name);
      group = std::stoul(name);
      conditions_.push_back(group);
    } else {
      const auto known = names_.find(name);
      if (known == names_.end()) wrong("unknown group name \"" + name + '"');
      group = known->second;
    }
    RegexWidth yes, no;
    bool first = true;
    std::string inside = sequence(flags, yes, first);
    if (take(U'|')) {
      inside += '|' + sequence(flags, no, first);
      if (sees(U'|')) wrong("conditional backref with more than two branches");
    }
    if (!take(U')')) wrong("missing ), unterminated subpattern");
    return {"(?(" + std::to_string(group) + ')' + inside + ')', yes.beside(no)};
  }
  RegexItem named(const RegexFlags& flags) {
    if (take(U'<')) return capture(flags, until(U'>', "group name"));
    if (!take(U'=')) wrong("unknown extension ?P: (?P<name>..) and (?P=name) are known");
    const std::string name = until(U')', "group name");
    const auto known = names_.find(name);
    if (known == names_.end()) wrong("unknown group name \"" + name + '"');
    return reference(known->second, flags);
  }
  // Behind "(". `first`: flags for everything may stand here, and then hold from here on.
  RegexItem group(RegexFlags& flags, bool first) {
    if (!take(U'?')) return capture(flags, "");
    RegexItem item;
    const char32_t c = next("unexpected end of pattern");
    switch (c) {
      case U'P': return named(flags);
      case U':': item.text = "(?:" + closed(flags, item.width) + ')'; return item;
      case U'>': item.text = "(?>" + closed(flags, item.width) + ')'; return item;
      case U'=': return lookaround(flags, "(?=", false);
      case U'!': return lookaround(flags, "(?!", false);
      case U'(': return condition(flags);
      case U'#':
        while (next("missing ), unterminated comment") != U')') {
        }
        item.kind = RegexItem::kNone;
        return item;
      case U'<':
        if (take(U'=')) return lookaround(flags, "(?<=", true);
        if (take(U'!')) return lookaround(flags, "(?<!", true);
        wrong("unknown extension ?<: a group with a name is (?P<name>..)");
      default: break;
    }
    if (std::u32string_view(U"aimsuxL-").find(c) == std::u32string_view::npos) wrong("unknown extension behind (?");
    bool is_global = false;
    const RegexFlags inner = changed(flags, true, is_global);
    if (is_global) {
      if (!first) wrong("global flags not at the start of the expression");
      item.kind = RegexItem::kNone;
      item.text = ignores_case(inner) != ignores_case(flags) ? (ignores_case(inner) ? "(?i)" : "(?-i)") : "";
      flags = inner;
      return item;
    }
    item.text = (ignores_case(inner) ? "(?i:" : "(?-i:") + closed(inner, item.width) + ')';
    return item;
  }

  // ---- sequences
  struct Repeat {
    std::uint64_t least = 0, most = RegexWidth::kMany;
  };
  // What repeats the item before it; nothing: "{" stands for itself.
  std::optional<Repeat> repeat(char32_t c) {
    if (c == U'*') return Repeat{};
    if (c == U'+') return Repeat{1, RegexWidth::kMany};
    if (c == U'?') return Repeat{0, 1};
    const std::size_t begin = at_;
    Repeat found;
    const auto least = number();
    const bool comma = take(U',');
    const auto most = comma ? number() : least;
    if ((!least && !comma) || !take(U'}')) {
      at_ = begin;
      return std::nullopt;
    }
    found.least = least.value_or(0);
    found.most = most.value_or(RegexWidth::kMany);
    if (found.most < found.least) wrong("min repeat greater than max repeat");
    if (found.least > 65535 || (most && found.most > 65535)) wrong("a repeat is at most 65535 here");
    return found;
  }
  void repeat_last(const Repeat& times, RegexItem& last) {
    if (last.kind == RegexItem::kNone || last.kind == RegexItem::kPosition) wrong("nothing to repeat");
    if (last.kind == RegexItem::kRepeat) wrong("multiple repeat");
    const std::string most = times.most == RegexWidth::kMany ? "" : std::to_string(times.most);
    last.text += '{' + std::to_string(times.least) + ',' + most + '}';
    last.text += take(U'?') ? "?" : take(U'+') ? "+" : "";
    last.width = last.width.times(times.least, times.most);
    last.kind = RegexItem::kRepeat;
  }
  RegexItem item(char32_t c, RegexFlags& flags, bool first) {
    switch (c) {
      case U'\\': return escape(flags);
      case U'[': return {set(flags), {1, 1}};
      case U'(': return group(flags, first);
      case U'.': return {flags.dot_all ? "." : "[^\\x0a]", {1, 1}};
      case U'^': return {flags.multiline ? "(?:\\A|(?<=\\x0a))" : "\\A", {}, RegexItem::kPosition};
      case U'$': return {flags.multiline ? "(?=\\x0a|\\z)" : "(?=\\x0a?\\z)", {}, RegexItem::kPosition};
      default: return {literal(c, flags), {1, 1}};
    }
  }
  // Up to "|", ")" or the end. `first`: nothing stands before it; flags for everything change `flags`.
  std::string sequence(RegexFlags flags, RegexWidth& width, bool& first, RegexFlags* everywhere = nullptr) {
    std::string out;
    RegexItem last;
    last.kind = RegexItem::kNone;
    const auto put_last = [&] {
      out += last.text;
      width = width.then(last.width);
    };
    while (!at_end() && !sees(U'|') && !sees(U')')) {
      const char32_t c = pattern_[at_++];
      if (flags.verbose && std::u32string_view(U" \t\n\r\v\f").find(c) != std::u32string_view::npos) continue;
      if (flags.verbose && c == U'#') {
        while (!at_end() && pattern_[at_++] != U'\n') {
        }
        continue;
      }
      if (c == U'*' || c == U'+' || c == U'?' || c == U'{') {
        if (const auto times = repeat(c)) {
          repeat_last(*times, last);
          continue;
        }
      }
      RegexItem found = item(c, flags, first);
      if (found.kind == RegexItem::kNone) {
        if (last.kind == RegexItem::kNone) out += found.text;  // a comment, or flags for everything
        if (everywhere) *everywhere = flags;
        continue;
      }
      first = false;
      put_last();
      last = std::move(found);
    }
    put_last();
    return out;
  }
  std::string alternatives(RegexFlags flags, RegexWidth& width, bool whole) {
    if (++depth_ > 200) wrong("the groups stand too deep in each other");
    bool first = whole;
    std::string out = sequence(flags, width, first, &flags);
    first = false;
    while (take(U'|')) {
      RegexWidth other;
      out += '|' + sequence(flags, other, first);
      width = width.beside(other);
    }
    --depth_;
    return out;
  }

  RegexText pattern_;
  bool text_;
  std::size_t at_ = 0;
  std::vector<Group> groups_{1};  // from 1
  std::map<std::string, std::size_t> names_;
  std::vector<std::size_t> conditions_;  // groups that may come later
  std::size_t behind_ = 0;               // the first group of the lookbehind that is read; 0: none is
  int depth_ = 0;
};

// The characters of UTF-8; nothing: it is none.
inline std::optional<RegexText> characters_of_utf8(std::string_view text) {
  RegexText all;
  for (std::size_t i = 0; i < text.size();) {
    const auto byte = static_cast<unsigned char>(text[i++]);
    const std::size_t more = byte < 0x80 ? 0 : byte < 0xc2 ? 9 : byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : byte < 0xf5 ? 3 : 9;
    if (more > text.size() - i) return std::nullopt;
    char32_t c = more == 0 ? byte : byte & (0x3f >> more);
    for (std::size_t k = 0; k < more; ++k, ++i) {
      if ((static_cast<unsigned char>(text[i]) & 0xc0) != 0x80) return std::nullopt;
      c = (c << 6) | (static_cast<unsigned char>(text[i]) & 0x3f);
    }
    if ((more == 2 && c < 0x800) || (more == 3 && (c < 0x10000 || c > 0x10ffff)) || (c >= 0xd800 && c < 0xe000)) return std::nullopt;
    all.push_back(c);
  }
  return all;
}

}  // namespace detail

inline PythonRegex python_regex(std::string_view pattern, bool text) {
  detail::RegexText characters;
  if (text) {
    auto decoded = detail::characters_of_utf8(pattern);
    if (!decoded) return {"", "the pattern is no UTF-8"};
    characters = std::move(*decoded);
  } else {
    for (const char c : pattern) characters.push_back(static_cast<unsigned char>(c));
  }
  detail::RegexTranslator translator(std::move(characters), text);
  try {
    return {translator.translate(), ""};
  } catch (const std::invalid_argument& error) {
    return {"", std::string(error.what()) + " at character " + std::to_string(translator.position())};
  }
}

}  // namespace mfdata::sdk
