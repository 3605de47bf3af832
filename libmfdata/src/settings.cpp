#include "libmfdata/settings.hpp"

#include <fcntl.h>

#include <algorithm>
#include <atomic>
#include <boost/filesystem/operations.hpp>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <system_error>
#include <thread>

#include "libmfdata/config_rules.hpp"
#include "libmfdata/disk.hpp"
#include "libmfdata/file_descriptor.hpp"
#include "libmfdata/settings_places.hpp"
#include "libmfdata/spool_layout.hpp"
#include "libmfdata/toml_reader.hpp"
#include "libmfdata/version.hpp"
#include "base_plugin.hpp"
#include "custom_keys.hpp"
#include "overrides.hpp"
#include "placeholders.hpp"
#include "settings_checks.hpp"

namespace fs = boost::filesystem;

namespace mfdata {
namespace {

void add(Problems& problems, const Location& where, std::string text, std::string hint = "") {
  problems.push_back({where, std::move(text), std::move(hint)});
}

// The place that an error about a file begins with, "FILE:LINE:COLUMN: ", as one.
Problem located(const std::string& text, const std::string& file) {
  Problem problem{{file, 0, 0, ""}, text, ""};
  if (!text.starts_with(file + ':')) return Problem{{}, text, ""};
  std::size_t at = file.size() + 1;
  for (int* number : {&problem.where.line, &problem.where.column}) {
    const auto [end, error] = std::from_chars(text.data() + at, text.data() + text.size(), *number);
    const auto behind = static_cast<std::size_t>(end - text.data());
    if (error != std::errc() || behind >= text.size() || text[behind] != ':') break;
    at = behind + 1;
  }
  problem.text = text.substr(std::min(text.find_first_not_of(' ', at), text.size()));
  return problem;
}

// Reads one layer if it is there, checks it, and adds it to the stack.
void read_layer(const fs::path& path, ConfigFile kind, bool required, std::vector<ConfigValue>& layers, Problems& problems) {
  auto value = read_toml(path.string());
  if (!value) {
    if (value.is(Code::kGone) && !required) return;
    return problems.push_back(located(value.error().text, path.string()));
  }
  check_rules(*value, kind, problems);
  layers.push_back(std::move(*value));
}

double quiet_time(const std::string& text) { return duration_seconds(ConfigValue(text.substr(std::string("quiet:").size()))).value_or(0); }

Readiness readiness(const std::string& text, const std::string& at_start) {
  if (text == "rename") return {Readiness::Kind::kRename, at_start == "leave" ? -1 : quiet_time(at_start)};
  if (text.starts_with("quiet:")) return {Readiness::Kind::kQuiet, quiet_time(text)};
  return {};
}

Reserve reserve(const SectionReader& data, const char* key) {
  const ConfigValue* raw = data.raw(key);
  const ConfigValue value = raw ? *raw : ConfigValue(std::string("5%"));
  if (value.kind() == ConfigValue::Kind::kString && value.string().ends_with('%')) {
    return {std::strtod(value.string().c_str(), nullptr) / 100, 0};
  }
  return {-1, size_bytes(value).value_or(0)};
}

GeneralSettings general_settings(const ConfigValue& tree, const std::string& config_name, const Home& home, Problems& problems) {
  const auto section = [&](const char* name) { return SectionReader(ConfigFile::kMfdata, name, tree.find(name)); };
  const SectionReader data = section("data"), loader = section("loader"), log = section("log");
  const auto path = [&](const SectionReader& reader, const char* key, const char* what) {
    return substituted(reader.text(key), {{"home", home.root.string()}}, Braces::kPath, reader.where(key), what, problems);
  };
  GeneralSettings general;
  general.config_name = config_name;
  general.require_signatures = section("mfdata").flag("require_signatures");
  general.postinstall_timeout_s = section("mfdata").seconds("postinstall_timeout");
  general.data_dir = path(data, "dir", "[data] dir");
  if (!general.data_dir.starts_with('/')) general.data_dir = (home.root / general.data_dir).string();
  general.entry_step = data.text("entry_step");
  general.entry_where = data.where("entry_step");
  if (auto level = parse_durability(data.text("durability"))) general.durability = *level;
  general.defaults = {{}, "", readiness(data.text("ready"), data.text("ready_at_start")), data.strings("ignore"), data.seconds("foreign_quiet")};
  if (const ConfigValue* watch = data.raw("watch")) {
    for (const auto& [directory, keys] : watch->table()) {
      WatchSettings settings = general.defaults;
      settings.directory = directory;
      settings.where = keys.where();
      const SectionReader reader(ConfigFile::kMfdata, "data.watch.*", &keys);
      const auto own = [&](const char* key) { return reader.raw(key) ? reader.text(key) : data.text(key); };
      settings.ready = readiness(own("ready"), own("ready_at_start"));
      if (reader.raw("ignore")) settings.ignore = reader.strings("ignore");
      if (reader.raw("foreign_quiet")) settings.foreign_quiet_s = reader.seconds("foreign_quiet");
      general.watches.push_back(std::move(settings));
    }
  }
  general.max_file_size = data.bytes("max_file_size");
  general.rescan_interval_s = data.seconds("rescan_interval");
  general.lifetimes = {data.seconds("trash_max_lifetime"), data.seconds("tmp_max_lifetime"), data.seconds("backlog_max_lifetime"),
                       data.seconds("idempotency_window")};
  general.no_space_max_wait_s = data.seconds("no_space_max_wait");
  general.min_free_space = reserve(data, "min_free_space");
  general.min_free_inodes = reserve(data, "min_free_inodes");
  general.cpu_policy_batch = loader.text("cpu_policy") == "batch";
  general.max_crashes = static_cast<unsigned>(loader.integer("max_crashes"));
  general.predicate_timeout_s = loader.seconds("predicate_timeout");
  general.step_limit = static_cast<std::uint64_t>(loader.integer("step_limit"));
  general.max_queued = static_cast<std::uint64_t>(loader.integer("max_queued"));
  general.log_level = log.text("level");
  general.log_json = log.text("format") == "json";
  general.log_directory = path(log, "directory", "[log] directory");
  general.rotate_size = log.bytes("rotate_size");
  general.rotate_keep = static_cast<unsigned>(log.integer("rotate_keep"));
  general.metrics_listen = section("metrics").text("listen");
  return general;
}

// Where the keys of a step are written.
std::vector<std::pair<std::string, Location>> places_of(const ConfigValue& keys) {
  std::vector<std::pair<std::string, Location>> places;
  for (const auto& [key, value] : keys.table()) {
    places.emplace_back(key, value.where());
    if (value.kind() != ConfigValue::Kind::kArray) continue;
    for (std::size_t i = 0; i < value.array().size(); ++i) {
      places.emplace_back(key + '[' + std::to_string(i) + ']', value.array()[i].where());
    }
  }
  return places;
}

StepSettings step_settings(const std::string& plugin, const std::string& name, const ConfigValue& keys) {
  const SectionReader step(ConfigFile::kPlugin, "step.*", &keys);
  StepSettings settings;
  settings.where = keys.where();
  settings.written = places_of(keys);
  settings.plugin = plugin;
  settings.name = name;
  settings.component = step.text("component").empty() ? name : step.text("component");
  settings.debug = step.flag("debug");
  settings.numprocesses = static_cast<unsigned>(step.integer("numprocesses"));
  if (settings.debug) settings.numprocesses = std::min(settings.numprocesses, 1U);
  settings.watched_directories = step.strings("watched_directories");
  settings.timeout_s = step.seconds("timeout");
  settings.start_timeout_s = step.seconds("start_timeout");
  settings.max_age_s = settings.debug ? 0 : step.seconds("max_age");
  settings.max_queue = static_cast<std::uint64_t>(step.integer("max_queue"));
  settings.limits = {step.bytes("rlimit_as"), static_cast<std::uint64_t>(step.integer("rlimit_nofile")), step.bytes("rlimit_stack"),
                     step.bytes("rlimit_fsize")};
  const std::string policy = step.text("failure_policy");
  settings.failure_policy = policy == "delete" ? FailurePolicy::kDelete : policy == "move" ? FailurePolicy::kMove : FailurePolicy::kKeep;
  settings.failure_target = step.text("failure_policy_move_dest_dir");
  settings.keep_unmatched = step.text("unmatched_policy") == "keep";
  settings.retry = {static_cast<std::uint64_t>(step.integer("retry_total")), step.seconds("retry_min_wait"), step.seconds("retry_max_wait"),
                    step.seconds("retry_backoff")};
  settings.batch_max_size = static_cast<unsigned>(step.integer("max_size"));
  settings.batch_max_wait_s = step.seconds("max_wait");
  settings.log_level = settings.debug ? "debug" : step.text("log_level");
  return settings;
}

StepSettings listener_settings(const std::string& plugin, const std::string& name, const ConfigValue& keys) {
  const SectionReader reader(ConfigFile::kPlugin, "listener.*", &keys);
  StepSettings settings;
  settings.where = keys.where();
  settings.written = places_of(keys);
  settings.kind = WorkerKind::kListener;
  settings.plugin = plugin;
  settings.name = name;
  settings.component = reader.text("component").empty() ? name : reader.text("component");
  settings.numprocesses = static_cast<unsigned>(reader.integer("numprocesses"));
  settings.timeout_s = reader.seconds("timeout");
  settings.start_timeout_s = reader.seconds("start_timeout");
  settings.max_age_s = reader.seconds("max_age");
  settings.limits = {reader.bytes("rlimit_as"), static_cast<std::uint64_t>(reader.integer("rlimit_nofile")), reader.bytes("rlimit_stack"),
                     reader.bytes("rlimit_fsize")};
  settings.log_level = reader.text("log_level");
  return settings;
}

// A switch has the key no_match_policy: it is the unmatched_policy of each of its steps that writes none of its own.
void take_no_match_policy(const ConfigValue& tree, PluginSettings& plugin) {
  const ConfigValue* policy = plugin.custom.find(kNoMatchPolicy);
  if (!policy) return;
  const ConfigValue* steps = tree.find("step");
  for (StepSettings& step : plugin.steps) {
    const ConfigValue* keys = steps ? steps->find(step.name) : nullptr;
    if (keys && keys->find("unmatched_policy")) continue;
    step.keep_unmatched = policy->kind() != ConfigValue::Kind::kString || policy->string() != "delete";
  }
}

// The members of a merged, checked plugin tree. `installed_as` wins over the name in it (install --new-name).
// `base`: by whose library it runs; nullptr: by its own.
PluginSettings plugin_settings(const ConfigValue& tree, const BasePlugin* base, const std::string& folder, const std::string& installed_as,
                               Problems& problems) {
  PluginSettings plugin;
  plugin.directory = folder;
  const ConfigValue* head = tree.find("plugin");
  const Location where{folder + "/plugin.toml", 0, 0, ""};
  for (const char* key : {"name", "version", "library"}) {
    const ConfigValue* value = head ? head->find(key) : nullptr;
    const bool is_library = std::string_view(key) == "library";
    if (value || (is_library && base)) continue;
    add(problems, head ? head->where() : where, std::string("[plugin] ") + key + " is missing",
        is_library ? "a plugin without a library of its own names a plugin that came with mfdata: base = \"exec\"" : "");
  }
  if (!problems.empty()) return plugin;
  const std::string library = base ? "" : head->find("library")->string();
  if (library.starts_with('/') || fs::path(library).lexically_normal().string().starts_with("..")) {
    add(problems, head->find("library")->where(), "library is a file of the plugin's folder, not \"" + library + '"');
  }
  const SectionReader reader(ConfigFile::kPlugin, "plugin", head);
  plugin.name = installed_as.empty() ? reader.text("name") : installed_as;
  plugin.version = reader.text("version");
  plugin.summary = reader.text("summary");
  plugin.license = reader.text("license");
  plugin.maintainer = reader.text("maintainer");
  plugin.url = reader.text("url");
  plugin.library = base ? base->library : (fs::path(folder) / library).string();
  if (base) plugin.base = base->name, plugin.base_directory = base->folder;
  if (!valid_plugin_name(plugin.name)) {
    add(problems, reader.where("name"), "bad plugin name \"" + plugin.name + "\": A-Z a-z 0-9 _ - are allowed, and it may not be reserved");
  }
  if (!valid_version(plugin.version)) {
    add(problems, reader.where("version"), "bad version \"" + plugin.version + "\": letters, digits and . + - _ ~ are allowed, at most 64");
  }
  for (const auto& [kind, make] : {std::pair("step", &step_settings), std::pair("listener", &listener_settings)}) {
    const ConfigValue* all = tree.find(kind);
    if (!all) continue;
    for (const auto& [name, keys] : all->table()) {
      if (!valid_step_name(name)) {
        add(problems, keys.where(), "bad name \"" + name + "\" of a " + kind + ": A-Z a-z 0-9 _ are allowed, and not \"..._reinject\"");
      }
      const bool taken =
          std::any_of(plugin.steps.begin(), plugin.steps.end(), [&name = name](const StepSettings& step) { return step.name == name; });
      if (taken) add(problems, keys.where(), "there is a step \"" + name + "\" already: a listener needs a name of its own");
      plugin.steps.push_back(make(plugin.name, name, keys));
      if (base && !keys.find("component")) plugin.steps.back().component = base->component_for(kind, name);
    }
  }
  plugin.rules = switch_rules(plugin.name, tree, plugin.rule_problems);
  plugin.target_keys = target_keys(tree);
  plugin.path_keys = path_keys(tree);
  if (const ConfigValue* custom = tree.find("custom")) plugin.custom = *custom;
  apply_schema(tree, plugin.custom, problems);
  take_no_match_policy(tree, plugin);
  return plugin;
}

// "incoming/" and "./incoming" are "incoming"; the spool's own directories are nobody's entrance.
std::string normalised(std::string directory, const std::string& data_dir) {
  directory = std::filesystem::path(directory).lexically_normal().string();  // Boost's of 1.74 keeps a "./" in front
  while (directory.size() > 1 && (directory.ends_with('/') || directory.ends_with("/."))) directory.resize(directory.rfind('/'));
  return directory.starts_with(data_dir + '/') ? directory.substr(data_dir.size() + 1) : directory;
}

// What {NAME} stands for in the values of a plugin; of a step (dotted) or, empty, of none.
Names names_of(const PluginSettings& plugin, const Settings& settings, const Home& home, const std::string& step) {
  const std::string& data_dir = settings.general.data_dir;
  return {{"home", home.root.string()},
          {"data_dir", data_dir},
          {"plugin_dir", plugin.directory},
          {"plugin_name", plugin.name},
          {"step_dir", step.empty() ? data_dir : data_dir + '/' + layout::step_directory(step)}};
}

void resolve_directories(Settings& settings, const Home& home, Problems& problems) {
  const Names general = {{"home", home.root.string()}, {"data_dir", settings.general.data_dir}};
  for (WatchSettings& watch : settings.general.watches) {
    const std::string what = "[data.watch]";
    const std::string path = substituted(watch.directory, general, Braces::kPath, watch.where, what, problems);
    watch.directory = normalised(path, settings.general.data_dir);
  }
  for (PluginSettings& plugin : settings.plugins) {
    for (StepSettings& step : plugin.steps) {
      const Names names = names_of(plugin, settings, home, step.dotted());
      const auto path = [&](const std::string& text, const std::string& place, const char* key) {
        return substituted(text, names, Braces::kPath, step.where_of(place), step.slashed() + ": " + key, problems);
      };
      step.failure_target = path(step.failure_target, "failure_policy_move_dest_dir", "failure_policy_move_dest_dir");
      for (std::size_t i = 0; i < step.watched_directories.size(); ++i) {
        std::string& directory = step.watched_directories[i];
        const std::string place = "watched_directories[" + std::to_string(i) + ']';
        directory = normalised(path(directory, place, "watched_directories"), settings.general.data_dir);
      }
    }
  }
}

}  // namespace

void Settings::warn(const Location& where, std::string text, std::string hint) {
  warnings.push_back({where, std::move(text), std::move(hint), Severity::kWarning});
}

const Location& StepSettings::where_of(const std::string& key) const {
  const auto at = std::find_if(written.begin(), written.end(), [&](const auto& one) { return one.first == key; });
  return at == written.end() ? where : at->second;
}

bool StepSettings::has(const std::string& key) const {
  return std::any_of(written.begin(), written.end(), [&](const auto& one) { return one.first == key; });
}

const PluginSettings* Settings::find_plugin(const std::string& name) const {
  for (const PluginSettings& plugin : plugins) {
    if (plugin.name == name) return &plugin;
  }
  return nullptr;
}

const StepSettings* Settings::find_step(const std::string& slashed) const {
  for (const PluginSettings& plugin : plugins) {
    for (const StepSettings& step : plugin.steps) {
      if (step.kind == WorkerKind::kStep && step.slashed() == slashed) return &step;
    }
  }
  return nullptr;
}

static fs::path layer_of_administrator(const Home& home) { return home.administrator.empty() ? administrator_directory() : home.administrator; }

// The tree of mfdata.toml and of the administrator's, and the name that chooses its variants.
static std::pair<ConfigValue, std::string> general_tree(const Home& home, Problems& problems) {
  std::vector<ConfigValue> layers;
  read_layer(home.configuration(), ConfigFile::kMfdata, false, layers, problems);
  read_layer(layer_of_administrator(home) / "mfdata.toml", ConfigFile::kMfdata, false, layers, problems);
  if (!problems.empty()) layers.clear();  // the plugins are checked all the same
  const ConfigValue plain = merge_layers(layers, "");
  const SectionReader names(ConfigFile::kMfdata, "mfdata", plain.find("mfdata"));
  const char* variable = std::getenv("MFDATA_CONFIG");
  const std::string config_name = variable && *variable ? variable : names.text("config_name");
  return {merge_layers(std::move(layers), config_name), config_name};
}

GeneralSettings load_general_settings(const Home& home, Problems& problems) {
  const auto [tree, config_name] = general_tree(home, problems);
  return general_settings(tree, config_name, home, problems);
}

Location place_of_metrics(const Home& home) {
  Problems ignored;
  const auto [tree, config_name] = general_tree(home, ignored);
  const ConfigValue* listen = tree.at_path("metrics.listen");
  return listen ? listen->where() : Location{};
}

// By name, as installed; `as_if`: but one of them.
static std::vector<PluginFolder> plugin_folders(const Home& home, const PluginFolder* as_if, Problems& problems) {
  std::vector<PluginFolder> all;
  if (as_if) all.push_back(*as_if);
  for (const std::string& name : installed_plugins(home)) {
    if (as_if && name == as_if->name) continue;
    boost::system::error_code code;
    const std::string folder = fs::canonical(home.current(name), code).string();
    if (!code) all.push_back({name, folder});
    if (code)
      add(problems, Location{},
          home.current(name).string() + " points to nothing: install the plugin again, or remove it (mfdata-plugin remove " + name + ')');
  }
  std::sort(all.begin(), all.end(), [](const PluginFolder& a, const PluginFolder& b) { return a.name < b.name; });
  return all;
}

namespace {

struct ReadPlugin {
  std::optional<PluginSettings> settings;
  Problems problems;
};

// Looks into what the layers say of [custom], and puts the layer of the base below them, when the plugin has one.
std::optional<BasePlugin> base_below(std::vector<ConfigValue>& layers, Problems& problems) {
  std::optional<BasePlugin> base = base_of(layers.front(), problems);
  if (!problems.empty()) return base;
  if (base) check_keys_of_base(layers.front(), *base, problems);
  check_custom_keys(layers, base ? base->custom_keys : std::vector<std::string>(), problems);
  if (base) layers.insert(layers.begin(), base->layer);
  return base;
}

// One plugin with the operator's layers. Looks at nothing but its files: plugins are read side by side.
ReadPlugin read_plugin(const Home& home, const PluginFolder& plugin, const std::string& config_name) {
  std::vector<ConfigValue> layers;
  ReadPlugin read;
  Problems& own = read.problems;
  read_layer(plugin.folder + "/plugin.toml", ConfigFile::kPlugin, true, layers, own);
  read_layer(home.override_of(plugin.name), ConfigFile::kPlugin, false, layers, own);
  read_layer(layer_of_administrator(home) / "plugins.d" / (plugin.name + ".toml"), ConfigFile::kPlugin, false, layers, own);
  std::optional<BasePlugin> base;
  if (own.empty()) {
    check_overrides(layers, own);
    base = base_below(layers, own);
  }
  if (own.empty()) {
    read.settings = plugin_settings(merge_layers(std::move(layers), config_name), base ? &*base : nullptr, plugin.folder, plugin.name, own);
  }
  return read;
}

// In the order of the folders.
std::vector<ReadPlugin> read_plugins(const Home& home, const std::vector<PluginFolder>& folders, const std::string& config_name) {
  constexpr std::size_t kFew = 8;  // which are read sooner than a thread starts
  std::vector<ReadPlugin> all(folders.size());
  std::atomic<std::size_t> next{0};
  const auto work = [&] {
    for (std::size_t i; (i = next++) < folders.size();) all[i] = read_plugin(home, folders[i], config_name);
  };
  std::vector<std::thread> helpers;
  const std::size_t processors = std::clamp<std::size_t>(std::thread::hardware_concurrency(), 1, 8);
  try {
    for (std::size_t i = 1; folders.size() > kFew && i < processors; ++i) helpers.emplace_back(work);
  } catch (const std::system_error&) {  // a limit of processes: it takes longer
  }
  work();
  for (std::thread& helper : helpers) helper.join();
  return all;
}

Settings load_each(const Home& home, const PluginFolder* as_if, Problems& problems) {
  Settings settings;
  settings.general = load_general_settings(home, problems);
  const std::vector<PluginFolder> folders = plugin_folders(home, as_if, problems);
  std::vector<std::string> installed;
  for (const PluginFolder& folder : folders) installed.push_back(folder.name);
  for (const fs::path& layer : {home.override_of("").parent_path(), layer_of_administrator(home) / "plugins.d"}) {
    check_override_files(layer, installed, problems, settings.warnings);
  }
  for (ReadPlugin& read : read_plugins(home, folders, settings.general.config_name)) {
    if (read.settings) settings.plugins.push_back(std::move(*read.settings));
    problems.insert(problems.end(), read.problems.begin(), read.problems.end());
  }
  resolve_directories(settings, home, problems);
  return settings;
}

}  // namespace

std::optional<bool> is_configured(const Home& home, const GeneralSettings& general, const std::string& slashed) {
  const std::string name = slashed.substr(0, slashed.find('/'));
  boost::system::error_code code;
  const std::string folder = valid_plugin_name(name) ? fs::canonical(home.current(name), code).string() : "";
  if (folder.empty() || code) return false;
  const ReadPlugin read = read_plugin(home, {name, folder}, general.config_name);
  if (!read.settings) return std::nullopt;
  return std::any_of(read.settings->steps.begin(), read.settings->steps.end(), [&](const StepSettings& step) {
           return step.kind == WorkerKind::kStep && step.slashed() == slashed;
         });
}

Settings load_plugins_with(const Home& home, std::string_view key) {
  Problems ignored;
  Settings settings;
  settings.general = load_general_settings(home, ignored);
  const auto speaks_of_it = [&](const fs::path& path) {
    const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    const auto text = file ? read_all(file.get(), std::size_t{256} << 20, path.string()) : Result<std::string>(std::string());
    return !text || text->find(key) != std::string::npos;
  };
  for (const PluginFolder& plugin : plugin_folders(home, nullptr, ignored)) {
    if (!speaks_of_it(fs::path(plugin.folder) / "plugin.toml") && !speaks_of_it(home.override_of(plugin.name)) &&
        !speaks_of_it(layer_of_administrator(home) / "plugins.d" / (plugin.name + ".toml")))
      continue;
    ReadPlugin read = read_plugin(home, plugin, settings.general.config_name);
    if (read.settings) settings.plugins.push_back(std::move(*read.settings));
  }
  resolve_directories(settings, home, ignored);
  return settings;
}

std::map<std::string, std::vector<const StepSettings*>> Settings::watched() const {
  std::map<std::string, std::vector<const StepSettings*>> all = {{layout::kIncoming, {}}};
  for (const WatchSettings& watch : general.watches) all[watch.directory];
  const StepSettings* entry = nullptr;
  for (const PluginSettings& plugin : plugins) {
    for (const StepSettings& step : plugin.steps) {
      if (step.kind != WorkerKind::kStep) continue;
      for (const std::string& directory : step.watched_directories) all[directory].push_back(&step);
      if (step.slashed() == general.entry_step) entry = &step;
    }
  }
  for (auto& [directory, takers] : all) {
    if (takers.empty() && entry) takers.push_back(entry);
  }
  return all;
}

const WatchSettings& GeneralSettings::watch_of(const std::string& directory) const {
  const auto absolute = [&](const std::string& path) { return path.starts_with('/') ? path : data_dir + '/' + path; };
  const auto own = std::find_if(watches.begin(), watches.end(), [&](const WatchSettings& watch) { return absolute(watch.directory) == absolute(directory); });
  return own == watches.end() ? defaults : *own;
}

Settings load_settings_alone(const Home& home, Problems& problems) { return load_each(home, nullptr, problems); }

Settings load_settings(const Home& home, Problems& problems, const PluginFolder* as_if) {
  Settings settings = load_each(home, as_if, problems);
  if (problems.empty()) check_together(settings, home, problems);
  return settings;
}

PluginSettings load_plugin_folder(const std::string& folder, Problems& problems) {
  std::vector<ConfigValue> layers;
  read_layer(fs::path(folder) / "plugin.toml", ConfigFile::kPlugin, true, layers, problems);
  if (!problems.empty()) return {};
  const std::optional<BasePlugin> base = base_below(layers, problems);
  if (!problems.empty()) return {};
  PluginSettings plugin = plugin_settings(merge_layers(std::move(layers), ""), base ? &*base : nullptr, folder, "", problems);
  problems.insert(problems.end(), plugin.rule_problems.begin(), plugin.rule_problems.end());
  return plugin;
}

void find_misspelt(const PluginSettings& plugin, Settings& settings, const Home& home) {
  for (const auto& [key, value] : plugin.custom.table()) {
    const bool path = std::find(plugin.path_keys.begin(), plugin.path_keys.end(), key) != plugin.path_keys.end();
    if (!path) find_misspelt(value, names_of(plugin, settings, home, ""), plugin.name + ": [custom] " + key, settings.warnings);
  }
}

ConfigValue resolved_custom(const PluginSettings& plugin, const Settings& settings, const Home& home, const std::string& step, Problems& problems) {
  ConfigValue custom = plugin.custom;
  const Names names = names_of(plugin, settings, home, step);
  Names names_of_base = names;  // in what the base's own file says, the plugin's folder is the base's
  for (auto& [name, value] : names_of_base) {
    if (name == "plugin_dir" && !plugin.base.empty()) value = plugin.base_directory;
  }
  for (auto& [key, value] : custom.table()) {
    const bool path = std::find(plugin.path_keys.begin(), plugin.path_keys.end(), key) != plugin.path_keys.end();
    const bool of_base = !plugin.base.empty() && value.where().file == plugin.base_directory + "/plugin.toml";
    substitute(value, of_base ? names_of_base : names, path ? Braces::kPath : Braces::kText, plugin.name + ": [custom] " + key, problems);
  }
  return custom;
}

}  // namespace mfdata
