#include "libmfdata/switch_rules.hpp"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <array>
#include <mfdata/bytes_pattern.hpp>
#include <mfdata/python_regex.hpp>

#include "libmfdata/config_rules.hpp"
#include "libmfdata/tag_set.hpp"

namespace mfdata {
namespace {

constexpr const char* kSection = "switch_rules";

bool has_no_tag(const std::string& type) { return type == "alwaystrue" || type == "plugin" || type.ends_with("bytes"); }

void add(Problems& problems, const Location& where, std::string text, std::string hint = "") {
  problems.push_back({where, "[[switch_rules]]: " + std::move(text), std::move(hint)});
}

std::string did_you_mean(const std::string& word, const std::vector<std::string>& known) {
  const auto near = near_miss(word, known);
  return near ? "did you mean \"" + *near + "\"?" : "";
}

// Why a pattern is no regular expression of Python, or none that PCRE2 can match; empty: it is one.
std::string regex_complaint(const std::string& pattern) {
  const sdk::PythonRegex regex = sdk::python_regex(pattern, true);
  if (!regex.error.empty()) return regex.error;
  int error = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code* code = ::pcre2_compile(reinterpret_cast<PCRE2_SPTR>(regex.expression.data()), regex.expression.size(),
                                     PCRE2_UTF | PCRE2_ANCHORED | PCRE2_DOTALL, &error, &offset, nullptr);
  ::pcre2_code_free(code);
  if (code) return "";
  std::array<PCRE2_UCHAR, 256> text{};
  ::pcre2_get_error_message(error, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

// What is wrong with the pattern of a rule; empty: nothing.
std::string complaint(const SwitchRule& rule) {
  const std::string shown = '"' + rule.pattern.substr(0, 100) + '"';
  if (rule.type == "plugin" && !parse_predicate_call(rule.pattern)) {
    return shown + " is no predicate with its arguments, as in \"is_synop\" or \"is_synop(AAXX)\"";
  }
  if (rule.type.ends_with("bytes")) {
    const std::string error = sdk::BytesPattern(rule.pattern).error();
    return error.empty() ? "" : "the bytes " + shown + " are wrong: " + error;
  }
  const std::string wrong = rule.type.ends_with("regex") ? regex_complaint(rule.pattern) : "";
  return wrong.empty() ? "" : "the regular expression " + shown + " is wrong: " + wrong;
}

// The text of a key of a block; empty when it is missing or no text (then a problem, if it must be there).
std::string text_of(const ConfigValue& block, const char* key, bool required, Problems& problems) {
  const ConfigValue* value = block.find(key);
  if (value && value->kind() == ConfigValue::Kind::kString && !value->string().empty()) return value->string();
  if (value) add(problems, value->where(), std::string(key) + " is a text that is not empty");
  if (!value && required) add(problems, block.where(), std::string(key) + " is missing");
  return "";
}

// "step", "step*", "plugin/step" or "plugin/step*" as the last two.
std::string full_target(const std::string& plugin, const std::string& target) {
  return target.find('/') == std::string::npos ? plugin + '/' + target : target;
}

// The rules of one block, without their patterns and targets; nothing: it has a problem of its own.
bool read_block(const ConfigValue& block, SwitchRule& rule, Problems& problems) {
  const std::size_t before = problems.size();
  if (block.kind() != ConfigValue::Kind::kTable) {
    add(problems, block.where(), std::string("a block is a table, not ") + block.kind_name());
    return false;
  }
  static const std::vector<std::string> kKeys = keys_of(ConfigFile::kPlugin, kSection);
  static const std::vector<std::string> kTypes = choices_of(*find_rule(ConfigFile::kPlugin, kSection, "type"));
  for (const auto& [key, value] : block.table()) {
    if (std::find(kKeys.begin(), kKeys.end(), key) == kKeys.end()) add(problems, value.where(), "unknown key \"" + key + '"', did_you_mean(key, kKeys));
  }
  rule.type = text_of(block, "type", true, problems);
  if (!rule.type.empty() && std::find(kTypes.begin(), kTypes.end(), rule.type) == kTypes.end()) {
    add(problems, block.find("type")->where(), "unknown type \"" + rule.type + '"', did_you_mean(rule.type, kTypes));
  }
  rule.tag = text_of(block, "tag", !has_no_tag(rule.type), problems);
  if (has_no_tag(rule.type) && block.find("tag")) add(problems, block.find("tag")->where(), "a rule of type " + rule.type + " has no tag");
  if (!rule.tag.empty() && !TagSet::valid_name(rule.tag)) add(problems, block.find("tag")->where(), "\"" + rule.tag + "\" is no name of a tag");
  if (const ConfigValue* value = block.find("switch")) {
    rule.switch_plugin = text_of(block, "switch", true, problems);
    rule.switch_where = value->where();
  }
  const ConfigValue* rules = block.find("rules");
  if (!rules || rules->kind() != ConfigValue::Kind::kTable) {
    add(problems, rules ? rules->where() : block.where(), "rules is a table: { \"pattern\" = [\"step\"] }");
  }
  return problems.size() == before;
}

bool read_targets(const ConfigValue& value, SwitchRule& rule, Problems& problems) {
  const std::size_t before = problems.size();
  if (value.kind() != ConfigValue::Kind::kArray || value.array().empty()) {
    add(problems, value.where(), "the targets of \"" + rule.pattern + "\" are an array: [\"step\", \"plugin/step*\"]");
    return false;
  }
  for (const ConfigValue& target : value.array()) {
    if (target.kind() != ConfigValue::Kind::kString) {
      add(problems, target.where(), std::string("a target is a text, not ") + target.kind_name());
    } else if (step_of_target(target.string()).empty()) {
      add(problems, target.where(), "a target of \"" + rule.pattern + "\" is empty", "write \"step\" or \"plugin/step\"");
    } else {
      rule.targets.push_back(full_target(rule.plugin, target.string()));
    }
  }
  return problems.size() == before;
}

}  // namespace

std::optional<PredicateCall> parse_predicate_call(const std::string& pattern) {
  static constexpr std::string_view kBlank = " \t";
  static constexpr std::string_view kWord = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
  PredicateCall call;
  const std::size_t open = std::min(pattern.find_first_not_of(kWord), pattern.size());
  call.predicate = pattern.substr(0, open);
  if (call.predicate.empty()) return std::nullopt;
  if (open == pattern.size()) return call;
  if (pattern[open] != '(') return std::nullopt;
  std::size_t at = pattern.find_first_not_of(kBlank, open + 1);
  if (at == pattern.size() - 1 && pattern[at] == ')') return call;
  while (at < pattern.size()) {
    std::string argument;
    if (pattern[at] == '"') {
      for (++at; at < pattern.size() && pattern[at] != '"'; ++at) {
        if (pattern[at] == '\\' && at + 1 < pattern.size()) ++at;
        argument += pattern[at];
      }
      at = pattern.find_first_not_of(kBlank, at + 1);
    } else {
      const std::size_t end = pattern.find_first_of(",)\"(", at);
      if (end == std::string::npos) return std::nullopt;
      argument = pattern.substr(at, end - at);
      argument.erase(argument.find_last_not_of(kBlank) + 1);
      if (argument.empty()) return std::nullopt;
      at = end;
    }
    if (at >= pattern.size()) return std::nullopt;
    call.arguments.push_back(std::move(argument));
    if (pattern[at] == ')') return at + 1 == pattern.size() ? std::optional(call) : std::nullopt;
    if (pattern[at] != ',') return std::nullopt;
    at = pattern.find_first_not_of(kBlank, at + 1);
  }
  return std::nullopt;
}

std::string step_of_target(const std::string& target) { return target.ends_with('*') ? target.substr(0, target.size() - 1) : target; }

std::vector<SwitchRule> switch_rules(const std::string& plugin, const ConfigValue& tree, Problems& problems) {
  std::vector<SwitchRule> all;
  const ConfigValue* blocks = tree.find("switch_rules");
  if (!blocks || blocks->kind() != ConfigValue::Kind::kArray) return all;
  for (const ConfigValue& block : blocks->array()) {
    SwitchRule common;
    common.plugin = plugin;
    common.switch_plugin = kDefaultSwitch;
    if (!read_block(block, common, problems)) continue;
    for (const auto& [pattern, targets] : block.find("rules")->table()) {
      SwitchRule rule = common;
      rule.where = targets.where();
      rule.pattern = pattern;
      if (!read_targets(targets, rule, problems)) continue;
      if (const std::string wrong = complaint(rule); !wrong.empty()) {
        add(problems, rule.where, wrong);
      } else {
        all.push_back(std::move(rule));
      }
    }
  }
  return all;
}

}  // namespace mfdata
