// explain: what the rules of switch make of a file.
#include <boost/filesystem/operations.hpp>
#include <cstdio>
#include <iostream>
#include <map>
#include <mfdata/content.hpp>
#include <mfdata/routing.hpp>
#include <nlohmann/json.hpp>

#include "commands.hpp"
#include "libmfdata/printable.hpp"
#include "libmfdata/tagged_file.hpp"
#include "operated_home.hpp"
#include "rule_set.hpp"
#include "wire/predicate_process.hpp"

using nlohmann::json;

namespace mfdata::tools {
namespace {

constexpr std::size_t kShownValue = 80;

// The tags of the file, with those of the command line.
Result<TagSet> tags_of(const std::string& path, const std::vector<std::string>& assignments) {
  auto file = TaggedFile::open(path);
  if (!file) return file.error();
  auto context = file->context();
  if (!context && !context.is(Code::kGone)) return context.error();
  TagSet tags = context ? context->tags : TagSet();
  if (!context) std::fprintf(stderr, "mfdata: %s has no tags: each reads as {NOT_FOUND} but for those of --tag\n", printable(path, 200).c_str());
  for (const std::string& assignment : assignments) {
    const std::size_t equals = assignment.find('=');
    if (equals == std::string::npos) return Error{Code::kBadData, 0, "a tag is written NAME=VALUE, not \"" + assignment + '"'};
    MFDATA_TRY(tags.set(assignment.substr(0, equals), assignment.substr(equals + 1)));
  }
  return tags;
}

// The rules addressed to one switch, and what they make of a file.
class Explanation {
 public:
  Explanation(const Settings& settings, const Home& home, std::string name, std::vector<SwitchRule> rules) : switch_(std::move(name)), rules_(std::move(rules)) {
    for (const SwitchRule& rule : rules_) targets_.emplace_back(rule.targets.begin(), rule.targets.end());
    wire::WorkerSettings worker;
    worker.home = home.root.string();
    worker.data_dir = settings.general.data_dir;
    worker.durability = settings.general.durability;
    worker.step.plugin = switch_;
    worker.step.name = "main";
    worker.rules = rules_;
    worker.predicate_timeout_s = settings.general.predicate_timeout_s;
    Problems problems;
    worker.predicates = wire::predicates_of(rules_, settings, home, problems);
    auto program = find_program("mfdata-worker");
    predicates_ = std::make_unique<PredicateProcess>(program ? *program : "mfdata-worker", worker, [](bool, const std::string& text) { fail(text); });
  }

  json of(const std::string& path, const TagSet& tags) {
    json out = {{"switch", switch_}, {"rules", json::array()}, {"targets", json::array()}};
    RuleSet all;
    for (std::size_t i = 0; i < rules_.size(); ++i) {
      RuleSet one;
      std::string problem = one.add(shown(i));
      if (problem.empty()) (void)all.add(shown(i));
      const bool matches = problem.empty() && !one.targets(facts(path, tags, problem)).empty();
      const SwitchRule& rule = rules_[i];
      json row = {{"file", rule.where.file}, {"line", rule.where.line}, {"plugin", rule.plugin}, {"type", rule.type}, {"pattern", rule.pattern},
                  {"match", matches}, {"targets", rule.targets}};
      if (!rule.tag.empty()) {
        row["tag"] = rule.tag;
        row["value"] = tags.get(rule.tag).value_or("{NOT_FOUND}");
      }
      if (!problem.empty()) row["problem"] = problem;
      out["rules"].push_back(std::move(row));
    }
    std::string ignored;
    for (const sdk::Target& target : all.targets(facts(path, tags, ignored))) {
      out["targets"].push_back({{"step", target.step}, {"link_allowed", target.link}});
    }
    return out;
  }

