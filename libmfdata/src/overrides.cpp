#include "overrides.hpp"

#include <algorithm>
#include <boost/filesystem/operations.hpp>
#include <cctype>
#include <cstring>

#include "libmfdata/config_rules.hpp"
#include "libmfdata/home.hpp"

namespace fs = boost::filesystem;

namespace mfdata {
namespace {

constexpr const char* kSuffix = ".toml";
constexpr const char* kNotCalledSo = "this file is not read: an override is called PLUGIN.toml";

std::string did_you_mean(const std::optional<std::string>& near) {
  return near ? "did you mean \"" + *near + "\"?" : "";
}

std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : ", ") + word;
  return out;
}

std::vector<std::string> names_in(const ConfigValue& layer, const char* kind) {
  std::vector<std::string> names;
  const ConfigValue* section = layer.find(kind);
  if (!section || section->kind() != ConfigValue::Kind::kTable) return names;
  for (const auto& member : section->table()) names.push_back(split_variant(member.first).key);
  return names;
}

void check_names(const ConfigValue& own, const ConfigValue& layer, const std::string& kind,
                 Problems& problems) {
  const std::vector<std::string> known = names_in(own, kind.c_str());
  const ConfigValue* section = layer.find(kind);
  if (!section || section->kind() != ConfigValue::Kind::kTable) return;
  for (const auto& [name, keys] : section->table()) {
    const std::string plain = split_variant(name).key;
    if (std::find(known.begin(), known.end(), plain) != known.end()) continue;
    const auto near = near_miss(plain, known);
    const std::string there = known.empty() ? "it has none" : "it has " + joined(known);
    problems.push_back(
        {keys.where(),
         "the plugin has no " + kind + " \"" + plain + "\", and an override cannot add one",
         near ? did_you_mean(near) : there});
  }
}

// The copies and locks of editors, of dpkg and rpm, what is put aside as NAME.toml.old, and what
// tells people about the folder.
bool is_nothing(const std::string& name) {
  if (name.starts_with('.') || name.starts_with('#') || name.ends_with('~') ||
      name.starts_with("README"))
    return true;
  if (name.find_first_not_of("0123456789") == std::string::npos) return true;
  for (const char* end : {".bak", ".old", ".orig", ".rej", ".save", ".swp", ".swo", ".tmp", ".new",
                          ".off", ".disabled", "-old", "_old", "-dist", "-new", ".rpmnew",
                          ".rpmsave", ".rpmorig"}) {
    if (name.ends_with(end)) return true;
  }
  const std::size_t at = name.find(std::string(kSuffix) + '.');
  if (at == std::string::npos) return false;
  const std::string behind = name.substr(at + std::strlen(kSuffix) + 1);
  return behind.starts_with("dpkg-") ||
         (!behind.empty() && behind.find_first_not_of("0123456789-_T:") == std::string::npos);
}

// Of "NAME.toml.txt" it is NAME.
std::optional<std::string> before_a_suffix_too_many(const std::string& name) {
  const std::size_t at = name.find(std::string(kSuffix) + '.');
  return at == std::string::npos ? std::nullopt : std::optional(name.substr(0, at));
}

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

// "move2" is not "move" or "move1" written wrong, but another of its kind.
bool is_sibling(std::string name, std::string other) {
  for (std::string* one : {&name, &other}) {
    std::erase_if(*one, [](unsigned char c) { return std::isdigit(c); });
  }
  return name.starts_with(other);
}

// The installed plugin that was meant; nothing: another one, which may come.
std::optional<std::string> meant(const std::string& name,
                                 const std::vector<std::string>& installed) {
  for (const std::string& one : installed) {
    if (lower(one) == lower(name)) return one;
  }
  if (find_builtin_plugin(name)) return std::nullopt;
  const auto near = near_miss(name, installed);
  return near && !is_sibling(name, *near) ? near : std::nullopt;
}

}  // namespace

void check_overrides(const std::vector<ConfigValue>& layers, Problems& problems) {
  for (std::size_t i = 1; i < layers.size(); ++i) {
    for (const char* section : {"plugin", "schema"}) {
      if (const ConfigValue* there = layers[i].find(section)) {
        const std::string what =
            '[' + std::string(section) + "] stands in the plugin's own plugin.toml";
        problems.push_back(
            {there->where(), what + ": an override cannot change it", "leave it out"});
      }
    }
    for (const char* kind : {"step", "listener"})
      check_names(layers.front(), layers[i], kind, problems);
  }
}

void check_override_files(const fs::path& folder, const std::vector<std::string>& installed,
                          Problems& problems, Problems& warnings) {
  std::vector<std::string> names;
  boost::system::error_code code;
  for (fs::directory_iterator at(folder, code), end; !code && at != end; at.increment(code)) {
    names.push_back(at->path().filename().string());
  }
  std::sort(names.begin(), names.end());
  const auto is_installed = [&](const std::string& name) {
    return std::find(installed.begin(), installed.end(), name) != installed.end();
  };
  for (const std::string& name : names) {
    if (is_nothing(name)) continue;
    const std::size_t dot = std::min(name.rfind('.'), name.size());
    const std::string stem = name.substr(0, dot), suffix = name.substr(dot);
    if (suffix == kSuffix && is_installed(stem)) continue;
    const Location where{(folder / name).string(), 0, 0, ""};
    if (const auto base = before_a_suffix_too_many(name)) {
      const bool is_copy = std::find(names.begin(), names.end(), *base + kSuffix) != names.end();
      if (is_copy) continue;
      const auto plugin = is_installed(*base) ? base : meant(*base, installed);
      warnings.push_back({where, kNotCalledSo,
                          plugin ? did_you_mean(*plugin + kSuffix) : "", Severity::kWarning});
      continue;
    }
    const auto plugin = is_installed(stem) ? std::optional(stem) : meant(stem, installed);
    const bool nearly = suffix.empty() || suffix == kSuffix || near_miss(lower(suffix), {kSuffix});
    const bool has_its_own =
        plugin && std::find(names.begin(), names.end(), *plugin + kSuffix) != names.end();
    // Only what can be meant for nothing else stops a start: a similar name may be of a plugin that another home has, or that is
    // not there any more.
    const bool certain = plugin && (is_installed(stem) || lower(*plugin) == lower(stem));
    if (certain && nearly && !has_its_own) {
      problems.push_back({where, "this file is not read: it is no override of an installed plugin",
                          did_you_mean(*plugin + kSuffix)});
    } else if (suffix == kSuffix) {
      warnings.push_back({where,
                          "this file is not read: the plugin \"" + stem + "\" is not installed",
                          did_you_mean(plugin), Severity::kWarning});
    } else {
      warnings.push_back({where, kNotCalledSo, "", Severity::kWarning});
    }
  }
}

}  // namespace mfdata
