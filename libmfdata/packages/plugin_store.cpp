#include "libmfdata/plugin_store.hpp"

#include <algorithm>
#include <boost/filesystem/operations.hpp>
#include <cerrno>

#include "libmfdata/plugin_check.hpp"
#include "libmfdata/printable.hpp"
#include "libmfdata/spool_layout.hpp"
#include "libmfdata/spool_name.hpp"
#include "libmfdata/version.hpp"
#include "references.hpp"
#include "staging.hpp"
#include "store.hpp"

namespace fs = boost::filesystem;

namespace mfdata {
namespace {

constexpr std::size_t kShownReferences = 5;

Error bad(const std::string& text) { return Error{Code::kBadConfig, 0, text}; }

// The plugin.toml that runs; a problem when `current` points to nothing.
PluginSettings current_manifest(const Home& home, const std::string& name, Problems& problems) {
  boost::system::error_code code;
  const fs::path folder = fs::canonical(home.current(name), code);
  if (!code) return load_plugin_folder(folder.string(), problems);
  problems.push_back({{}, home.current(name).string() + " points to nothing: install the plugin again, or remove it", ""});
  return {};
}

InstalledPlugin shown(const Home& home, const std::string& name) {
  boost::system::error_code code;
  Problems problems;
  const PluginSettings manifest = current_manifest(home, name, problems);
  InstalledPlugin plugin{name, manifest.version, manifest.summary, {}, {}, version_of_folder(link_of(home.plugin(name) / "previous")), "", ""};
  for (const Problem& problem : problems) plugin.problem += (plugin.problem.empty() ? "" : "\n") + problem.spell();
  for (const StepSettings& step : manifest.steps) plugin.steps.push_back(step.name);
  if (const std::string target = link_of(home.current(name)); target.starts_with('/')) plugin.developed = target;
  const std::string unfinished = Store::unfinished(home, name);
  for (fs::directory_iterator at(home.plugin(name), code), end; !code && at != end; at.increment(code)) {
    const std::string folder = at->path().filename().string();
    if (!folder.starts_with('.') && folder != "current" && folder != "previous" && folder != unfinished) plugin.versions.push_back(version_of_folder(folder));
  }
  std::sort(plugin.versions.begin(), plugin.versions.end(), [](const std::string& a, const std::string& b) { return compare_versions(a, b) < 0; });
  plugin.versions.erase(std::unique(plugin.versions.begin(), plugin.versions.end()), plugin.versions.end());
  return plugin;
}

// Dotted.
std::vector<std::string> steps_of_retired(const Store& store, const std::string& name) {
  std::vector<std::string> steps;
  boost::system::error_code code;
  const fs::path folder = fs::canonical(store.ending(name), code);
  Problems ignored;
  if (code) return steps;
  for (const StepSettings& step : load_plugin_folder(folder.string(), ignored).steps) steps.push_back(name + '.' + step.name);
  return steps;
}

// Of a plugin that is retired. Its folder tells which they are: it goes after them.
Result<void> clear_traces(const Store& store, const std::string& name) {
  const Home& home = store.home();
  Problems problems;
  const fs::path data = load_general_settings(home, problems).data_dir;
  if (!problems.empty()) return bad("where the spool directories of " + name + " are cannot be told: " + problems.front().spell());
  boost::system::error_code code;
  for (const std::string& step : steps_of_retired(store, name)) {
    for (const std::string& directory : {layout::step_directory(step), layout::waiting_directory(step), layout::trash_directory(step)}) {
      fs::remove(data / directory, code);  // only when it is empty
    }
  }
  fs::remove(home.override_of(name), code);
  return {};
}

Error not_installed(const Home& home, const std::string& name) {
  const auto near = near_miss(name, installed_plugins(home));
  return Error{Code::kNotFound, 0, "no plugin \"" + printable(name, 100) + "\" is installed" + (near ? ": did you mean \"" + *near + "\"?" : "")};
}

// A loader could not start with what is wrong once the plugin runs from the folder, and was not before.
Result<void> check_configuration(const Home& home, const PluginFolder& as_if) {
  Problems before, after;
  const Settings now = load_settings(home, before), then = load_settings(home, after, &as_if);
  std::erase_if(after, [&](const Problem& problem) {
    return std::any_of(before.begin(), before.end(), [&](const Problem& known) { return known.text == problem.text; });
  });
  if (after.empty()) return {};
  std::string text = "the configuration does not go with this version of " + as_if.name + ", nothing is changed; mend it first, or use --force:";
  for (const Problem& problem : after) text += '\n' + problem.spell();
  return bad(text);
}

}  // namespace

Result<InstalledPlugin> install_plugin(const Home& home, const GeneralSettings& settings, const std::string& path, const InstallOptions& options) {
  auto store = Store::lock(home, options.patience_s);
  if (!store) return store.error();
  auto staged = stage(*store, settings, path, options, [&](const std::string& name, const std::string& folder) {
    return options.force ? Result<void>() : check_configuration(home, {name, folder});
  });
  if (!staged) return staged.error();
  auto done = store->switch_to(staged->name, staged->folder);
  if (done) return shown(home, staged->name);
  store->give_up(staged->name);
  return done.error();
}

// The newest folder of that version which is kept.
static Result<std::string> kept_folder(const Home& home, const std::string& name, const std::string& version) {
  const std::string unfinished = Store::unfinished(home, name);
  std::string newest;
  std::vector<std::string> versions;
  boost::system::error_code code;
  for (fs::directory_iterator at(home.plugin(name), code), end; !code && at != end; at.increment(code)) {
    const std::string folder = at->path().filename().string();
    if (folder == unfinished || !valid_version(version_of_folder(folder)) || !fs::is_directory(at->symlink_status(code))) continue;
    versions.push_back(version_of_folder(folder));
    if (versions.back() == version && (folder.size() > newest.size() || (folder.size() == newest.size() && folder > newest))) newest = folder;
  }
  if (!newest.empty()) return newest;
  std::sort(versions.begin(), versions.end(), [](const std::string& a, const std::string& b) { return compare_versions(a, b) < 0; });
  versions.erase(std::unique(versions.begin(), versions.end()), versions.end());
  return Error{Code::kNotFound, 0, "version " + printable(version, 100) + " of " + name + " is not kept, " + joined(versions) +
                                       (versions.size() == 1 ? " is" : " are") + ": install the one that you want with --force"};
}

Result<InstalledPlugin> rollback_plugin(const Home& home, const std::string& name, bool force, const std::string& version) {
  auto store = Store::lock(home);
  if (!store) return store.error();
  boost::system::error_code code;
  if (!valid_plugin_name(name) || !store->installed(name)) return not_installed(home, name);
  const std::string now = store->current(name);
  std::string before = store->previous(name);
  if (!version.empty()) {
    auto kept = kept_folder(home, name, version);
    if (!kept) return kept.error();
    if (*kept == now) return Error{Code::kExists, 0, name + " is at " + version + " already"};
    before = *kept;
  } else if (before.empty() || before == now || !fs::is_directory(store->plugin(name) / before, code)) before = store->newest_but(name, now);
  if (before.empty()) {
    return Error{Code::kNotFound, 0, "no earlier version of " + name + " is kept: install the one that you want with --force"};
  }
  if (!force) MFDATA_TRY(check_configuration(home, {name, (store->plugin(name) / before).string()}));
  // A kill between the two leaves both links at one version: the next rollback takes the newest of the others.
  MFDATA_TRY(point_link(home.current(name), before));
  if (!now.starts_with('/')) MFDATA_TRY(point_link(store->plugin(name) / "previous", now));
  return shown(home, name);
}

Result<InstalledPlugin> develop_plugin(const Home& home, const std::string& folder, bool force) {
  auto checked = check_plugin_folder(folder);
  if (!checked) return checked.error();
  const std::string name = checked->settings.name;
  auto store = Store::lock(home);
  if (!store) return store.error();
  MFDATA_TRY(check_folder_owner(*store, checked->settings.directory));
  if (!force) MFDATA_TRY(check_configuration(home, {name, checked->settings.directory}));
  MFDATA_TRY(make_directory(store->plugin(name)));
  MFDATA_TRY(store->switch_to(name, checked->settings.directory));
  return shown(home, name);
}

std::vector<InstalledPlugin> list_plugins(const Home& home) {
  std::vector<InstalledPlugin> all;
  for (const std::string& name : installed_plugins(home)) all.push_back(shown(home, name));
  return all;
}

Result<void> remove_plugin(const Home& home, const std::string& name, const RemoveOptions& options) {
  auto store = Store::lock(home);
  if (!store) return store.error();
  if (valid_plugin_name(name) && store->retired(name)) return {};  // its end is what is left
  if (!valid_plugin_name(name) || !store->installed(name)) return not_installed(home, name);
  Problems problems;
  const Settings settings = load_settings(home, problems);
  std::erase_if(problems, [&](const Problem& problem) {  // what is wrong with the plugin itself does not keep it
    return problem.where.file.starts_with(home.plugin(name).string() + '/') || problem.where.file == home.override_of(name).string() ||
           problem.text.starts_with(home.current(name).string());
  });
  if (!problems.empty() && !options.force) {
    return bad("whether others send files to " + name +
               " cannot be told, the configuration has errors (--force removes it nevertheless): " + problems.front().spell());
  }
  if (options.running && settings.general.entry_step.starts_with(name + '/')) {
    return bad("files that arrive are given to " + settings.general.entry_step + ": change [data] entry_step first, or stop the loader");
  }
  const std::vector<std::string> places = references_to(settings, name);
  if (!places.empty() && !options.force) {
    std::string text;
    for (std::size_t i = 0; i < places.size() && i < kShownReferences; ++i) text += (i == 0 ? "" : ", ") + places[i];
    if (places.size() > kShownReferences) text += " and " + std::to_string(places.size() - kShownReferences) + " more";
    return Error{Code::kRefused, 0, "files are sent to " + name + " by " + text + ": change that first, or use --force"};
  }
  return store->retire(name);
}

Result<void> finish_removal(const Home& home, const std::string& name, bool clean) {
  auto store = Store::lock(home);
  if (!store) return store.error();
  if (!store->retired(name)) return {};
  if (clean) MFDATA_TRY(clear_traces(*store, name));
  const fs::path gone = home.plugins() / (".removed-" + fresh_uid());
  if (::rename(home.plugin(name).c_str(), gone.c_str()) != 0) return system_error(errno, "cannot remove " + home.plugin(name).string());
  MFDATA_TRY(sync_path(home.plugins()));
  boost::system::error_code code;
  fs::remove_all(gone, code);
  return code ? system_error(code.value(), "cannot remove " + gone.string()) : Result<void>();
}

}  // namespace mfdata