 private:
  sdk::Rule shown(std::size_t i) const { return {i, rules_[i].type, rules_[i].tag, rules_[i].pattern, rules_[i].plugin, "", targets_[i]}; }
  Facts facts(const std::string& path, const TagSet& tags, std::string& problem) {
    return {[&tags](const std::string& name) {
              const auto value = tags.get(name);
              return value ? std::optional<std::string>(*value) : std::nullopt;
            },
            [this, &path, &tags](std::uint64_t rule) -> std::optional<bool> {
              auto [answer, is_new] = answers_.try_emplace(rule);
              if (is_new) answer->second = predicates_->test(static_cast<std::uint32_t>(rule), path, tags, 0);
              return answer->second.code < 0 ? std::nullopt : std::optional(answer->second.code != 0);
            },
            [this, &path](std::size_t size) { return sdk::beginning_of(path, size, content_); },
            [&problem](const std::string&, const std::string& why) { problem = why; }};
  }

  std::string switch_;
  std::vector<SwitchRule> rules_;
  std::vector<std::vector<std::string_view>> targets_;
  std::unique_ptr<PredicateProcess> predicates_;
  std::string content_;  // the first bytes of the file
  std::map<std::uint64_t, wire::Answer> answers_;  // of code rules: each is asked once
};

std::string quoted(const std::string& text) { return '"' + printable(text, kShownValue) + (text.size() > kShownValue ? "..\"" : "\""); }

void print(const json& explained, bool matching_only) {
  std::cout << "rules of " << explained["switch"].get<std::string>() << ":\n";
  for (const json& rule : explained["rules"]) {
    const bool matches = rule["match"].get<bool>();
    if (matching_only && !matches && !rule.contains("problem")) continue;
    std::cout << (matches ? "  match     " : rule.contains("problem") ? "  problem   " : "  no match  ") << rule["file"].get<std::string>() << ':' << rule["line"] << "  "
              << rule["type"].get<std::string>() << ' ' << quoted(rule["pattern"].get<std::string>());
    if (rule.contains("tag")) std::cout << "  " << rule["tag"].get<std::string>() << " = " << quoted(rule["value"].get<std::string>());
    std::cout << "  ->";
    for (const json& target : rule["targets"]) std::cout << ' ' << target.get<std::string>();
    if (rule.contains("problem")) std::cout << "  (" << printable(rule["problem"].get<std::string>(), 200) << ')';
    std::cout << '\n';
  }
  std::cout << "  goes to:";
  for (const json& target : explained["targets"]) std::cout << ' ' << target["step"].get<std::string>() << (target["link_allowed"].get<bool>() ? "*" : "");
  std::cout << (explained["targets"].empty() ? " nowhere (no_match_policy)\n" : "\n");
}

}  // namespace

int explain(const std::string& option, const ExplainOptions& options, bool as_json) {
  auto at = operate(option, Reads::kEverything);
  if (!at) return fail(at.error().text);
  const Settings& settings = at->settings;
  for (const Problem& problem : settings.rule_problems) std::cerr << problem.spell() << '\n';
  auto tags = tags_of(options.file, options.tags);
  if (!tags) return fail(options.file + ": " + tags.error().text);
  std::map<std::string, std::vector<SwitchRule>> by_switch;
  for (const PluginSettings& plugin : settings.plugins) {
    for (const SwitchRule& rule : plugin.rules) by_switch[rule.switch_plugin].push_back(rule);
  }
  if (by_switch.empty() && !as_json) std::cout << "no plugin has rules: see [[switch_rules]] in plugin.toml\n";
  const std::string path = boost::filesystem::absolute(options.file).string();
  json all = json::array();
  for (auto& [name, rules] : by_switch) {
    Explanation explanation(settings, at->home, name, std::move(rules));
    all.push_back(explanation.of(path, *tags));
    if (!as_json) print(all.back(), options.matching_only);
  }
  if (as_json) std::cout << all.dump(2, ' ', false, json::error_handler_t::replace) << '\n';
  return 0;
}

}  // namespace mfdata::tools
