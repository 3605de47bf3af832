// What the rules of switch cost a file, by their kind and number: they are compiled once, then evaluated for values of which
// one in ten matches some rule. Prints a table as Markdown.
#include <sys/resource.h>
#include <time.h>

#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "rule_set.hpp"

namespace sdk = mfdata::sdk;

namespace {

double cpu_seconds() {
  timespec now;
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

struct Kind {
  const char* name;
  const char* type;
  std::function<std::string(std::size_t)> pattern;
};

// Values are "value-<n>.<letters>"; only every tenth n is that of a rule.
std::string value(std::size_t n) { return "value-" + std::to_string(n) + ".bufr"; }

double microseconds_a_file(const RuleSet& rules, std::size_t number) {
  std::size_t files = 0, targets = 0;
  const double began = cpu_seconds();
  double spent = 0;
  while (spent < 0.2) {
    for (int i = 0; i < 20; ++i, ++files) {
      const std::string seen = value(files % (number * 10));
      const Facts facts{[&seen](const std::string&) { return std::optional(seen); }, [](std::uint64_t) { return std::optional(false); },
                        [&seen](std::size_t size) { return std::optional(std::string_view(seen).substr(0, size)); },
                        [](const std::string&, const std::string&) {}};
      targets += rules.targets(facts).size();
    }
    spent = cpu_seconds() - began;
  }
  if (targets == 0) std::fputs("rules_bench: nothing matched\n", stderr);
  return spent / static_cast<double>(files) * 1e6;
}

}  // namespace

int main() {
  const std::vector<Kind> kinds = {
      {"equal", "equal", [](std::size_t n) { return value(n); }},
      {"fnmatch, different beginnings", "fnmatch", [](std::size_t n) { return "value-" + std::to_string(n) + ".*"; }},
      {"fnmatch, beginning with a star", "fnmatch", [](std::size_t n) { return "*-" + std::to_string(n) + ".bufr"; }},
      {"regex", "regex", [](std::size_t n) { return "value-" + std::to_string(n) + "\\.[a-z]+$"; }},
      {"bytes", "bytes", [](std::size_t n) { return value(n); }},
      {"notequal, of one tag", "notequal", [](std::size_t n) { return value(n); }},
  };
  std::puts("\n## Rules of switch\n\nCPU microseconds that one file costs, and in brackets milliseconds to compile all of them.\n");
  std::puts("| rules of kind | 10 | 100 | 1000 | 10000 |\n|---|---|---|---|---|");
  for (const Kind& kind : kinds) {
    std::printf("| %s |", kind.name);
    for (const std::size_t number : {10U, 100U, 1000U, 10000U}) {
      std::vector<std::string> patterns;
      for (std::size_t n = 0; n < number; ++n) patterns.push_back(kind.pattern(n));
      const double began = cpu_seconds();
      RuleSet rules;
      for (std::size_t n = 0; n < number; ++n) {
        if (!rules.add({n, kind.type, "tag", patterns[n], "bench", "bench", {"a/main"}}).empty()) return 1;
      }
      const double compiled_ms = (cpu_seconds() - began) * 1000;
      std::printf(" %.2f (%.1f) |", microseconds_a_file(rules, number), compiled_ms);
      std::fflush(stdout);
    }
    std::puts("");
  }
  return 0;
}
