// A configuration value with the place where it is written. Pure: reading TOML is toml_reader's, rules are
// config_rules'.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "libmfdata/result.hpp"

namespace mfdata {

struct Location {
  std::string file;
  int line = 0;
  int column = 0;
  std::string text;  // the line itself, cut to 160 bytes

  std::string spell() const;  // "file:line:column"
};

class ConfigValue {
 public:
  using Array = std::vector<ConfigValue>;
  using Table = std::vector<std::pair<std::string, ConfigValue>>;  // in the order of the file
  enum class Kind { kTable, kArray, kString, kInteger, kReal, kBool };

  ConfigValue() = default;
  template <class T>
  explicit ConfigValue(T value, Location where = {}) : where_(std::move(where)), data_(std::move(value)) {}

  Kind kind() const { return static_cast<Kind>(data_.index()); }
  const char* kind_name() const;
  const Location& where() const { return where_; }

  const Table& table() const { return std::get<Table>(data_); }
  Table& table() { return std::get<Table>(data_); }
  const Array& array() const { return std::get<Array>(data_); }
  Array& array() { return std::get<Array>(data_); }
  const std::string& string() const { return std::get<std::string>(data_); }
  std::string& string() { return std::get<std::string>(data_); }
  std::int64_t integer() const { return std::get<std::int64_t>(data_); }
  double real() const { return kind() == Kind::kInteger ? static_cast<double>(integer()) : std::get<double>(data_); }
  bool boolean() const { return std::get<bool>(data_); }

  // The member of a table; nullptr when this is no table or has none of that name.
  const ConfigValue* find(std::string_view key) const;
  ConfigValue* find(std::string_view key);
  // By dotted and indexed path: "a.b[2].c".
  const ConfigValue* at_path(std::string_view path) const;
  void put(const std::string& key, ConfigValue value);

 private:
  Location where_;
  std::variant<Table, Array, std::string, std::int64_t, double, bool> data_ = Table();
};

// An error keeps the configuration from being used. A warning does not: what is written has an effect, but hardly the one that
// its author expects.
enum class Severity { kError, kWarning };

// One thing that is wrong in a configuration: "file:line:column: text", the line, and a hint; "warning: " before the text of one.
struct Problem {
  Location where;
  std::string text;
  std::string hint;
  Severity severity = Severity::kError;

  std::string spell() const;
};
using Problems = std::vector<Problem>;

// Seconds of 90, 1.5, "10s", "5m", "2h", "7d", "200ms"; nothing when it is none.
std::optional<double> duration_seconds(const ConfigValue& value);
// Bytes of 1000, "10KB", "1.5MB", "1GB", "1TB" (powers of 1000), "1KiB" (of 1024).
std::optional<std::uint64_t> size_bytes(const ConfigValue& value);

// The candidate nearest to `word`, when it is near enough to be what was meant.
std::optional<std::string> near_miss(const std::string& word, const std::vector<std::string>& candidates);

}  // namespace mfdata
