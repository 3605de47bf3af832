#include "harness/test_room.hpp"

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <boost/filesystem/operations.hpp>
#include <cerrno>

#include "libmfdata/arrival.hpp"
#include "libmfdata/config_rules.hpp"
#include "libmfdata/deposit.hpp"
#include "libmfdata/toml_reader.hpp"
#include "libmfdata/waiting_file.hpp"
#include "worker/plugin_library.hpp"

namespace fs = boost::filesystem;

namespace mfdata {
namespace {

// mfdata-worker of the same installation or build, for code rules; empty: there is none.
std::string worker_program() {
  Dl_info here{};
  if (::dladdr(reinterpret_cast<const void*>(&worker_program), &here) == 0) return "";
  boost::system::error_code code;
  fs::path folder = fs::canonical(here.dli_fname, code).parent_path();
  for (int level = 0; level < 3 && !code; ++level, folder = folder.parent_path()) {
    for (const fs::path& candidate : {folder / "libexec/mfdata/mfdata-worker", folder / "mfdata-worker"}) {
      if (fs::is_regular_file(candidate, code)) return candidate.string();
      code.clear();
    }
  }
  return "";
}

// A [schema] that lets every key of [custom] be. A text that does not parse is reported by who reads it next.
std::string schema_of(const std::string& configuration) {
  std::string text;
  auto tree = parse_toml(configuration, "config");
  const ConfigValue* custom = tree ? tree->find("custom") : nullptr;
  if (!custom || custom->kind() != ConfigValue::Kind::kTable) return text;
  for (const auto& [key, value] : custom->table()) {
    const std::string head = "[schema.'" + split_variant(key).key + "']\n";
    if (text.find(head) == std::string::npos) text += head + "type = \"any\"\n";
  }
  return text;
}

// A plugin.toml that offers everything that can run under its own name.
std::string manifest_of(const mfdata_plugin& plugin, const std::string& configuration) {
  std::string text = "[plugin]\nname = \"" + std::string(plugin.id) + "\"\nversion = \"" + plugin.version + "\"\nlibrary = \"linked-in.so\"\n";
  for (std::uint32_t i = 0; i < plugin.n_components; ++i) {
    const mfdata_component& component = *plugin.components[i];
    const char* kind = component.kind == MFDATA_KIND_STEP ? "step" : component.kind == MFDATA_KIND_LISTENER ? "listener" : nullptr;
    if (kind) text += '[' + std::string(kind) + ".\"" + component.id + "\"]\n";
  }
  return text + schema_of(configuration);
}

Result<const mfdata_plugin*> describe(const RoomOptions& options, const std::string& library) {
  if (!options.entry) return load_own_plugin(library);
  const mfdata_plugin* plugin = options.entry();
  MFDATA_TRY(check_description("linked into this program", plugin));
  return plugin;
}

Result<FileDescriptor> open_source(const std::string& path) {
  FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat st {};
  if (!file || ::fstat(file.get(), &st) != 0) return system_error(errno, "cannot read " + path);
  if (!S_ISREG(st.st_mode)) return Error{Code::kBadData, 0, path + " is not a regular file"};
  return file;
}

Result<void> fill(const TestFile& file, int target, const std::string& what) {
  if (file.path.empty()) return write_all(target, file.content, what);
  auto source = open_source(file.path);
  return source ? copy_content(source->get(), target, file.path) : source.error();
}

}  // namespace

Result<std::unique_ptr<TestRoom>> TestRoom::open(const RoomOptions& options) {
  TrialPlan plan;
  plan.place = options.in_memory ? "/dev/shm" : "";
  plan.keep = options.keep;
  plan.configuration = options.configuration;
  plan.targets = options.targets;
  boost::system::error_code code;
  const std::string found = options.plugin.empty() ? "" : fs::canonical(options.plugin, code).string();
  if (code) return Error{Code::kNotFound, 0, "there is no plugin " + options.plugin + ": " + code.message()};
  const bool is_folder = !found.empty() && fs::is_directory(found, code);
  std::string library = is_folder || options.entry ? "" : found;
  const mfdata_plugin* plugin = nullptr;
  if (is_folder) {
    if (options.manifest) return Error{Code::kBadConfig, 0, "a plugin folder has its own plugin.toml: give a manifest with a library, or with entry"};
    plan.folder = found;
  } else {
    if (library.empty() && !options.entry) return Error{Code::kBadConfig, 0, "name a plugin, or give its entry: mfdata_plugin_v1"};
    auto described = describe(options, library);
    if (!described) return described.error();
    plugin = *described;
    plan.manifest = options.manifest ? *options.manifest : manifest_of(*plugin, options.configuration);
  }
  auto trial = TrialHome::make(std::move(plan));
  if (!trial) return trial.error();
  if (!plugin) {
    if (!options.entry) library = trial->plugin().library;
    auto described = describe(options, library);
    if (!described) return described.error();
    plugin = *described;
  }
  auto spool = trial->open_spool();
  if (!spool) return spool.error();
  MFDATA_TRY(spool->disk().make_directory((trial->home().root / "shelf").string()));
  return std::unique_ptr<TestRoom>(new TestRoom(std::move(*trial), std::move(*spool), plugin, std::move(library)));
}

Surroundings TestRoom::surroundings() {
  Surroundings here;
  here.log = [this](int level, const std::string& line) {
    const std::lock_guard lock(log_mutex_);
    log_.push_back({level, line});
  };
  here.faults = &faults_;
  here.predicate_program = worker_program();
  return here;
}

Result<wire::WorkerSettings> TestRoom::settings_of(WorkerKind kind, const std::string& name) {
  auto found = trial_.find(kind, name);
  if (!found) return found.error();
  auto settings = trial_.worker_settings(**found);
  if (!settings) return settings;
  settings->durability = Durability::kProcess;
  settings->library = library_;
  MFDATA_TRY(prepare(spool_, *settings));
  return settings;
}

wire::WorkerSettings TestRoom::predicate_settings() const {
  wire::WorkerSettings settings;
  Problems none;  // told when the home was made
  settings.task = wire::Task::kPredicates;
  settings.home = trial_.home().root.string();
  settings.data_dir = trial_.settings().general.data_dir;
  settings.step.plugin = trial_.plugin().name;
  settings.library = library_;
  settings.plugin_dir = trial_.plugin().directory;
  settings.log_level = trial_.settings().general.log_level;
  settings.predicate_timeout_s = trial_.settings().general.predicate_timeout_s;
  settings.custom = resolved_custom(trial_.plugin(), trial_.settings(), trial_.home(), "", none);
  return settings;
}

Result<std::string> TestRoom::place(const TestFile& file, const std::string& dotted_step) {
  auto deposit = Deposit::open(spool_);
  if (!deposit) return deposit.error();
  MFDATA_TRY(fill(file, deposit->file(), "a file for the step"));
  const std::string directory = file.path.empty() ? "" : fs::absolute(file.path).parent_path().string() + '/';
  MFDATA_TRY(deposit->commit(dotted_step, file.name, directory, file.tags));
  return deposit->uid();
}

void TestRoom::discard(const std::string& dotted_step, const std::vector<std::string>& uids) {
  if (uids.empty()) return;
  auto files = waiting_files(spool_, dotted_step);
  for (const WaitingFile& file : files ? *files : std::vector<WaitingFile>()) {
    if (!file.name || std::find(uids.begin(), uids.end(), file.name->uid) == uids.end()) continue;
    (void)spool_.disk().unlink(file.path);
    if (file.name->sidecar) (void)spool_.disk().unlink(layout::sidecar(file.name->uid));
  }
}

Result<void> TestRoom::bring_back(const std::string& dotted_step, const std::vector<std::string>& uids) {
  auto files = waiting_files(spool_, dotted_step);
  if (!files) return files.error();
  for (const WaitingFile& file : *files) {
    if (!file.name || file.due_ms == 0 || std::find(uids.begin(), uids.end(), file.name->uid) == uids.end()) continue;
    MFDATA_TRY(spool_.disk().rename(file.path, layout::step_directory(dotted_step) + '/' + file.name->spell()));
  }
  return {};
}

Result<std::string> TestRoom::copy(const TestFile& file) {
  const std::string path = shelf_.next_path();
  auto copy = spool_.disk().create(path);
  if (!copy) return copy.error();
  MFDATA_TRY(fill(file, copy->get(), path));
  return path;
}

void TestRoom::finish(KeptResult& result, std::vector<wire::MetricDelta> metrics) {
  for (const wire::MetricDelta& delta : metrics) result.add(trial_.plugin().name, delta);
  const std::uint64_t calls = faults_.calls(), failed = faults_.failed();
  result.note_calls(calls - std::exchange(calls_seen_, calls), failed - std::exchange(failures_seen_, failed));
  const std::lock_guard lock(log_mutex_);
  for (const LogLine& line : std::exchange(log_, {})) result.add(line);
}

}  // namespace mfdata
