// switch: gives each file to the steps whose rules match its tags (the [[switch_rules]] of all plugins).
#include <mfdata/content.hpp>
#include <mfdata/routing.hpp>

#include "rule_set.hpp"

namespace sdk = mfdata::sdk;

class Switch : public sdk::Step {
 public:
  explicit Switch(const sdk::Context& context)
      : Step(context),
        rules_(context),
        undecided_(sdk::Metric::counter(context, "undecided_rules_total", "Rules that could not be evaluated and counted as no match", {"rule"})) {
    if (context.flag("no_match_keep_original_basename", false)) {
      context.warning("no_match_keep_original_basename has no effect: the note of each kept file names it (mfdata trash list --name PATTERN)");
    }
    for (std::uint64_t i = 0; i < rules_.count(); ++i) {
      const sdk::Rule rule = rules_.get(i);
      if (const std::string wrong = set_.add(rule); !wrong.empty()) context.error("a rule is left out: " + std::string(rule.where) + ": " + wrong);
    }
    context.info(std::to_string(rules_.count()) + " rules");
  }

  sdk::Result process(sdk::File& file) override {
    std::string undecided;
    const std::vector<sdk::Target> targets = set_.targets(facts_of(file, undecided));
    // What nobody could tell is no reason to delete it.
    if (targets.empty() && !undecided.empty()) return sdk::Result::fail("no rule matches, but one could not be evaluated: " + undecided);
    if (targets.empty()) return sdk::Result::skip("no rule matches" + description(file));  // the host applies no_match_policy
    std::vector<std::string> missing;
    sdk::send_to_all(file, targets, &missing);
    for (const std::string& step : missing) file.context().warning("a rule names the step \"" + step + "\", which is not there: the file went to the others alone");
    return sdk::Result::ok();
  }

 private:
  Facts facts_of(const sdk::File& file, std::string& undecided) {
    return {[&file](const std::string& tag) { return file.tag(tag); },
            [this, &file](std::uint64_t rule) { return rules_.test(rule, file); },
            [this, &file](std::size_t size) {
              const auto content = sdk::beginning_of(file.path(), size, content_);
              // No reason to give it to the targets of the other rules alone.
              if (!content) throw sdk::Error(MFDATA_E_IO, "cannot read the first bytes of the file");
              return content;
            },
            [this, &file, &undecided](const std::string& where, const std::string& why) {
              undecided = where + ": " + why;
              undecided_.add(1, {where});
              file.context().warning("a rule counts as no match: " + undecided);
            }};
  }

  // What an operator needs to write the rule that is missing.
  static std::string description(const sdk::File& file) {
    constexpr std::size_t kShown = 200;
    std::string text;
    for (const auto& [word, tag] : {std::pair("", "first.core.original_basename"), std::pair("system_magic ", "latest.guess_file_type.main.system_magic")}) {
      const std::optional<std::string> value = file.tag(tag);
      if (value) text += (text.empty() ? ": " : ", ") + std::string(word) + '"' + value->substr(0, kShown) + (value->size() > kShown ? "..\"" : "\"");
    }
    return text;
  }

  sdk::Rules rules_;
  RuleSet set_;
  sdk::Metric undecided_;
  std::string content_;  // the first bytes of the file in hand, where a rule looks at them
};

MFDATA_PLUGIN("switch", "1.0.0", "gives each file to the steps whose rules match", "BSD-3-Clause",
              sdk::step<Switch>("main", "evaluates the rules of all plugins and passes the file on"))
