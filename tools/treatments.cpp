#include "treatments.hpp"

#include <algorithm>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>

#include "control_client.hpp"
#include "libmfdata/clock.hpp"
#include "libmfdata/printable.hpp"
#include "libmfdata/settings_places.hpp"
#include "libmfdata/spool_layout.hpp"
#include "libmfdata/waiting_file.hpp"

using nlohmann::json;

namespace mfdata::tools {
namespace {

constexpr std::int64_t kFirstNoticeNs = 2'000'000'000, kNextNoticeNs = 10'000'000'000;

std::vector<Watched> watches_of(const Settings& settings) {
  const GeneralSettings& general = settings.general;
  std::map<std::string, std::vector<std::string>> steps = {{layout::kIncoming, {}}};
  for (const WatchSettings& watch : general.watches) steps[watch.directory];
  for (const PluginSettings& plugin : settings.plugins) {
    for (const StepSettings& step : plugin.steps) {
      for (const std::string& directory : step.watched_directories) steps[directory].push_back(step.slashed());
    }
  }
  std::vector<Watched> all;
  for (auto& [directory, takers] : steps) {
    if (takers.empty()) takers.push_back(general.entry_step);
    for (const std::string& step : takers) all.push_back({directory, step, general.watch_of(directory).ignore});
  }
  return all;
}

// The first name that the file had, by its tags; empty: they cannot be read.
std::string original_name(const Home& home, const std::string& step, const json& treatment) {
  Problems problems;
  const GeneralSettings general = load_general_settings(home, problems);
  auto spool = Spool::open(general.data_dir, general.durability);
  if (!spool || !problems.empty()) return "";
  auto files = files_in_hand(*spool, dotted(step));
  if (!files) return "";
  const std::string slot = Slot{dotted(step), treatment.value("slot", 0U)}.base() + '/', name = treatment.value("name", "");
  for (const WaitingFile& file : *files) {
    if (!file.name || !file.path.starts_with(slot) || name.substr(0, kUidLength) != file.name->uid) continue;
    auto context = context_of(*spool, file);
    return context ? std::string(context->tags.get("first.core.original_basename").value_or("")) : "";
  }
  return "";
}

}  // namespace

std::vector<Watched> configured_watches(const Home& home) { return watches_of(load_plugins_with(home, "watched_directories")); }

std::vector<Watched> watched_directories(const Operated& at) {
  const json status = status_of_loader(at.home);
  if (!status.is_object() || !status.contains("watched")) return configured_watches(at.home);
  std::vector<Watched> all;
  for (const json& watched : status["watched"]) {
    for (const json& step : watched["steps"]) {
      all.push_back({watched["directory"].get<std::string>(), step.get<std::string>(), watched["ignore"].get<std::vector<std::string>>()});
    }
  }
  return all;
}

json treatments_in_hand(const json& status) {
  json all = json::array();
  if (!status.is_object()) return all;
  for (const json& step : status.value("steps", json::array())) {
    for (json treatment : step.value("in_hand", json::array())) {
      treatment["step"] = step.value("step", "");
      all.push_back(std::move(treatment));
    }
  }
  return all;
}

json treatments_in_hand(const Home& home) { return treatments_in_hand(status_of_loader(home)); }

std::string treatment_text(const Home& home, const std::string& step, const json& treatment) {
  const std::string name = treatment.value("name", ""), original = original_name(home, step, treatment);
  const auto files = treatment.value("files", std::size_t{1});
  std::string text = files > 1 ? "a batch of " + std::to_string(files) + " files" : name;
  if (files == 1 && !original.empty() && original != name) text += " (" + printable(original, 80) + ')';
  return text + " for " + std::to_string(static_cast<long long>(treatment.value("age_s", 0.0))) + " s, worker " + std::to_string(treatment.value("pid", 0)) +
         ", version " + treatment.value("version", "");
}

void WaitNotice::tell() const {
  for (const json& treatment : treatments_in_hand(home_)) {
    if (!treatment.value("stopping", false)) continue;
    const std::string step = treatment.value("step", "");
    std::cerr << "waits for " << step << ", which still treats " << treatment_text(home_, step, treatment) << "; to end it: mfdata kill " << step << '\n';
  }
}

void WaitNotice::look() {
  const std::int64_t now = monotonic_ns();
  if (next_ns_ == 0) next_ns_ = now + kFirstNoticeNs;
  if (now < next_ns_) return;
  next_ns_ = now + kNextNoticeNs;
  tell();
}

}  // namespace mfdata::tools
