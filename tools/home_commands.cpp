// init and check.
#include <sys/stat.h>

#include <algorithm>
#include <boost/filesystem/operations.hpp>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "arrival_warnings.hpp"
#include "commands.hpp"
#include "libmfdata/counted.hpp"
#include "libmfdata/half_made.hpp"
#include "libmfdata/home_owner.hpp"
#include "libmfdata/plugin_store.hpp"
#include "libmfdata/settings.hpp"
#include "start_checks.hpp"

namespace fs = boost::filesystem;

namespace mfdata::tools {
namespace {

constexpr const char* kFirstConfiguration =
    "# The operator's configuration of this home; every key has a default. \"mfdata check\" finds mistakes.\n"
    "\n"
    "[data]\n"
    "entry_step = \"%s\"  # takes the files of watched directories that no step names\n";

std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> parts;
  for (std::size_t at = 0; at < list.size();) {
    const std::size_t end = std::min(list.find(',', at), list.size());
    if (end > at) parts.push_back(list.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

// A name of a plugin that came with the installation, or a folder.
Result<std::string> folder_of(const std::string& plugin) {
  return plugin.find('/') != std::string::npos ? Result<std::string>(plugin) : find_builtin_plugin(plugin);
}


// Says what is wrong, and how much of it; 0 when there is nothing but warnings.
int report(const Problems& problems, const Settings& settings, bool as_json) {
  const auto errors = static_cast<std::size_t>(
      std::count_if(problems.begin(), problems.end(), [](const Problem& one) { return one.severity == Severity::kError; }));
  const std::size_t warnings = problems.size() - errors;
  if (as_json) {
    nlohmann::json out = nlohmann::json::array();
    for (const Problem& problem : problems) {
      out.push_back({{"severity", problem.severity == Severity::kError ? "error" : "warning"},
                     {"file", problem.where.file},
                     {"line", problem.where.line},
                     {"column", problem.where.column},
                     {"text", problem.text},
                     {"hint", problem.hint}});
    }
    std::cout << out.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) << '\n';
    return errors == 0 ? 0 : 1;
  }
  for (const Problem& problem : problems) std::cerr << problem.spell() << '\n';
  const std::string warned = warnings == 0 ? "" : ", " + counted(warnings, "warning");
  if (errors > 0) return fail(counted(errors, "problem") + warned);
  std::size_t steps = 0;
  for (const PluginSettings& plugin : settings.plugins) steps += plugin.steps.size();
  std::cout << "no problems" << warned << ": " << counted(settings.plugins.size(), "plugin") << ", " << counted(steps, "step") << '\n';
  return 0;
}

// Until the last step a mark says that it is half made: whoever finds it says so, and init given again completes it.
Result<Home> fill_home(const std::string& directory, const std::vector<std::string>& folders, bool stands) {
  auto home = make_home(directory);
  if (!home) return home;
  if (!stands) MFDATA_TRY(mark_half_made(*home, true));
  std::string entry;
  for (const std::string& folder : folders) {
    auto installed = install_plugin(*home, {}, folder, {"", true, false});  // what one needs of the next is not there yet
    if (!installed) return installed.error();
    if (entry.empty() && !installed->steps.empty()) entry = installed->name + '/' + installed->steps.front();
    std::cout << "installed " << installed->name << ' ' << installed->version << '\n';
  }
  if (!fs::exists(home->configuration())) {
    std::string text = kFirstConfiguration;
    text.replace(text.find("%s"), 2, entry);
    std::ofstream file(home->configuration().string());
    file << text;
    file.close();
    if (!file) return Error{Code::kIo, 0, "cannot write " + home->configuration().string()};
  }
  if (!stands) MFDATA_TRY(mark_half_made(*home, false));
  return home;
}

void clear_directory(const fs::path& directory) {
  boost::system::error_code code;
  for (fs::directory_iterator at(directory, code), end; !code && at != end; at.increment(code)) {
    boost::system::error_code ignored;
    fs::remove_all(at->path(), ignored);
  }
}

}  // namespace

int fail(const std::string& text) {
  std::cerr << program_invocation_short_name << ": " << text << '\n';
  return 1;
}

int misuse(const std::string& text) {
  (void)fail(text);
  return 2;
}

int init(const std::string& directory, const std::string& plugins) {
  ::umask(077);
  const std::vector<std::string> names = split(plugins);
  if (names.empty()) return misuse("name the plugins to install, the first one gets the files: --plugins archive");
  std::vector<std::string> folders;
  for (const std::string& name : names) {  // a name that is wrong changes nothing
    auto folder = folder_of(name);
    if (!folder) return fail(folder.error().text);
    folders.push_back(*folder);
  }
  boost::system::error_code code;
  const fs::path there = fs::canonical(directory, code);
  const bool stands = !code && fs::is_directory(there / "etc", code) && !is_half_made(Home{there});
  const bool empty = code ? true : fs::is_empty(there, code);
  if (!there.empty() && fs::exists(there, code)) {
    if (auto owner = become_owner(Home{there}); !owner) return fail(owner.error().text);
  }
  auto made = fill_home(directory, folders, stands);
  if (!made) {
    if (!stands && empty) clear_directory(fs::absolute(directory));  // it had nothing in it before
    return fail(made.error().text);
  }
  const std::string root = made->root.string();
  Problems problems;
  for (const Problem& warning : load_settings(*made, problems).warnings) std::cerr << warning.spell() << '\n';
  std::cout << (stands ? root + " is a home already: its configuration and what else was in it are kept\n"
                       : "made the home " + root + "; start it with: mfdata-loader --home " + root + '\n');
  return 0;
}

int check(const std::string& option, bool as_json, bool tries) {
  auto home = find_home(option);
  if (!home) return fail(home.error().text);
  if (auto owner = become_owner(*home); !owner) return fail(owner.error().text);
  Problems problems;
  const Settings settings = load_settings(*home, problems);
  if (problems.empty()) {
    const auto add = [&](const Problems& more) { problems.insert(problems.end(), more.begin(), more.end()); };
    add(try_addresses(*home, settings));
    auto started = tries ? try_components(*home, settings) : Result<Problems>(Problems());
    if (!started) return fail(started.error().text);
    add(*started);
  }
  for (const Problems& more : {settings.rule_problems, settings.target_problems, settings.warnings}) {
    problems.insert(problems.end(), more.begin(), more.end());
  }
  const Problems arrivals = arrival_warnings(*home, settings);
  problems.insert(problems.end(), arrivals.begin(), arrivals.end());
  return report(problems, settings, as_json);
}

}  // namespace mfdata::tools
