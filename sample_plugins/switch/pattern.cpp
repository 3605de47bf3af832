#include "pattern.hpp"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <array>
#include <mfdata/python_regex.hpp>
#include <utility>
#include <vector>

namespace {

constexpr std::uint32_t kMatchLimit = 1'000'000;
constexpr std::uint32_t kDepthLimit = 1'000'000;  // what it takes is bounded by the heap limit
constexpr std::uint32_t kHeapLimitKib = 16'384;
constexpr std::size_t kSurelyRight = 1000;  // characters of a shell pattern, which PCRE2 takes whatever they are

PCRE2_SPTR units(std::string_view text) { return reinterpret_cast<PCRE2_SPTR>(text.data()); }

// Whether a text is valid UTF-8: PCRE2 looks before it matches.
bool is_utf8(std::string_view text) {
  static const std::unique_ptr<pcre2_code, void (*)(pcre2_code*)> anything(
      [] {
        int error = 0;
        PCRE2_SIZE offset = 0;
        return ::pcre2_compile(units(""), 0, PCRE2_UTF | PCRE2_ANCHORED, &error, &offset, nullptr);
      }(),
      ::pcre2_code_free);
  static const std::unique_ptr<pcre2_match_data, void (*)(pcre2_match_data*)> data(::pcre2_match_data_create(1, nullptr), ::pcre2_match_data_free);
  return ::pcre2_match(anything.get(), units(text), text.size(), 0, 0, data.get(), nullptr) >= 0;
}

// The characters of valid UTF-8, or the bytes of any text.
std::vector<char32_t> characters_of(std::string_view text, bool utf8) {
  std::vector<char32_t> all;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (!utf8 || byte < 0x80) {
      all.push_back(byte);
    } else if (byte < 0xc0) {  // goes on with the character before it
      all.back() = (all.back() << 6) | (byte & 0x3f);
    } else {
      all.push_back(byte < 0xe0 ? byte & 0x1f : byte < 0xf0 ? byte & 0x0f : byte & 0x07);
    }
  }
  return all;
}

std::string escaped(char32_t character) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string digits;
  for (; character > 0 || digits.empty(); character >>= 4) digits.insert(digits.begin(), kHex[character & 15]);
  return "\\x{" + digits + '}';
}

using Characters = std::vector<char32_t>;

// The chunks between the hyphens of a set that make ranges, as fnmatch finds them: the last character of one and the
// first of the next are the ends of a range; an empty range takes both away.
std::vector<Characters> range_chunks(const Characters& set) {
  std::vector<Characters> chunks;
  std::size_t begin = 0;
  std::size_t look = !set.empty() && set[0] == U'!' ? 2 : 1;
  while (look < set.size()) {
    const auto hyphen = std::find(set.begin() + static_cast<std::ptrdiff_t>(look), set.end(), U'-');
    if (hyphen == set.end()) break;
    const auto at = static_cast<std::size_t>(hyphen - set.begin());
    chunks.emplace_back(set.begin() + static_cast<std::ptrdiff_t>(begin), hyphen);
    begin = at + 1;
    look = at + 3;
  }
  Characters last(set.begin() + static_cast<std::ptrdiff_t>(begin), set.end());
  if (!last.empty() || chunks.empty()) {
    chunks.push_back(std::move(last));
  } else {
    chunks.back().push_back(U'-');
  }
  for (std::size_t k = chunks.size() - 1; k > 0; --k) {
    if (chunks[k - 1].back() <= chunks[k].front()) continue;
    chunks[k - 1].pop_back();
    chunks[k - 1].insert(chunks[k - 1].end(), chunks[k].begin() + 1, chunks[k].end());
    chunks.erase(chunks.begin() + static_cast<std::ptrdiff_t>(k));
  }
  return chunks;
}

// What stands between "[" and "]".
std::string set_expression(const Characters& set) {
  std::vector<Characters> chunks = range_chunks(set);
  if (chunks.size() == 1 && chunks[0].empty()) return "(?!)";
  const bool negated = chunks[0].front() == U'!';
  if (negated) chunks[0].erase(chunks[0].begin());
  if (negated && chunks.size() == 1 && chunks[0].empty()) return ".";
  std::string out = negated ? "[^" : "[";
  for (std::size_t k = 0; k < chunks.size(); ++k) {
    if (k > 0) out += '-';
    for (const char32_t character : chunks[k]) out += escaped(character);
  }
  return out + ']';
}

}  // namespace

Subject::Subject(std::string_view value) : text(value), utf8(is_utf8(value)) {}

