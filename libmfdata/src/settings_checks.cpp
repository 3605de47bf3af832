#include "settings_checks.hpp"

#include <algorithm>
#include <filesystem>
#include <map>
#include <unordered_map>

#include "libmfdata/spool_layout.hpp"

namespace fs = std::filesystem;

namespace mfdata {
namespace {

void add(Problems& problems, const Location& where, std::string text, std::string hint = "") {
  problems.push_back({where, std::move(text), std::move(hint)});
}

// The steps that there are, found at once: rules name them by the ten thousand. A name that is none of them is compared with all
// of them once, however often it is written.
class KnownSteps {
 public:
  explicit KnownSteps(const Settings& settings) {
    for (const PluginSettings& plugin : settings.plugins) {
      for (const StepSettings& step : plugin.steps) {
        if (step.kind == WorkerKind::kStep && steps_.emplace(step.slashed(), &step).second) names_.push_back(step.slashed());
      }
    }
  }

  const StepSettings* find(const std::string& slashed) const {
    const auto known = steps_.find(slashed);
    return known == steps_.end() ? nullptr : known->second;
  }
  const std::string& did_you_mean(const std::string& step) {
    const auto [hint, is_new] = hints_.try_emplace(step);
    if (!is_new) return hint->second;
    if (const auto near = near_miss(step, names_)) hint->second = "did you mean \"" + *near + "\"?";
    return hint->second;
  }

 private:
  std::unordered_map<std::string, const StepSettings*> steps_;
  std::vector<std::string> names_;
  std::unordered_map<std::string, std::string> hints_;
};

// "a/main", "a/main and b/main", "a/main, b/main, c/main and 7 more".
std::string listed(const std::vector<std::string>& steps) {
  constexpr std::size_t kShown = 3;
  std::string out;
  for (std::size_t i = 0; i < std::min(steps.size(), kShown); ++i) {
    out += (i == 0 ? "" : i + 1 == steps.size() ? " and " : ", ") + steps[i];
  }
  return steps.size() > kShown ? out + " and " + std::to_string(steps.size() - kShown) + " more" : out;
}

// The steps of a plugin's [custom] keys that name steps, each with the value that names it.
std::vector<std::pair<std::string, const ConfigValue*>> custom_targets(const PluginSettings& plugin, const ConfigValue& custom,
                                                                       const std::string& key) {
  std::vector<std::pair<std::string, const ConfigValue*>> targets;
  const ConfigValue* value = custom.find(key);
  if (!value) return targets;
  const bool many = value->kind() == ConfigValue::Kind::kArray;
  const auto take = [&](const ConfigValue& one) {
    if (one.kind() != ConfigValue::Kind::kString) return;
    const std::string target = many ? step_of_target(one.string()) : one.string();
    if (target.empty() || target[0] == '/') return;
    targets.emplace_back(target.find('/') == std::string::npos ? plugin.name + '/' + target : target, &one);
  };
  if (!many) take(*value);
  if (many) std::for_each(value->array().begin(), value->array().end(), take);
  return targets;
}

// A file that such a rule sends on is asked about again, with the tags that it had: it goes round.
bool goes_round(const SwitchRule& rule, const std::string& target, const Settings& settings) {
  if (target.starts_with(rule.switch_plugin + '/')) return true;
  if (target != settings.general.entry_step) return false;
  const PluginSettings* plugin = settings.find_plugin(target.substr(0, target.find('/')));
  if (!plugin) return false;
  return std::any_of(plugin->target_keys.begin(), plugin->target_keys.end(), [&](const std::string& key) {
    const auto targets = custom_targets(*plugin, plugin->custom, key);
    return std::any_of(targets.begin(), targets.end(), [&](const auto& one) { return one.first.starts_with(rule.switch_plugin + '/'); });
  });
}

// Warnings of the rules of one plugin: what a thousand of them have in common is said once, where the first one stands.
class RuleWarnings {
 public:
  void add(const Location& where, const std::string& text, const char* hint) {
    const auto [known, fresh] = by_text_.try_emplace(text, all_.size());
    if (fresh) all_.push_back({where, text, hint, 0});
    ++all_[known->second].rules;
  }
  void give_to(Settings& settings) const {
    for (const Warning& one : all_) {
      const std::size_t more = one.rules - 1;
      const std::string others = more == 0 ? "" : " (so with " + std::to_string(more) + (more == 1 ? " other rule)" : " other rules)");
      settings.warn(one.where, one.text + others, one.hint);
    }
  }

