#include "base_plugin.hpp"

#include <algorithm>
#include <boost/filesystem/path.hpp>

#include "libmfdata/config_rules.hpp"
#include "libmfdata/home.hpp"
#include "libmfdata/toml_reader.hpp"

namespace mfdata {
namespace {

const ConfigValue* table_of(const ConfigValue& tree, const char* section) {
  const ConfigValue* there = tree.find(section);
  return there && there->kind() == ConfigValue::Kind::kTable ? there : nullptr;
}

std::string text_of(const ConfigValue& tree, const char* path) {
  const ConfigValue* value = tree.at_path(path);
  return value && value->kind() == ConfigValue::Kind::kString ? value->string() : "";
}

bool has(const std::vector<std::string>& all, const std::string& one) {
  return std::find(all.begin(), all.end(), one) != all.end();
}

BasePlugin described(const std::string& name, const std::string& folder, const ConfigValue& tree) {
  BasePlugin base{name, folder, folder + '/' + text_of(tree, "plugin.library"), {}, {}, {}};
  for (const char* section : {"custom", "schema"}) {
    const ConfigValue* keys = table_of(tree, section);
    if (!keys) continue;
    base.layer.put(section, *keys);
    for (const auto& member : keys->table()) {
      base.custom_keys.push_back(split_variant(member.first).key);
    }
  }
  for (const char* kind : {"step", "listener"}) {
    const ConfigValue* all = table_of(tree, kind);
    if (!all) continue;
    for (const auto& [step, keys] : all->table()) {
      const ConfigValue* component = keys.find("component");
      const bool named = component && component->kind() == ConfigValue::Kind::kString;
      base.components.emplace_back(kind, named ? component->string() : step);
    }
  }
  return base;
}

}  // namespace

std::string BasePlugin::component_for(const std::string& kind, const std::string& name) const {
  std::vector<std::string> known;
  for (const auto& [of, component] : components) {
    if (of == kind) known.push_back(component);
  }
  return known.size() == 1 && !has(known, name) ? known.front() : name;
}

std::optional<BasePlugin> base_of(const ConfigValue& own, Problems& problems) {
  const ConfigValue* named = own.at_path("plugin.base");
  if (!named || named->kind() != ConfigValue::Kind::kString) return std::nullopt;
  const std::string& name = named->string();
  const auto refused = [&](const std::string& text, const std::string& hint) {
    problems.push_back({named->where(), "[plugin] base: " + text, hint});
    return std::nullopt;
  };
  if (own.at_path("plugin.library")) {
    return refused("a plugin has a library or a base, not both", "leave one of the two out");
  }
  const std::vector<std::string> known = builtin_plugins();
  if (!has(known, name)) {
    const auto near = near_miss(name, known);
    std::string all;
    for (const std::string& one : known) all += (all.empty() ? "" : ", ") + one;
    return refused("this installation of mfdata has no plugin \"" + name.substr(0, 100) + '"',
                   near ? "did you mean \"" + *near + "\"?" : "it has " + (all.empty() ? "none" : all));
  }
  auto folder = find_builtin_plugin(name);
  if (!folder) return refused(folder.error().text, "");
  auto tree = read_toml((boost::filesystem::path(*folder) / "plugin.toml").string());
  if (!tree) return refused("the plugin \"" + name + "\" cannot be used: " + tree.error().text, "");
  if (text_of(*tree, "plugin.library").empty()) {
    return refused('"' + name + "\" has no library of its own", "name its base");
  }
  return described(name, *folder, *tree);
}

void check_keys_of_base(const ConfigValue& own, const BasePlugin& base, Problems& problems) {
  std::vector<std::string> known = base.custom_keys;
  if (const ConfigValue* schema = table_of(own, "schema")) {
    for (const auto& [key, keys] : schema->table()) {
      if (has(base.custom_keys, split_variant(key).key)) {
        problems.push_back({keys.where(), "[schema." + key + "]: its base " + base.name + " has this key and says what it may be",
                            "write its value into [custom]"});
      }
      known.push_back(split_variant(key).key);
    }
  }
  const ConfigValue* custom = table_of(own, "custom");
  if (!custom) return;
  for (const auto& [key, value] : custom->table()) {
    const std::string plain = split_variant(key).key;
    if (has(known, plain)) continue;
    const auto near = near_miss(plain, known);
    problems.push_back({value.where(), "[custom] " + key + ": its base " + base.name + " has no such key",
                        near ? "did you mean \"" + *near + "\"?" : "a key of your own is declared in [schema." + plain + ']'});
  }
}

}  // namespace mfdata
