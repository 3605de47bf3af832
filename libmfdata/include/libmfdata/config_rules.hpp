// The table of all configuration keys: section, type, default, bounds, help. The one place where a default stands;
// validation, what is said of a misspelt key, and doc/plugin_toml.md are made from it.
//
// A section is "data", or "step.*" for tables with free names. Any key may be written with a variant, "key[NAME]"
// (DESIGN: Configuration).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "libmfdata/config_value.hpp"

namespace mfdata {

struct KeyRule {
  enum class Type { kString, kBool, kInteger, kReal, kDuration, kSize, kShare, kReady, kReadyAtStart, kStrings, kArgv, kAny };
  const char* section;
  const char* key;
  Type type;
  const char* preset;   // as it would be written in TOML, without quotes for strings; nullptr: no default
  const char* help;
  const char* choices = nullptr;  // "a|b|c"
  double min = 0;
  double max = 9e18;
};

enum class ConfigFile { kMfdata, kPlugin };

const std::vector<KeyRule>& key_rules(ConfigFile file);

// The types that [schema.KEY] type may name.
struct SchemaType {
  const char* name;
  KeyRule::Type type;   // of the value
  bool is_path;         // what stands in its braces is the configuration's
  bool is_target;       // it names steps
  const char* help;
};
const std::vector<SchemaType>& schema_types();
const SchemaType* find_schema_type(std::string_view name);

// The keys of a section.
std::vector<std::string> keys_of(ConfigFile file, std::string_view section);
// The choices of a rule, one by one; none: every value is taken.
std::vector<std::string> choices_of(const KeyRule& rule);
const KeyRule* find_rule(ConfigFile file, std::string_view section, std::string_view key);
const char* type_name(KeyRule::Type type);
// What is wrong with the value, as the end of a sentence that begins with the key; empty: nothing.
std::string complaint(const KeyRule& rule, const ConfigValue& value);

// Adds a problem for each unknown section or key, wrong type, value out of bounds.
void check_rules(const ConfigValue& root, ConfigFile file, Problems& problems);

// "numprocesses[PROD_PARIS]" -> key and variant; no variant: empty.
struct VariantKey {
  std::string key;
  std::string variant;
};
VariantKey split_variant(const std::string& key);

// The layers, lowest first, as one tree: in each, the variant nearest to `config_name` stands for its key; tables
// are merged, everything else is replaced.
ConfigValue merge_layers(std::vector<ConfigValue> layers, const std::string& config_name);

// A member of a section of a merged and checked tree, or the default of its rule. `section` may be nullptr.
class SectionReader {
 public:
  SectionReader(ConfigFile file, std::string_view rules, const ConfigValue* section)
      : file_(file), rules_(rules), section_(section) {}

  std::string text(std::string_view key) const;
  bool flag(std::string_view key) const;
  std::int64_t integer(std::string_view key) const;
  double real(std::string_view key) const;
  double seconds(std::string_view key) const;
  std::uint64_t bytes(std::string_view key) const;
  std::vector<std::string> strings(std::string_view key) const;
  const ConfigValue* raw(std::string_view key) const { return section_ ? section_->find(key) : nullptr; }
  Location where(std::string_view key) const;

 private:
  ConfigValue value(std::string_view key) const;

  ConfigFile file_;
  std::string rules_;
  const ConfigValue* section_;
};

}  // namespace mfdata
