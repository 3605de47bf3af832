#include "wire/worker_settings.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "libmfdata/printable.hpp"
#include "wire/rule_codec.hpp"

namespace mfdata::wire {
namespace {

using nlohmann::json;

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = static_cast<unsigned char>(text[0]) < 0x80 ? 1 : utf8_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

// Configuration strings may hold any bytes (a secret, a path): as arrays of bytes when they are not UTF-8.
json bytes(const std::string& text) {
  if (is_utf8(text)) return text;
  return json::object({{"bytes", std::vector<unsigned char>(text.begin(), text.end())}});
}

std::string text_of(const json& value) {
  if (value.is_string()) return value.get<std::string>();
  const auto bytes = value.at("bytes").get<std::vector<unsigned char>>();
  return std::string(bytes.begin(), bytes.end());
}

// A tagged form, since a table of the configuration may have any key.
json tree(const ConfigValue& value) {
  switch (value.kind()) {
    case ConfigValue::Kind::kTable: {
      json members = json::array();
      for (const auto& [key, member] : value.table()) members.push_back({bytes(key), tree(member)});
      return {{"t", members}};
    }
    case ConfigValue::Kind::kArray: {
      json elements = json::array();
      for (const ConfigValue& element : value.array()) elements.push_back(tree(element));
      return {{"a", elements}};
    }
    case ConfigValue::Kind::kString: return {{"s", bytes(value.string())}};
    case ConfigValue::Kind::kInteger: return {{"i", value.integer()}};
    case ConfigValue::Kind::kReal: return {{"r", value.real()}};
    case ConfigValue::Kind::kBool: return {{"b", value.boolean()}};
  }
  return {};
}

ConfigValue tree_of(const json& value) {
  const auto member = value.begin();
  if (member == value.end()) return ConfigValue();
  const std::string& kind = member.key();
  const json& data = member.value();
  if (kind == "t") {
    ConfigValue::Table table;
    for (const json& pair : data) table.emplace_back(text_of(pair.at(0)), tree_of(pair.at(1)));
    return ConfigValue(std::move(table));
  }
  if (kind == "a") {
    ConfigValue::Array array;
    for (const json& element : data) array.push_back(tree_of(element));
    return ConfigValue(std::move(array));
  }
  if (kind == "s") return ConfigValue(text_of(data));
  if (kind == "i") return ConfigValue(data.get<std::int64_t>());
  if (kind == "r") return ConfigValue(data.get<double>());
  return ConfigValue(data.get<bool>());
}

// One list of members serves both directions: `Visit` is called with a name and a reference to each.
template <class Settings, class Visit>
void each_member(Settings& s, Visit&& visit) {
  visit("task", s.task);
  visit("home", s.home);
  visit("data_dir", s.data_dir);
  visit("durability", s.durability);
  visit("kind", s.step.kind);
  visit("plugin", s.step.plugin);
  visit("trial_host_size", s.trial.sizes.host);
  visit("trial_init_size", s.trial.sizes.init);
  visit("trial_tick_size", s.trial.sizes.tick);
  visit("trial_rules_size", s.trial.sizes.rules);
  visit("trial_fail_call", s.trial.fail_call);
  visit("trial_cycles", s.trial.cycles);
  visit("trial_cancelled", s.trial.cancelled);
  visit("trial_interrupted", s.trial.interrupted);
  visit("trial_deadline_passed", s.trial.deadline_passed);
  visit("trial_deliver_below", s.trial.deliver_below);
  visit("step", s.step.name);
  visit("component", s.step.component);
  visit("timeout", s.step.timeout_s);
  visit("start_timeout", s.step.start_timeout_s);
  visit("max_age", s.step.max_age_s);
  visit("rlimit_as", s.step.limits.address_space);
  visit("rlimit_nofile", s.step.limits.open_files);
  visit("rlimit_stack", s.step.limits.stack);
  visit("rlimit_fsize", s.step.limits.file_size);
  visit("failure_policy", s.step.failure_policy);
  visit("failure_target", s.step.failure_target);
  visit("keep_unmatched", s.step.keep_unmatched);
  visit("retry_total", s.step.retry.total);
  visit("retry_min_wait", s.step.retry.min_wait_s);
  visit("retry_max_wait", s.step.retry.max_wait_s);
  visit("retry_backoff", s.step.retry.backoff_s);
  visit("batch_max_size", s.step.batch_max_size);
  visit("batch_max_wait", s.step.batch_max_wait_s);
  visit("slot", s.slot);
  visit("library", s.library);
  visit("plugin_dir", s.plugin_dir);
  visit("plugin_version", s.plugin_version);
  visit("entry_step", s.entry_step);
  visit("max_file_size", s.max_file_size);
  visit("step_limit", s.step_limit);
  visit("log_level", s.log_level);
  visit("sources", s.sources);
  visit("targets", s.targets);
  visit("watched_directories", s.watched_directories);
  visit("watched_steps", s.watched_steps);
  visit("sockets_from_loader", s.sockets_from_loader);
  visit("count_crash", s.count_crash);
  visit("max_crashes", s.max_crashes);
  visit("crash_reason", s.crash_reason);
  visit("crash_in_hand", s.crash_in_hand);
  visit("arrival_directories", s.arrival_directories);
  visit("arrival_names", s.arrival_names);
  visit("arrival_quiet", s.arrival_quiet);
  visit("foreign_quiet", s.foreign_quiet_s);
  visit("age_is_believed", s.age_is_believed);
  visit("traced", s.traced);
  visit("trash_lifetime", s.lifetimes.trash_s);
  visit("tmp_lifetime", s.lifetimes.tmp_s);
  visit("backlog_lifetime", s.lifetimes.backlog_s);
  visit("keys_lifetime", s.lifetimes.keys_s);
  visit("live_slots", s.live_slots);
  visit("predicate_timeout", s.predicate_timeout_s);
  visit("code_rules", s.code_rules);
}

struct Write {
  json& out;
  template <class T>
  void operator()(const char* name, const T& member) const {
    if constexpr (std::is_same_v<T, std::string>) {
      out[name] = bytes(member);
    } else if constexpr (std::is_enum_v<T>) {
      out[name] = static_cast<int>(member);
    } else if constexpr (std::is_same_v<T, std::vector<std::string>>) {
      out[name] = json::array();
      for (const std::string& text : member) out[name].push_back(bytes(text));
    } else {
      out[name] = member;
    }
  }
};

struct Read {
  const json& in;
  template <class T>
  void operator()(const char* name, T& member) const {
    if constexpr (std::is_same_v<T, std::string>) {
      member = text_of(in.at(name));
    } else if constexpr (std::is_enum_v<T>) {
      member = static_cast<T>(in.at(name).get<int>());
    } else if constexpr (std::is_same_v<T, std::vector<std::string>>) {
      for (const json& text : in.at(name)) member.push_back(text_of(text));
    } else {
      member = in.at(name).get<T>();
    }
  }
};

}  // namespace

std::vector<PredicateLibrary> predicates_of(const std::vector<SwitchRule>& rules, const Settings& settings, const Home& home, Problems& problems) {
  std::vector<PredicateLibrary> all;
  for (const SwitchRule& rule : rules) {
    const PluginSettings* plugin = rule.type == "plugin" ? settings.find_plugin(rule.plugin) : nullptr;
    const bool known = std::any_of(all.begin(), all.end(), [&](const PredicateLibrary& one) { return one.plugin == rule.plugin; });
    if (plugin && !known) all.push_back({plugin->name, plugin->library, plugin->directory, resolved_custom(*plugin, settings, home, "", problems)});
  }
  return all;
}

WorkerSettings settings_for(const Settings& settings, const Home& home, const PluginSettings& plugin, const StepSettings& step, Problems& problems) {
  WorkerSettings worker;
  worker.home = home.root.string();
  worker.data_dir = settings.general.data_dir;
  worker.durability = settings.general.durability;
  worker.step = step;
  worker.library = plugin.library;
  worker.plugin_dir = plugin.directory;
  worker.plugin_version = plugin.version;
  worker.entry_step = settings.general.entry_step;
  worker.max_file_size = settings.general.max_file_size;
  worker.step_limit = settings.general.step_limit;
  worker.max_crashes = settings.general.max_crashes;
  worker.log_level = step.log_level.empty() ? settings.general.log_level : step.log_level;
  const auto is_told = [&](const SwitchRule& rule) { return rule.switch_plugin == plugin.name; };
  std::ptrdiff_t told = 0;
  for (const PluginSettings& other : settings.plugins) told += std::count_if(other.rules.begin(), other.rules.end(), is_told);
  worker.rules.reserve(static_cast<std::size_t>(told));
  for (const PluginSettings& other : settings.plugins) std::copy_if(other.rules.begin(), other.rules.end(), std::back_inserter(worker.rules), is_told);
  if (step.kind == WorkerKind::kListener) {
    for (const auto& [directory, takers] : settings.watched()) {
      if (takers.empty()) continue;
      worker.watched_directories.push_back(directory);
      worker.watched_steps.push_back(takers.front()->slashed());
    }
  }
  worker.predicate_timeout_s = settings.general.predicate_timeout_s;
  worker.predicates = predicates_of(worker.rules, settings, home, problems);
  worker.custom = resolved_custom(plugin, settings, home, step.dotted(), problems);
  return worker;
}

// Two lines and the rules: what is small and differs from worker to worker, then what is large and is spelled once.
static std::string small_part(const WorkerSettings& settings) {
  json out;
  each_member(settings, Write{out});
  out["predicates"] = json::array();
  for (const PredicateLibrary& one : settings.predicates) {
    out["predicates"].push_back({bytes(one.plugin), bytes(one.library), bytes(one.plugin_dir), tree(one.custom)});
  }
  return out.dump();
}

static std::string large_part(const WorkerSettings& settings) {
  return tree(settings.custom).dump() + '\n' + encode_rules(settings.rules);
}

// The other tasks run no plugin.
static bool needs_large_part(Task task) { return task == Task::kRun || task == Task::kPredicates || task == Task::kTryStart; }

void seal(WorkerSettings& settings) {
  if (settings.sealed) return;
  settings.sealed = std::make_shared<const std::string>(large_part(settings));
  settings.custom = ConfigValue(ConfigValue::Table());
  settings.rules = {};
}

bool same(const WorkerSettings& a, const WorkerSettings& b) {
  const bool same_large = a.sealed && b.sealed ? a.sealed == b.sealed || *a.sealed == *b.sealed
                                               : (a.sealed ? *a.sealed : large_part(a)) == (b.sealed ? *b.sealed : large_part(b));
  return same_large && small_part(a) == small_part(b);
}

std::string encode(const WorkerSettings& settings) {
  std::string text = small_part(settings) + '\n';
  if (!needs_large_part(settings.task)) return text;
  return text + (settings.sealed ? *settings.sealed : large_part(settings));
}

Result<WorkerSettings> decode_settings(const std::string& text) {
  try {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const json small = json::parse(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(end));
    WorkerSettings settings;
    each_member(settings, Read{small});
    for (const json& one : small.at("predicates")) {
      settings.predicates.push_back({text_of(one.at(0)), text_of(one.at(1)), text_of(one.at(2)), tree_of(one.at(3))});
    }
    if (!needs_large_part(settings.task)) return settings;
    const std::string_view large = std::string_view(text).substr(std::min(end + 1, text.size()));
    const std::size_t rules = std::min(large.find('\n'), large.size());
    settings.custom = tree_of(json::parse(large.begin(), large.begin() + rules));
    auto told = decode_rules(large.substr(std::min(rules + 1, large.size())), settings.step.plugin);
    if (!told) return Error{Code::kBadData, 0, "bad settings of a worker: the rules are cut off"};
    settings.rules = std::move(*told);
    return settings;
  } catch (const json::exception& error) {
    return Error{Code::kBadData, 0, std::string("bad settings of a worker: ") + error.what()};
  }
}

}  // namespace mfdata::wire