 private:
  struct Warning {
    Location where;
    std::string text;
    const char* hint;
    std::size_t rules;
  };
  std::vector<Warning> all_;
  std::unordered_map<std::string, std::size_t> by_text_;
};

// What works, but not as whoever wrote the rule thinks.
void check_rule_effect(const SwitchRule& rule, const Settings& settings, const KnownSteps& known, RuleWarnings& warnings) {
  std::vector<std::string> idle, round;
  for (const std::string& target : rule.targets) {
    const std::string step = step_of_target(target);
    const StepSettings* there = known.find(step);
    if (there && there->numprocesses == 0) idle.push_back(step);
    if (there && goes_round(rule, step, settings)) round.push_back(step);
  }
  if (!idle.empty()) {
    warnings.add(rule.where, "[[switch_rules]]: what this rule gives to " + listed(idle) + " waits there, untreated: numprocesses = 0", "");
  }
  if (!round.empty()) {
    warnings.add(rule.where,
                 "[[switch_rules]]: what this rule gives to " + listed(round) + " comes to this rule again, until [loader] step_limit",
                 "name a step that does something with the file");
  }
}

// A rule for a switch that is not there is a bad one. One with a target that is not there still says where a file should go:
// the switch keeps what has no other place.
void check_rule_targets(Settings& settings, KnownSteps& known) {
  std::vector<std::string> plugins;
  for (const PluginSettings& plugin : settings.plugins) plugins.push_back(plugin.name);
  for (PluginSettings& plugin : settings.plugins) {
    Problems& problems = plugin.rule_problems;
    RuleWarnings warnings;
    std::erase_if(plugin.rules, [&](const SwitchRule& rule) {
      check_rule_effect(rule, settings, known, warnings);
      for (const std::string& target : rule.targets) {
        const std::string step = step_of_target(target);
        if (known.find(step)) continue;
        add(settings.target_problems, rule.where, "[[switch_rules]]: there is no step \"" + step + '"', known.did_you_mean(step));
      }
      const bool no_switch = rule.switch_plugin != kDefaultSwitch && !settings.find_plugin(rule.switch_plugin);
      if (no_switch) {
        const auto near = near_miss(rule.switch_plugin, plugins);
        add(problems, rule.switch_where, "[[switch_rules]]: there is no plugin \"" + rule.switch_plugin + "\" to evaluate the rule",
            near ? "did you mean \"" + *near + "\"?" : "");
      }
      return no_switch;
    });
    warnings.give_to(settings);
    settings.rule_problems.insert(settings.rule_problems.end(), problems.begin(), problems.end());
  }
}

// Whether a rule compares a tag that a step sets which is not there, so that it reads {NOT_FOUND} for ever. Only what is certain.
bool compares_nothing(const SwitchRule& rule, const Settings& settings) {
  const bool literal = rule.type == "equal" ? rule.pattern != "{NOT_FOUND}" : rule.type == "fnmatch" && rule.pattern.find_first_of("*?[{") != 0;
  constexpr std::string_view kLatest = "latest.";
  if (!literal || !rule.tag.starts_with(kLatest) || rule.tag.starts_with("latest.core.")) return false;
  const std::size_t plugin = kLatest.size(), step = rule.tag.find('.', plugin) + 1, name = rule.tag.find('.', step);
  if (step == 0 || name == std::string::npos) return false;
  const std::string setter = rule.tag.substr(plugin, step - 1 - plugin) + '/' + rule.tag.substr(step, name - step);
  return !setter.ends_with("_reinject") && !settings.find_step(setter);
}

// A switch whose files go nowhere, whatever they are: nobody has a rule for it, or none that can match and has a place.
void check_switches(Settings& settings) {
  for (const PluginSettings& plugin : settings.plugins) {
    if (!plugin.custom.find(kNoMatchPolicy) || plugin.steps.empty()) continue;
    bool has_rules = false, has_targets = false, can_match = false;
    for (const PluginSettings& other : settings.plugins) {
      for (const SwitchRule& rule : other.rules) {
        if (rule.switch_plugin != plugin.name) continue;
        has_rules = true;
        const bool there = std::any_of(rule.targets.begin(), rule.targets.end(), [&](const std::string& target) { return settings.find_step(step_of_target(target)); });
        has_targets = has_targets || there;
        can_match = can_match || (there && !compares_nothing(rule, settings));
      }
    }
    if (can_match) continue;
    const char* why = !has_rules     ? "no installed plugin has a rule for it"
                      : !has_targets ? "no rule for it has a target that is there"
                                     : "no rule for it can ever match: the steps that set their tags are not installed";
    settings.warn({}, plugin.name + ": " + why + ": every file " + (plugin.steps.front().keep_unmatched ? "ends in trash, unmatched" : "is deleted"),
                  "write [[switch_rules]] in etc/plugins.d/NAME.toml of a plugin that takes files; " +
                      std::string(settings.find_plugin("archive")
                                      ? "for every file in archive.toml: [[switch_rules]], type = \"alwaystrue\", rules = { \"\" = [\"main\"] }"
                                      : "mfdata-plugin install archive installs one"));
  }
}

std::string comes_to_idle(const std::string& step) { return "what comes to " + step + " waits there, untreated: numprocesses = 0"; }

// Keys of [custom] whose [schema] says that they name steps. Nothing ("") and an absolute directory are for the plugin to judge.
void check_custom(Settings& settings, const Home& home, KnownSteps& known, Problems& problems) {
  for (const PluginSettings& plugin : settings.plugins) {
    find_misspelt(plugin, settings, home);
    // Secrets that are not there are found now, not when a worker starts.
    const std::string step_of_it = plugin.steps.empty() ? "" : plugin.steps.front().dotted();
    const std::size_t before = problems.size();
    const ConfigValue custom = resolved_custom(plugin, settings, home, step_of_it, problems);
    const auto is_told = [&](const ConfigValue& value) {  // a text with a word that nobody knows names no step either
      return std::any_of(problems.begin() + static_cast<std::ptrdiff_t>(before), problems.end(),
                         [&](const Problem& problem) { return problem.where.spell() == value.where().spell(); });
    };
    for (const std::string& key : plugin.target_keys) {
      const std::string what = plugin.name + ": [custom] " + key + ": ";
      for (const auto& [step, value] : custom_targets(plugin, custom, key)) {
        const StepSettings* there = known.find(step);
        if (is_told(*value)) continue;
        if (!there) add(settings.target_problems, value->where(), what + "there is no step \"" + step + '"', known.did_you_mean(step));
        if (there && there->numprocesses == 0) settings.warn(value->where(), what + comes_to_idle(step));
      }
    }
  }
}

void check_entry(Settings& settings, KnownSteps& known, Problems& problems) {
  const std::string& entry = settings.general.entry_step;
  const Location& where = settings.general.entry_where;
  if (entry.empty()) return add(problems, where, "[data] entry_step is empty: it takes what arrives, write \"plugin/step\"");
  const StepSettings* there = known.find(entry);
  if (!there) return add(problems, where, "[data] entry_step: there is no step \"" + entry + '"', known.did_you_mean(entry));
  if (there->numprocesses > 0) return;
  settings.warn(where, "[data] entry_step: what arrives waits before " + entry + ", untreated: numprocesses = 0");
}

constexpr const char* kMoveKey = "failure_policy_move_dest_dir";

void check_failure_policy(const StepSettings& step, Settings& settings, KnownSteps& known, Problems& problems) {
  const std::string what = step.slashed() + ": " + kMoveKey;
  const Location& where = step.where_of(kMoveKey);
  if (step.failure_policy != FailurePolicy::kMove) {
    if (!step.failure_target.empty()) settings.warn(where, what + " has no effect without failure_policy = \"move\"");
    return;
  }
  if (step.failure_target.empty()) {
    return add(problems, step.where_of("failure_policy"),
               step.slashed() + ": failure_policy = \"move\" needs " + kMoveKey + ": \"plugin/step\", or an absolute directory");
  }
  if (step.failure_target.starts_with('/')) return;
  const StepSettings* there = known.find(step.failure_target);
  if (!there) {
    return add(problems, where, what + ": there is no step \"" + step.failure_target + '"', known.did_you_mean(step.failure_target));
  }
  if (there == &step) settings.warn(where, what + ": a file that fails comes back to the same step, until [loader] step_limit");
  if (there->numprocesses == 0) settings.warn(where, what + ": " + comes_to_idle(there->slashed()));
}

// What the operator has written of retries; a plugin's own file may prepare it.
void check_retries(const StepSettings& step, const std::string& folder, Settings& settings) {
  for (const char* key : {"retry_min_wait", "retry_max_wait", "retry_backoff"}) {
    if (step.retry.total > 0 || !step.has(key) || step.where_of(key).file.starts_with(folder + '/')) continue;
    settings.warn(step.where_of(key), step.slashed() + ": " + key + " has no effect without retry_total");
  }
  if (step.retry.total > 0 && step.retry.min_wait_s > step.retry.max_wait_s) {
    settings.warn(step.where_of(step.has("retry_max_wait") ? "retry_max_wait" : "retry_min_wait"),
                  step.slashed() + ": retry_min_wait is longer than retry_max_wait, which wins");
  }
}

// An entrance that the configuration names.
struct Entrance {
  std::string directory;
  Location where;
  const StepSettings* step;  // nullptr: of [data.watch.NAME] alone
};

std::vector<Entrance> entrances_of(const Settings& settings) {
  std::vector<Entrance> all;
  for (const PluginSettings& plugin : settings.plugins) {
    for (const StepSettings& step : plugin.steps) {
      for (std::size_t i = 0; i < step.watched_directories.size(); ++i) {
        all.push_back({step.watched_directories[i], step.where_of("watched_directories[" + std::to_string(i) + ']'), &step});
      }
    }
  }
  for (const WatchSettings& watch : settings.general.watches) all.push_back({watch.directory, watch.where, nullptr});
  return all;
}

// Without links and dots, whether it is there or not.
fs::path real(const fs::path& path) {
  std::error_code code;
  const fs::path canonical = fs::weakly_canonical(path, code);
  return code ? path.lexically_normal() : canonical;
}

// What is wrong with an entrance; empty: nothing. `data`: the data directory.
std::string complaint(const Entrance& entrance, const fs::path& data) {
  const std::string shown = '"' + entrance.directory + "\" cannot be watched: ";
  const fs::path place = real(data / entrance.directory), inside = place.lexically_relative(data);
  if (entrance.directory.empty() || place == data) return shown + "it is the data directory itself";
  const std::string top = inside.empty() ? ".." : inside.begin()->string();
  const bool absolute = entrance.directory.starts_with('/');
  if (top == "..") return absolute ? "" : shown + "it is outside of the data directory: write an absolute path";
  if (top.starts_with("step.")) return shown + "it is the queue of a step, which takes what is put there already";
  return top == "tmp" || top == "trash" ? shown + "it is the spool's own" : "";
}

void check_watched(Settings& settings, Problems& problems) {
  const fs::path data = real(settings.general.data_dir);
  std::map<fs::path, std::vector<Entrance>> by_place;
  by_place[real(data / layout::kIncoming)].push_back({layout::kIncoming, {}, nullptr});
  for (const Entrance& entrance : entrances_of(settings)) {
    if (const std::string wrong = complaint(entrance, data); !wrong.empty()) {
      add(problems, entrance.where, (entrance.step ? entrance.step->slashed() + ": " : "") + wrong);
      continue;
    }
    if (entrance.step && entrance.step->numprocesses == 0) {
      settings.warn(entrance.where, entrance.step->slashed() + ": what arrives in \"" + entrance.directory +
                                        "\" waits there, untreated: numprocesses = 0");
    }
    std::vector<Entrance>& others = by_place[real(data / entrance.directory)];
    if (!others.empty() && others.front().directory != entrance.directory) {
      add(problems, entrance.where, '"' + entrance.directory + "\" and \"" + others.front().directory + "\" are the same directory",
          "write it in one way");
    }
    const auto taker = std::find_if(others.begin(), others.end(),
                                    [&](const Entrance& other) { return other.step && other.step != entrance.step; });
    if (entrance.step && taker != others.end()) {
      settings.warn(entrance.where, "files in \"" + entrance.directory + "\" go to " + taker->step->slashed() + " or to " +
                                        entrance.step->slashed() + ": each to one of them, by its name");
    }
    others.push_back(entrance);
  }
}

// [data.watch.NAME] makes an entrance of its own when nobody else watches NAME, which a slip of the pen does too.
void check_watch_names(Settings& settings) {
  std::vector<std::string> known = {layout::kIncoming};
  for (const Entrance& entrance : entrances_of(settings)) {
    if (entrance.step) known.push_back(entrance.directory);
  }
  const std::vector<WatchSettings> watches = settings.general.watches;
  for (const WatchSettings& watch : watches) {
    if (std::find(known.begin(), known.end(), watch.directory) != known.end()) continue;
    const auto near = near_miss(watch.directory, known);
    if (near) {
      settings.warn(watch.where, "[data.watch.\"" + watch.directory + "\"]: no step names this directory, it is an entrance to " +
                                     settings.general.entry_step + " of its own",
                    "did you mean \"" + *near + "\"?");
    }
  }
}

}  // namespace

void check_together(Settings& settings, const Home& home, Problems& problems) {
  KnownSteps known(settings);
  check_entry(settings, known, problems);
  for (const PluginSettings& plugin : settings.plugins) {
    for (const StepSettings& step : plugin.steps) {
      check_failure_policy(step, settings, known, problems);
      check_retries(step, plugin.directory, settings);
    }
  }
  check_rule_targets(settings, known);
  check_switches(settings);
  check_custom(settings, home, known, problems);
  check_watched(settings, problems);
  check_watch_names(settings);
}

}  // namespace mfdata
