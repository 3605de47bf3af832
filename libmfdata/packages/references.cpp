#include "references.hpp"

#include <algorithm>
#include <functional>

namespace mfdata {

std::vector<std::string> references_to(const Settings& settings, const std::string& name) {
  std::vector<std::string> places;
  const auto points_at = [&](const std::string& target) { return target.starts_with(name + '/') && !target.starts_with('/'); };
  const std::function<void(const ConfigValue&)> look = [&](const ConfigValue& value) {
    if (value.kind() == ConfigValue::Kind::kTable) {
      for (const auto& [key, member] : value.table()) look(member);
    } else if (value.kind() == ConfigValue::Kind::kArray) {
      for (const ConfigValue& element : value.array()) look(element);
    } else if (value.kind() == ConfigValue::Kind::kString && points_at(value.string())) {
      places.push_back(value.where().spell());
    }
  };
  if (points_at(settings.general.entry_step)) places.push_back(settings.general.entry_where.spell());
  for (const PluginSettings& plugin : settings.plugins) {
    if (plugin.name == name) continue;
    look(plugin.custom);
    for (const StepSettings& step : plugin.steps) {
      if (points_at(step.failure_target)) places.push_back(step.where_of("failure_policy_move_dest_dir").spell());
    }
    for (const SwitchRule& rule : plugin.rules) {
      if (rule.switch_plugin == name || std::any_of(rule.targets.begin(), rule.targets.end(), points_at)) places.push_back(rule.where.spell());
    }
  }
  return places;
}

}  // namespace mfdata
