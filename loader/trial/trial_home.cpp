#include "trial/trial_home.hpp"

#include <fcntl.h>
#include <stdlib.h>

#include <algorithm>
#include <boost/filesystem/operations.hpp>
#include <cerrno>
#include <fstream>

#include "libmfdata/printable.hpp"

namespace fs = boost::filesystem;

namespace mfdata {
namespace {

constexpr const char* kGeneral = "[log]\nlevel = \"debug\"\n[metrics]\nlisten = \"\"\n";

Error first_of(const Problems& problems) { return Error{Code::kBadConfig, 0, problems.front().spell()}; }

Result<void> write_file(const fs::path& path, const std::string& text) {
  std::ofstream out(path.string(), std::ios::binary);
  out << text;
  out.close();
  return out ? Result<void>() : Error{Code::kIo, 0, "cannot write " + path.string()};
}

// What looks like "plugin/step" in the configuration.
void add_targets(const ConfigValue& value, std::vector<std::string>& targets) {
  if (value.kind() == ConfigValue::Kind::kTable) {
    for (const auto& [key, member] : value.table()) add_targets(member, targets);
  } else if (value.kind() == ConfigValue::Kind::kArray) {
    for (const ConfigValue& element : value.array()) add_targets(element, targets);
  } else if (value.kind() == ConfigValue::Kind::kString) {
    const std::string step = step_of_target(value.string());
    const std::size_t slash = step.find('/');
    if (slash != std::string::npos && valid_plugin_name(step.substr(0, slash)) && valid_step_name(step.substr(slash + 1))) targets.push_back(step);
  }
}

}  // namespace

TrialHome::Place::~Place() {
  boost::system::error_code ignored;
  if (!path_.empty() && !keep_) fs::remove_all(path_, ignored);
}

// mkdtemp(3): nobody else can enter it, whatever the umask is.
Result<TrialHome> TrialHome::make(TrialPlan plan) {
  boost::system::error_code code;
  const fs::path place = plan.place.empty() ? fs::temp_directory_path(code) : fs::path(plan.place);
  std::string root = (place / "mfdata-run-XXXXXX").string();
  if (!::mkdtemp(root.data())) return system_error(errno, "cannot make a directory in " + place.string());
  Place owned(root);
  auto home = make_home(root);
  if (!home) return home.error();
  home->administrator = home->root / "etc/trial";
  TrialHome trial(std::move(owned), std::move(*home), std::move(plan));
  MFDATA_TRY(trial.install());
  MFDATA_TRY(trial.configure());
  return trial;
}

Result<void> TrialHome::install() {
  boost::system::error_code code;
  fs::path folder = plan_.folder;
  if (folder.empty()) {
    folder = home_.root / "etc/trial/plugin";
    fs::create_directories(folder, code);
    MFDATA_TRY(write_file(folder / "plugin.toml", plan_.manifest));
  }
  Problems problems;
  const PluginSettings manifest = load_plugin_folder(folder.string(), problems);
  if (!problems.empty()) return first_of(problems);
  const std::string name = plan_.installed_as.empty() ? manifest.name : plan_.installed_as;
  fs::create_directories(home_.plugin(name), code);
  fs::create_symlink(folder, home_.current(name), code);
  if (code) return system_error(code.value(), "cannot link " + home_.current(name).string());
  if (!plan_.override_file.empty()) MFDATA_TRY(copy_plain_file(plan_.override_file, home_.override_of(name).string()));
  const fs::path layer = home_.administrator / "plugins.d";
  fs::create_directories(layer, code);
  MFDATA_TRY(write_file(layer / (name + ".toml"), plan_.configuration));
  return write_file(home_.configuration(), kGeneral);
}

Result<void> TrialHome::configure() {
  Problems problems;
  settings_ = load_settings_alone(home_, problems);
  if (!problems.empty()) return first_of(problems);
  for (const StepSettings& step : plugin().steps) {
    auto worker = worker_settings(step);  // a secret that is not there is told now
    if (!worker) return worker.error();
  }
  return {};
}

Result<const StepSettings*> TrialHome::find(WorkerKind kind, const std::string& name) const {
  std::string known;
  const StepSettings* only = nullptr;
  std::size_t number = 0;
  for (const StepSettings& step : plugin().steps) {
    if (step.kind != kind) continue;
    if (step.name == name) return &step;
    known += (known.empty() ? "" : ", ") + step.name;
    only = &step;
    ++number;
  }
  if (name.empty() && number == 1) return only;
  const std::string word = kind == WorkerKind::kStep ? "step" : "listener";
  if (known.empty()) return Error{Code::kNotFound, 0, plugin().name + " has no " + word};
  return Error{Code::kNotFound, 0,
               (name.empty() ? "" : "there is no " + word + " \"" + printable(name, 100) + "\": ") + "name one of its " + word + "s: " + known};
}

Result<wire::WorkerSettings> TrialHome::worker_settings(const StepSettings& step) const {
  Problems problems;
  wire::WorkerSettings worker = wire::settings_for(settings_, home_, plugin(), step, problems);
  if (!problems.empty()) return first_of(problems);
  worker.step.batch_max_wait_s = 0;
  worker.sources = {layout::step_directory(step.dotted())};
  worker.targets = plan_.targets;
  worker.targets.push_back(worker.entry_step);
  add_targets(worker.custom, worker.targets);
  for (const SwitchRule& rule : worker.rules) {
    for (const std::string& target : rule.targets) worker.targets.push_back(step_of_target(target));
  }
  for (const StepSettings& own : plugin().steps) {
    worker.targets.push_back(own.slashed());
    add_targets(ConfigValue(own.failure_target), worker.targets);
  }
  std::sort(worker.targets.begin(), worker.targets.end());
  worker.targets.erase(std::unique(worker.targets.begin(), worker.targets.end()), worker.targets.end());
  return worker;
}

Result<Spool> TrialHome::open_spool() const {
  auto spool = Spool::open(settings_.general.data_dir, Durability::kProcess);
  if (spool) MFDATA_TRY(spool->prepare());
  return spool;
}

Result<void> copy_plain_file(const std::string& from, const std::string& to) {
  const FileDescriptor source(::open(from.c_str(), O_RDONLY | O_CLOEXEC)), target(::open(to.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!source || !target) return system_error(errno, "cannot copy " + from + " to " + to);
  return copy_content(source.get(), target.get(), from);
}

Result<void> prepare(const Spool& spool, const wire::WorkerSettings& worker) {
  for (std::string target : worker.targets) {
    target[target.find('/')] = '.';
    MFDATA_TRY(spool.prepare_step(target));
  }
  return spool.prepare_slot(Slot{worker.step.dotted(), 0});
}

}  // namespace mfdata
