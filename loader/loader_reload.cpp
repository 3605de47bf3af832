// A configuration that has changed, and plugins that were installed or rebuilt, while files flow.
#include <sys/stat.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "loader.hpp"

namespace mfdata {
namespace {

using nlohmann::json;

// What a loader is built around: the rest is taken up while it runs.
std::string structure_of(const GeneralSettings& general) {
  const json out = {general.data_dir,    general.max_queued,  static_cast<int>(general.durability),
                    general.log_level,   general.log_json,    general.log_directory,
                    general.rotate_size, general.rotate_keep, general.metrics_listen,
                    general.cpu_policy_batch};
  return out.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::int64_t time_of(const std::string& path) {
  struct stat st;
  return ::stat(path.c_str(), &st) == 0 ? st.st_mtim.tv_sec * 1'000'000'000 + st.st_mtim.tv_nsec : 0;
}

}  // namespace

std::string Loader::reload() {
  log_.reopen();
  if (stopping_ && !next_settings_) return json{{"error", "the loader is stopping"}}.dump();
  Problems problems;
  Settings fresh = load_settings(home_, problems);
  if (!problems.empty()) {
    std::string text;
    for (const Problem& problem : problems) text += (text.empty() ? "" : "\n") + problem.spell();
    log_.write(Level::kError, "the configuration has errors, the one before stays in force: " + text);
    configuration_problem_ = text;
    metrics_.config_error();
    return json{{"error", text}}.dump(-1, ' ', false, json::error_handler_t::replace);
  }
  log_.write_problems(fresh);
  configuration_problem_.clear();
  if (next_settings_) {  // it is on its way already
    next_settings_ = std::move(fresh);
    return R"({"reloaded":"everything"})";
  }
  if (structure_of(fresh.general) != structure_of(settings_->general) || changes_a_kind(fresh)) {
    log_.write(Level::kInfo, "the configuration has changed: all workers finish their file, then everything begins anew");
    stop();
    next_settings_ = std::move(fresh);
    return R"({"reloaded":"everything"})";
  }
  if (auto taken = take_up(std::make_shared<const Settings>(std::move(fresh))); !taken) {
    configuration_problem_ = taken.error().text;
    log_.write(Level::kError, "the new configuration cannot be used, the one before stays in force: " + taken.error().text);
    metrics_.config_error();
    return json{{"error", taken.error().text}}.dump(-1, ' ', false, json::error_handler_t::replace);
  }
  metrics_.set_config_generation(++generation_);
  return R"({"reloaded":"workers"})";
}

// A library that was rebuilt runs once it has not changed for a second; its predicates too.
void Loader::watch_developed() {
  const std::string installed = home_.plugins().string() + '/';
  const auto is_watched = [&](const std::string& library) {
    return std::any_of(developed_.begin(), developed_.end(), [&](const BuiltLibrary& built) { return built.path == library; });
  };
  for (const PluginSettings& plugin : settings_->plugins) {
    if (!plugin.directory.starts_with(installed) && !is_watched(plugin.library))
      developed_.push_back({plugin.library, time_of(plugin.library), false});
  }
  for (BuiltLibrary& built : developed_) {
    const std::int64_t now = time_of(built.path);
    if (now == 0) continue;  // it is being built
    const bool settled = now == built.time_ns && built.changed;
    built.changed = now != built.time_ns;
    built.time_ns = now;
    if (!settled) continue;
    for (std::size_t step = 0; step < steps_.size(); ++step) {
      if (steps_[step].retired) continue;
      wire::WorkerSettings workers = worker_settings(step);
      const auto& predicates = workers.predicates;
      const bool asks_it =
          std::any_of(predicates.begin(), predicates.end(), [&](const wire::PredicateLibrary& one) { return one.library == built.path; });
      if (steps_[step].plugin->library != built.path && !asks_it) continue;
      log_.write(Level::kInfo, steps_[step].settings->slashed() + ": its library was rebuilt, its workers are replaced");
      schedule_->renew(step);
      pool_->replace(step, std::move(workers));
    }
  }
}

}  // namespace mfdata
