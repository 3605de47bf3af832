// Prints doc/plugin_toml.md, the reference of plugin.toml, from the tables by which plugin.toml is read and checked.
#include <cmath>
#include <cstdio>
#include <iostream>
#include <string>
#include <vector>

#include "libmfdata/config_rules.hpp"

namespace {

using namespace mfdata;  // NOLINT: one program

constexpr const char* kIntroduction = R"(# plugin.toml

<!-- Written by build/tools/plugin_toml_document from the tables of keys in the code. -->

Each plugin folder holds a file `plugin.toml`. It says what the plugin is called, which library it runs by, which steps and
listeners it has, and which keys of its own it knows. The operator changes steps, listeners and `[custom]` in
`etc/plugins.d/NAME.toml`, which has the same keys; `[plugin]` and `[schema]` stand in `plugin.toml` alone. An unknown key is
an error.

Any key may be written with a variant, `key[NAME]`, which holds where `[mfdata] config_name` is `NAME`.
)";

struct Section {
  const char* name;     // in the table of keys; nullptr: it has no table
  const char* heading;
  const char* text;
};
constexpr Section kSections[] = {
    {"plugin", "[plugin]",
     "`name` and `version` have to be there, and one of `library` and `base`. A plugin with a base has no library: it runs by that\n"
     "of a plugin which came with mfdata, and which is looked for whenever the configuration is read. It has steps with names of its\n"
     "own; the keys of `[custom]` are those of its base, and what it writes there are its defaults.\n"},
    {"step.*", "[step.NAME]", "One table for each step. Of a plugin with a base, `component` is the base's only one where it is not written.\n"},
    {"listener.*", "[listener.NAME]", "One table for each listener.\n"},
    {nullptr, "[custom]",
     "The keys of the plugin itself. What stands here is the default; an operator may write only keys that stand here or in\n"
     "`[schema]`. `{home}`, `{data_dir}`, `{plugin_dir}`, `{plugin_name}` and `{step_dir}` are replaced in texts.\n"},
    {"schema.*", "[schema.KEY]", "What is known of a key of `[custom]`: it is checked by that before the plugin sees it.\n"},
    {"switch_rules", "[[switch_rules]]", "Each block holds rules of one type, which say which files come to the steps of this plugin.\n"},
};

std::string number(double value) {
  char text[64];
  if (value == std::floor(value) && std::fabs(value) < 1e15) {
    std::snprintf(text, sizeof text, "%.0f", value);
  } else {
    std::snprintf(text, sizeof text, "%g", value);
  }
  return text;
}

std::string code(const std::string& text) { return '`' + text + '`'; }

// "|" ends a cell of a table.
std::string cell(const std::string& text) {
  std::string out;
  for (const char c : text) out += c == '|' ? std::string("\\|") : std::string(1, c);
  return out;
}

std::string range_of(const KeyRule& rule) {
  std::string text;
  for (const std::string& choice : choices_of(rule)) {
    text += (text.empty() ? "" : ", ") + (choice.empty() ? "empty" : code(choice));
  }
  using Type = KeyRule::Type;
  const bool is_number = rule.type == Type::kInteger || rule.type == Type::kReal || rule.type == Type::kDuration ||
                         rule.type == Type::kSize;
  if (!is_number || rule.min < -1e18) return text;
  const std::string unit = rule.type == Type::kDuration ? " s" : rule.type == Type::kSize ? " bytes" : "";
  if (rule.max > 1e18) return "at least " + number(rule.min) + unit;
  return number(rule.min) + " to " + number(rule.max) + unit;
}

std::string default_of(const KeyRule& rule) {
  if (!rule.preset) return "none";
  using Type = KeyRule::Type;
  const bool is_text = rule.type == Type::kString;
  const bool is_list = rule.type == Type::kStrings || rule.type == Type::kArgv;
  const std::string text = rule.preset;
  if (is_text) return code('"' + text + '"');
  return is_list && text.empty() ? code("[]") : code(text);
}

std::string type_of(const KeyRule& rule) {
  const std::string name = type_name(rule.type);
  return name.substr(0, name.find(':'));
}

void print_table(const char* section) {
  std::cout << "\n| key | type | default | range | meaning |\n|---|---|---|---|---|\n";
  for (const KeyRule& rule : key_rules(ConfigFile::kPlugin)) {
    if (std::string_view(rule.section) != section) continue;
    std::cout << "| " << code(rule.key) << " | " << cell(type_of(rule)) << " | " << cell(default_of(rule)) << " | "
              << cell(range_of(rule)) << " | " << cell(rule.help) << " |\n";
  }
}

void print_schema_types() {
  std::cout << "\nThe types, and the two ways to write a duration and a size everywhere in this file:\n"
            << "\n| type | what the key takes |\n|---|---|\n";
  for (const SchemaType& type : schema_types()) {
    std::cout << "| " << code(type.name) << " | " << cell(type.help) << " |\n";
  }
}

}  // namespace

int main() {
  std::cout << kIntroduction;
  for (const Section& section : kSections) {
    std::cout << "\n## " << section.heading << "\n" << section.text;
    if (section.name) print_table(section.name);
    if (section.name && std::string_view(section.name) == "schema.*") print_schema_types();
  }
  return std::cout.flush() ? 0 : 1;
}
