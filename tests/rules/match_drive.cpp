// Answers whether patterns match: reads lines "<fnmatch|regex|bytes> <pattern in hex> <text in hex>", prints for each 1, 0, or
// ? when it cannot tell. Driven by rules_test.py.
#include <iostream>
#include <string>

#include "pattern.hpp"
#include "rule_set.hpp"

static std::string unhex(const std::string& text) {
  std::string out;
  for (std::size_t i = 1; i + 1 < text.size(); i += 2) out += static_cast<char>(std::stoi(text.substr(i, 2), nullptr, 16));
  return out;
}

// The same by the set of rules, which looks only at patterns that can match.
static char by_rule_set(const std::string& kind, const std::string& pattern, const std::string& value) {
  RuleSet rules;
  if (!rules.add({0, kind, "tag", pattern, "test", "test", {"a/main"}}).empty()) return '0';
  bool undecided = false;
  const Facts facts{[&](const std::string&) { return std::optional(value); }, [](std::uint64_t) { return std::optional<bool>(); },
                    [&](std::size_t size) { return std::optional(std::string_view(value).substr(0, size)); },
                    [&](const std::string&, const std::string&) { undecided = true; }};
  const bool matches = !rules.targets(facts).empty();
  return undecided ? '?' : matches ? '1' : '0';
}

int main() {
  std::ios::sync_with_stdio(false);
  for (std::string kind, pattern, text; std::cin >> kind >> pattern >> text;) {
    const std::string source = unhex(pattern), value = unhex(text);  // each begins with "x": it may be empty
    if (kind.ends_with("bytes")) {
      std::cout << (mfdata::sdk::BytesPattern(source).error().empty() ? by_rule_set(kind, source, value) : '?') << '\n';
      continue;
    }
    const Pattern compiled = kind == "regex" ? Pattern::regex(source) : Pattern::shell(source);
    const auto matches = compiled.matches(Subject(value));
    const char answer = !matches ? '?' : *matches ? '1' : '0';
    const char of_set = by_rule_set(kind, source, value);
    // What cannot match by its ends is not tried: there "no" may stand for "cannot tell".
    std::cout << (of_set == answer || (answer == '?' && of_set == '0') ? answer : '!') << '\n';
  }
}
