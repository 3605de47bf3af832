#include "rule_set.hpp"

#include <algorithm>

namespace sdk = mfdata::sdk;

namespace {

constexpr const char* kMissing = "{NOT_FOUND}";  // how a tag reads that the file does not have

}  // namespace

std::size_t RuleSet::target_number(const std::string& step) {
  const auto [place, is_new] = step_numbers_.try_emplace(step, steps_.size());
  if (is_new) steps_.push_back(step);
  return place->second;
}

std::string RuleSet::add(const sdk::Rule& rule) {
  Rule mine;
  mine.where = rule.where;
  mine.text = rule.pattern;
  mine.index = rule.index;
  mine.is_code = rule.type == "plugin";
  mine.negated = rule.type.starts_with("not");
  const std::string_view kind = mine.negated ? rule.type.substr(3) : rule.type;
  if (kind == "fnmatch") mine.pattern = Pattern::shell(rule.pattern);
  if (kind == "regex") mine.pattern = Pattern::regex(rule.pattern);
  if (mine.pattern && !mine.pattern->error().empty()) return mine.pattern->error();
  const std::size_t number = rules_.size();
  if (kind == "bytes") {
    if (std::string wrong = add_content_rule(mine, number); !wrong.empty()) return wrong;
  } else if (kind == "alwaystrue" || mine.is_code) {
    unconditional_.push_back(number);
  } else if (!mine.pattern && kind != "equal") {
    return "unknown type \"" + std::string(rule.type) + '"';
  } else {
    OfTag& of_tag = tags_[std::string(rule.tag)];
    if (!mine.negated && kind == "equal") {
      of_tag.equal[mine.text].push_back(number);
    } else if (const std::string_view prefix = kind == "fnmatch" ? shell_prefix(rule.pattern) : kind == "regex" ? regex_prefix(rule.pattern) : std::string_view();
               !mine.negated && !prefix.empty()) {
      of_tag.beginnings[prefix.size()][std::string(prefix)].push_back(number);
    } else if (const std::string_view suffix = kind == "fnmatch" ? shell_suffix(rule.pattern) : std::string_view(); !mine.negated && !suffix.empty()) {
      of_tag.ends[suffix.size()][std::string(suffix)].push_back(number);
    } else {
      of_tag.others.push_back(number);
    }
  }
  for (const std::string_view text : rule.targets) {
    const sdk::Target target = sdk::Target::parse(text);
    mine.targets.emplace_back(target_number(target.step), target.link);
  }
  rules_.push_back(std::move(mine));
  return "";
}

std::string RuleSet::add_content_rule(Rule& rule, std::size_t number) {
  rule.bytes = std::make_unique<sdk::BytesPattern>(rule.text);
  if (!rule.bytes->error().empty()) return rule.bytes->error();
  content_size_ = std::max(content_size_, rule.bytes->end());
  const std::string_view literal = rule.bytes->literal();
  (rule.negated || literal.empty() ? other_contents_ : contents_[rule.bytes->offset()][literal.size()][std::string(literal)]).push_back(number);
  return "";
}

void RuleSet::match_content(const Facts& facts, Numbers& matching) const {
  if (content_size_ == 0) return;
  const std::optional<std::string_view> content = facts.content(content_size_);
  if (!content) {
    const auto first = std::find_if(rules_.begin(), rules_.end(), [](const Rule& rule) { return rule.bytes != nullptr; });
    return facts.problem(first->where, "the content of the file cannot be read");
  }
  const auto try_all = [&](const Numbers& numbers) {
    std::copy_if(numbers.begin(), numbers.end(), std::back_inserter(matching),
                 [&](std::size_t number) { return rules_[number].bytes->matches(*content) != rules_[number].negated; });
  };
  for (const auto& [offset, by_length] : contents_) {
    for (const auto& [length, by_bytes] : by_length) {
      if (offset + length > content->size()) break;
      if (const auto found = by_bytes.find(std::string(content->substr(offset, length))); found != by_bytes.end()) try_all(found->second);
    }
  }
  try_all(other_contents_);
}

bool RuleSet::holds(const Rule& rule, const Subject& subject, const Facts& facts) const {
  const std::optional<bool> found = rule.pattern ? rule.pattern->matches(subject) : rule.text == subject.text;
  if (!found) facts.problem(rule.where, "\"" + rule.text.substr(0, 100) + "\" cannot be matched within its limits");
  return found && *found != rule.negated;
}

void RuleSet::match(const OfTag& rules, const std::string& value, const Facts& facts, Numbers& matching) const {
  if (const auto equal = rules.equal.find(value); equal != rules.equal.end()) {
    matching.insert(matching.end(), equal->second.begin(), equal->second.end());
  }
  const Subject subject(value);
  const auto try_all = [&](const Numbers& numbers) {
    std::copy_if(numbers.begin(), numbers.end(), std::back_inserter(matching), [&](std::size_t number) { return holds(rules_[number], subject, facts); });
  };
  for (const auto& [length, by_text] : rules.beginnings) {
    if (length > value.size()) break;
    if (const auto found = by_text.find(value.substr(0, length)); found != by_text.end()) try_all(found->second);
  }
  for (const auto& [length, by_text] : rules.ends) {
    if (length > value.size()) break;
    if (const auto found = by_text.find(value.substr(value.size() - length)); found != by_text.end()) try_all(found->second);
  }
  try_all(rules.others);
}

std::vector<sdk::Target> RuleSet::targets(const Facts& facts) const {
  Numbers matching;
  for (const std::size_t number : unconditional_) {
    const Rule& rule = rules_[number];
    const std::optional<bool> holds = rule.is_code ? facts.code(rule.index) : true;
    if (!holds) facts.problem(rule.where, '"' + rule.text.substr(0, 100) + "\" cannot tell");
    if (holds.value_or(false)) matching.push_back(number);
  }
  match_content(facts, matching);
  for (const auto& [tag, rules] : tags_) match(rules, facts.tag(tag).value_or(kMissing), facts, matching);
  std::sort(matching.begin(), matching.end());
  std::vector<sdk::Target> all;
  std::unordered_map<std::size_t, std::size_t> places;  // a target named twice is one, and a link only if all say so
  for (const std::size_t number : matching) {
    for (const auto& [step, link] : rules_[number].targets) {
      const auto [place, is_new] = places.try_emplace(step, all.size());
      if (is_new) all.push_back({steps_[step], true});
      all[place->second].link = all[place->second].link && link;
    }
  }
  return all;
}
