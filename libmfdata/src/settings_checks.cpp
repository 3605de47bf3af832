#include "settings_checks.hpp"

#include <algorithm>

namespace mfdata {
namespace {

void add(Problems& problems, const Location& where, std::string text, std::string hint = "") {
  problems.push_back({where, std::move(text), std::move(hint)});
}

std::vector<std::string> all_steps(const Settings& settings) {
  std::vector<std::string> known;
  for (const PluginSettings& plugin : settings.plugins) {
    for (const StepSettings& step : plugin.steps) {
      if (step.kind == WorkerKind::kStep) known.push_back(step.slashed());
    }
  }
  return known;
}

// A rule for a switch that is not there is a bad one. One with a target that is not there still says where a file should go:
// the switch keeps what has no other place.
void check_rule_targets(Settings& settings) {
  const std::vector<std::string> known = all_steps(settings);
  for (PluginSettings& plugin : settings.plugins) {
    Problems& problems = plugin.rule_problems;
    std::erase_if(plugin.rules, [&](const SwitchRule& rule) {
      for (const std::string& target : rule.targets) {
        const std::string step = step_of_target(target);
        const StepSettings* there = settings.find_step(step);
        if (there && there->numprocesses == 0) {
          settings.warn(rule.where, "[[switch_rules]]: " + step + " has numprocesses = 0: what this rule gives it waits there, untreated");
        }
        if (there) continue;
        const auto near = near_miss(step, known);
        add(settings.target_problems, rule.where, "[[switch_rules]]: there is no step \"" + step + '"', near ? "did you mean \"" + *near + "\"?" : "");
      }
      const bool no_switch = rule.switch_plugin != kDefaultSwitch && !settings.find_plugin(rule.switch_plugin);
      if (no_switch) add(problems, rule.where, "[[switch_rules]]: there is no plugin \"" + rule.switch_plugin + "\" to evaluate the rule");
      return no_switch;
    });
    settings.rule_problems.insert(settings.rule_problems.end(), problems.begin(), problems.end());
  }
}

// Keys of [custom] whose [schema] says that they name steps. Nothing ("") and an absolute directory are for the plugin to judge.
void check_custom_targets(Settings& settings) {
  const std::vector<std::string> known = all_steps(settings);
  for (const PluginSettings& plugin : settings.plugins) {
    for (const std::string& key : plugin.target_keys) {
      const ConfigValue* value = plugin.custom.find(key);
      if (!value) continue;
      const bool many = value->kind() == ConfigValue::Kind::kArray;
      for (const ConfigValue& one : many ? value->array() : ConfigValue::Array{*value}) {
        if (one.kind() != ConfigValue::Kind::kString) continue;
        const std::string target = many ? step_of_target(one.string()) : one.string();
        const std::string step = target.find('/') == std::string::npos ? plugin.name + '/' + target : target;
        if (target.empty() || target[0] == '/' || target[0] == '{' || settings.find_step(step)) continue;
        const auto near = near_miss(step, known);
        add(settings.target_problems, one.where(), plugin.name + ": [custom] " + key + ": there is no step \"" + step + '"',
            near ? "did you mean \"" + *near + "\"?" : "");
      }
    }
  }
}

// Targets in the configuration of the loader itself must exist.
void check_targets(const Settings& settings, Problems& problems) {
  const std::vector<std::string> known = all_steps(settings);
  const auto missing = [&](const std::string& target, const Location& where, const std::string& what) {
    if (settings.find_step(target)) return;
    const auto near = near_miss(target, known);
    add(problems, where, what + ": there is no step \"" + target + '"', near ? "did you mean \"" + *near + "\"?" : "");
  };
  missing(settings.general.entry_step, settings.general.entry_where, "[data] entry_step");
  for (const PluginSettings& plugin : settings.plugins) {
    for (const StepSettings& step : plugin.steps) {
      if (step.failure_policy != FailurePolicy::kMove || step.failure_target.starts_with('/')) continue;
      missing(step.failure_target, step.where, step.slashed() + ": failure_policy_move_dest_dir");
    }
  }
}

// Secrets that are not there are found now, not when a worker starts.
void check_secrets(const Settings& settings, const Home& home, Problems& problems) {
  for (const PluginSettings& plugin : settings.plugins) {
    ConfigValue custom = plugin.custom;
    substitute(custom, {{"home", home.root.string()}}, problems);
  }
}

void check_watched(const Settings& settings, Problems& problems) {
  const auto check_one = [&](const std::string& directory, const Location& where) {
    const std::string top = directory.substr(0, directory.find('/'));
    const bool ours = top == "tmp" || top == "trash" || top.starts_with("step.") || top == ".." || top == "." || top.empty();
    if (ours && !directory.starts_with('/')) add(problems, where, '"' + directory + "\" cannot be watched: it is the spool's own, or outside of it");
  };
  for (const WatchSettings& watch : settings.general.watches) check_one(watch.directory, Location{});
  for (const PluginSettings& plugin : settings.plugins) {
    for (const StepSettings& step : plugin.steps) {
      for (const std::string& directory : step.watched_directories) check_one(directory, step.where);
    }
  }
}

}  // namespace

void check_together(Settings& settings, const Home& home, Problems& problems) {
  check_targets(settings, problems);
  check_rule_targets(settings);
  check_custom_targets(settings);
  check_secrets(settings, home, problems);
  check_watched(settings, problems);
}

}  // namespace mfdata