std::string shell_expression(std::string_view pattern, bool utf8) {
  const Characters all = characters_of(pattern, utf8 && is_utf8(pattern));
  std::vector<std::string> pieces(1);  // between the stars
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (all[i] == U'*') {
      if (i == 0 || all[i - 1] != U'*') pieces.emplace_back();
      continue;
    }
    if (all[i] == U'?') {
      pieces.back() += '.';
      continue;
    }
    if (all[i] == U'[') {
      std::size_t end = i + 1;
      if (end < all.size() && all[end] == U'!') ++end;
      if (end < all.size() && all[end] == U']') ++end;
      while (end < all.size() && all[end] != U']') ++end;
      if (end < all.size()) {
        pieces.back() += set_expression(Characters(all.begin() + static_cast<std::ptrdiff_t>(i) + 1, all.begin() + static_cast<std::ptrdiff_t>(end)));
        i = end;
        continue;
      }
    }
    pieces.back() += escaped(all[i]);
  }
  // Whatever stands between two stars is taken where it comes first: nothing is tried twice.
  std::string out = "(?s)" + pieces[0];
  for (std::size_t k = 1; k < pieces.size(); ++k) {
    const bool last = k + 1 == pieces.size();
    out += last ? ".*" + pieces[k] : "(?>.*?" + pieces[k] + ')';
  }
  return out + "\\z";
}

std::string_view shell_prefix(std::string_view pattern) { return pattern.substr(0, std::min(pattern.find_first_of("*?["), pattern.size())); }

std::string_view shell_suffix(std::string_view pattern) {
  const std::size_t last = pattern.find_last_of("*?[]");
  return last == std::string_view::npos ? pattern : pattern.substr(last + 1);
}

// Only what is certain: plain ASCII up to the first character with a meaning, without one that a quantifier may take away.
std::string_view regex_prefix(std::string_view pattern) {
  if (pattern.find('|') != std::string_view::npos) return {};
  std::size_t end = 0;
  while (end < pattern.size() && static_cast<unsigned char>(pattern[end]) < 0x80 && std::string_view("\\^$.[]()?*+{}#").find(pattern[end]) == std::string_view::npos) ++end;
  // A quantifier also reaches over a comment, "(?#..)", and over "\\E".
  const bool quantified = end < pattern.size() && std::string_view("?*+{(\\").find(pattern[end]) != std::string_view::npos;
  return pattern.substr(0, end - (quantified && end > 0 ? 1 : 0));
}

void Pattern::Free::operator()(pcre2_real_code_8* code) const { ::pcre2_code_free(code); }

Pattern::Code Pattern::compile(bool utf8, std::string& error) const {
  int number = 0;
  PCRE2_SIZE offset = 0;
  mfdata::sdk::PythonRegex regex;
  if (is_shell_) {
    regex.expression = shell_expression(source_, utf8);
  } else {
    regex = mfdata::sdk::python_regex(source_, utf8);
  }
  error = regex.error;
  if (!error.empty()) return nullptr;
  const std::string& expression = regex.expression;
  Code code(::pcre2_compile(units(expression), expression.size(), PCRE2_ANCHORED | PCRE2_DOTALL | (utf8 ? PCRE2_UTF : 0), &number, &offset, nullptr));
  if (!code) {
    std::array<PCRE2_UCHAR, 256> text{};
    ::pcre2_get_error_message(number, text.data(), text.size());
    error = reinterpret_cast<const char*>(text.data());
  }
  return code;
}

Pattern::Pattern(std::string_view source, bool is_shell) : source_(source), is_shell_(is_shell) {
  if (!is_shell || source.size() > kSurelyRight) characters_ = compile(true, error_);
}
Pattern Pattern::regex(std::string_view text) { return Pattern(text, false); }
Pattern Pattern::shell(std::string_view text) { return Pattern(text, true); }

// Compiled and, where there is JIT, turned into machine code for its first text.
const pcre2_code* Pattern::code_for(const Subject& subject) const {
  Code& code = subject.utf8 ? characters_ : bytes_;
  bool& asked = subject.utf8 ? asked_characters_ : asked_bytes_;
  if (std::exchange(asked, true)) return code.get();
  std::string error;
  if (!code) code = compile(subject.utf8, error);
  if (code) (void)::pcre2_jit_compile(code.get(), PCRE2_JIT_COMPLETE);  // where there is no JIT it is only slower
  return code.get();
}

std::optional<bool> Pattern::matches(const Subject& subject) const {
  static const std::unique_ptr<pcre2_match_data, void (*)(pcre2_match_data*)> data(::pcre2_match_data_create(1, nullptr), ::pcre2_match_data_free);
  static const std::unique_ptr<pcre2_match_context, void (*)(pcre2_match_context*)> limits(
      [] {
        pcre2_match_context* context = ::pcre2_match_context_create(nullptr);
        ::pcre2_set_match_limit(context, kMatchLimit);
        ::pcre2_set_depth_limit(context, kDepthLimit);
        ::pcre2_set_heap_limit(context, kHeapLimitKib);
        return context;
      }(),
      ::pcre2_match_context_free);
  if (!error_.empty()) return std::nullopt;
  const pcre2_code* code = code_for(subject);
  if (!code) return std::nullopt;  // it means characters, and the text has none
  const auto match = [&](std::uint32_t options) {
    return ::pcre2_match(code, units(subject.text), subject.text.size(), 0, (subject.utf8 ? PCRE2_NO_UTF_CHECK : 0) | options, data.get(), limits.get());
  };
  int found = match(0);
  if (found == PCRE2_ERROR_JIT_STACKLIMIT) found = match(PCRE2_NO_JIT);  // slower, and with the memory of the limits
  if (found == PCRE2_ERROR_NOMATCH) return false;
  if (found < 0) return std::nullopt;
  return true;
}
