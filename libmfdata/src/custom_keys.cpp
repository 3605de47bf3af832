#include "custom_keys.hpp"

#include <algorithm>
#include <unordered_set>

#include "libmfdata/config_rules.hpp"

namespace mfdata {
namespace {

void add(Problems& problems, const Location& where, std::string text, std::string hint = "") {
  problems.push_back({where, std::move(text), std::move(hint)});
}

// The rule that a [schema.KEY] is for [custom] KEY.
KeyRule rule_of(const std::string& key, const std::string& type) {
  using T = KeyRule::Type;
  const SchemaType* known = find_schema_type(type);
  const T of_value = known ? known->type : T::kString;
  return KeyRule{"custom", key.c_str(), of_value, nullptr, "", nullptr, of_value == T::kInteger || of_value == T::kReal ? -9e18 : 0};
}

template <class Wanted>
std::vector<std::string> keys_of_type(const ConfigValue& tree, Wanted wanted) {
  std::vector<std::string> all;
  const ConfigValue* schema = tree.find("schema");
  if (!schema) return all;
  for (const auto& [key, keys] : schema->table()) {
    const std::string type = SectionReader(ConfigFile::kPlugin, "schema.*", &keys).text("type");
    if (const SchemaType* known = find_schema_type(type); known && wanted(*known)) all.push_back(key);
  }
  return all;
}

}  // namespace

void apply_schema(const ConfigValue& tree, ConfigValue& custom, Problems& problems) {
  const ConfigValue* schema = tree.find("schema");
  if (!schema) return;
  for (const auto& [key, keys] : schema->table()) {
    const SectionReader reader(ConfigFile::kPlugin, "schema.*", &keys);
    KeyRule rule = rule_of(key, reader.text("type"));
    if (reader.raw("min")) rule.min = reader.real("min");
    if (reader.raw("max")) rule.max = reader.real("max");
    if (!custom.find(key) && reader.raw("default")) custom.put(key, *reader.raw("default"));
    ConfigValue* value = custom.find(key);
    if (!value) continue;
    const std::string wrong = complaint(rule, *value);
    const auto choices = reader.strings("choices");
    if (!wrong.empty()) {
      add(problems, value->where(), "[custom] " + key + ' ' + wrong);
    } else if (!choices.empty() && value->kind() == ConfigValue::Kind::kString &&
               std::find(choices.begin(), choices.end(), value->string()) == choices.end()) {
      std::string all;
      for (const std::string& choice : choices) all += (all.empty() ? "" : "|") + choice;
      const auto near = near_miss(value->string(), choices);
      add(problems, value->where(), "[custom] " + key + " is one of " + all + ", not \"" + value->string().substr(0, 40) + '"',
          near ? "did you mean \"" + *near + "\"?" : "");
    } else if (rule.type == KeyRule::Type::kDuration) {
      *value = ConfigValue(*duration_seconds(*value), value->where());
    } else if (rule.type == KeyRule::Type::kSize) {
      *value = ConfigValue(static_cast<std::int64_t>(*size_bytes(*value)), value->where());
    }
  }
}

std::vector<std::string> target_keys(const ConfigValue& tree) { return keys_of_type(tree, [](const SchemaType& type) { return type.is_target; }); }

std::vector<std::string> path_keys(const ConfigValue& tree) { return keys_of_type(tree, [](const SchemaType& type) { return type.is_path; }); }

void check_custom_keys(const std::vector<ConfigValue>& layers, const std::vector<std::string>& of_base, Problems& problems) {
  std::vector<std::string> known = of_base;
  for (const char* section : {"custom", "schema"}) {
    const ConfigValue* keys = layers.front().find(section);
    if (!keys || keys->kind() != ConfigValue::Kind::kTable) continue;
    for (const auto& member : keys->table()) known.push_back(split_variant(member.first).key);
  }
  const std::unordered_set<std::string> known_keys(known.begin(), known.end());
  for (std::size_t i = 1; i < layers.size(); ++i) {
    const ConfigValue* custom = layers[i].find("custom");
    if (!custom || custom->kind() != ConfigValue::Kind::kTable) continue;
    for (const auto& [name, value] : custom->table()) {
      if (known_keys.contains(split_variant(name).key)) continue;
      const auto near = near_miss(split_variant(name).key, known);
      add(problems, value.where(), "the plugin has no key \"" + name + "\" in [custom]", near ? "did you mean \"" + *near + "\"?" : "");
    }
  }
}

}  // namespace mfdata
