#include "libmfdata/config_value.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>

namespace mfdata {
namespace {

// "1.5MB" -> 1.5 and "MB"; nothing when it does not begin with a number that is zero or more.
std::optional<std::pair<double, std::string>> number_and_unit(const std::string& text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || !std::isfinite(number) || number < 0) return std::nullopt;
  const char* unit = end;
  while (unit < text.data() + text.size() && *unit == ' ') ++unit;
  return std::pair(number, std::string(unit, text.data() + text.size()));
}

std::optional<double> scaled(const ConfigValue& value, const std::vector<std::pair<const char*, double>>& units) {
  using Kind = ConfigValue::Kind;
  if (value.kind() == Kind::kInteger || value.kind() == Kind::kReal) {
    return value.real() >= 0 && std::isfinite(value.real()) ? std::optional(value.real()) : std::nullopt;
  }
  if (value.kind() != Kind::kString) return std::nullopt;
  const auto parts = number_and_unit(value.string());
  if (!parts) return std::nullopt;
  for (const auto& [name, factor] : units) {
    if (parts->second == name) return parts->first * factor;
  }
  return std::nullopt;
}

// Two letters that changed places count once, as a letter that is wrong, missing or too many does.
std::size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> before, row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    const std::vector<std::size_t> above = row;
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    before = above;
  }
  return row.back();
}

}  // namespace

std::string Location::spell() const {
  return line > 0 ? file + ':' + std::to_string(line) + ':' + std::to_string(column) : file;
}

const char* ConfigValue::kind_name() const {
  switch (kind()) {
    case Kind::kTable: return "a table";
    case Kind::kArray: return "an array";
    case Kind::kString: return "a string";
    case Kind::kInteger: return "an integer";
    case Kind::kReal: return "a number";
    case Kind::kBool: return "a boolean";
  }
  return "";
}

const ConfigValue* ConfigValue::find(std::string_view key) const {
  if (kind() != Kind::kTable) return nullptr;
  for (const auto& [name, value] : table()) {
    if (name == key) return &value;
  }
  return nullptr;
}

ConfigValue* ConfigValue::find(std::string_view key) {
  return const_cast<ConfigValue*>(static_cast<const ConfigValue*>(this)->find(key));
}

const ConfigValue* ConfigValue::at_path(std::string_view path) const {
  const ConfigValue* at = this;
  while (at && !path.empty()) {
    if (path[0] == '[') {
      const std::size_t close = path.find(']');
      std::size_t index = 0;
      if (close == std::string_view::npos || at->kind() != Kind::kArray) return nullptr;
      const auto [end, error] = std::from_chars(path.data() + 1, path.data() + close, index);
      if (error != std::errc() || end != path.data() + close || index >= at->array().size()) return nullptr;
      at = &at->array()[index];
      path.remove_prefix(close + 1);
    } else {
      const std::string_view key = path.substr(0, path.find_first_of(".["));
      at = at->find(key);
      path.remove_prefix(key.size());
    }
    if (!path.empty() && path[0] == '.') path.remove_prefix(1);
  }
  return at;
}

void ConfigValue::put(const std::string& key, ConfigValue value) {
  if (ConfigValue* there = find(key)) {
    *there = std::move(value);
  } else {
    table().emplace_back(key, std::move(value));
  }
}

std::string Problem::spell() const {
  const std::string what = (severity == Severity::kWarning ? "warning: " : "") + text;
  std::string out = where.file.empty() ? what : where.spell() + ": " + what;
  if (!hint.empty()) out += " (" + hint + ')';
  if (!where.text.empty()) out += "\n    " + where.text;
  return out;
}

std::optional<double> duration_seconds(const ConfigValue& value) {
  return scaled(value, {{"", 1}, {"s", 1}, {"ms", 0.001}, {"m", 60}, {"h", 3600}, {"d", 86400}});
}

std::optional<std::uint64_t> size_bytes(const ConfigValue& value) {
  const auto bytes = scaled(value, {{"", 1},      {"B", 1},         {"KB", 1e3},        {"kB", 1e3},          {"MB", 1e6},
                                    {"GB", 1e9},  {"TB", 1e12},     {"KiB", 1024},      {"MiB", 1048576},     {"GiB", 1073741824.0},
                                    {"TiB", 1099511627776.0}});
  if (!bytes || *bytes > 9e18) return std::nullopt;
  return static_cast<std::uint64_t>(*bytes);
}

std::optional<std::string> near_miss(const std::string& word, const std::vector<std::string>& candidates) {
  std::optional<std::string> best;
  std::size_t nearest = std::max<std::size_t>(1, word.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    const std::size_t distance = edit_distance(word.substr(0, 64), candidate);
    if (distance < nearest) {
      nearest = distance;
      best = candidate;
    }
  }
  return best;
}

}  // namespace mfdata
