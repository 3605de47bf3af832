#include "libmfdata/version.hpp"

#include <algorithm>
#include <string_view>

namespace mfdata {
namespace {

constexpr std::size_t kMaxVersion = 64;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// What a place of a version weighs: "~" and "-", then the end, then everything else.
int weight(std::string_view text, std::size_t at) {
  if (at >= text.size()) return 0;
  return text[at] == '~' ? -2 : text[at] == '-' ? -1 : static_cast<unsigned char>(text[at]);
}

std::string_view digits_at(std::string_view text, std::size_t& at) {
  while (at < text.size() && text[at] == '0') ++at;
  const std::size_t begin = at;
  while (at < text.size() && is_digit(text[at])) ++at;
  return text.substr(begin, at - begin);
}

}  // namespace

bool valid_version(const std::string& version) {
  constexpr std::string_view kAllowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.+-_~";
  return !version.empty() && version.size() <= kMaxVersion && version.find_first_not_of(kAllowed) == std::string::npos && !version.starts_with('.') &&
         version != "current" && version != "previous";
}

int compare_versions(const std::string& first, const std::string& second) {
  const std::string_view a = std::string_view(first).substr(0, first.find('+')), b = std::string_view(second).substr(0, second.find('+'));
  std::size_t i = 0, j = 0;
  while (i < a.size() || j < b.size()) {
    if (i < a.size() && j < b.size() && is_digit(a[i]) && is_digit(b[j])) {
      const std::string_view one = digits_at(a, i), other = digits_at(b, j);
      if (one.size() != other.size()) return one.size() < other.size() ? -1 : 1;
      if (const int order = one.compare(other); order != 0) return order;
      continue;
    }
    const int one = weight(a, i), other = weight(b, j);
    if (one != other) return one < other ? -1 : 1;
    ++i;
    ++j;
  }
  return 0;
}

}  // namespace mfdata
