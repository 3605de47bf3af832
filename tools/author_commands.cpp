// mfdata-plugin new, build, exec.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/filesystem/operations.hpp>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>

#include "commands.hpp"
#include "libmfdata/printable.hpp"
#include "libmfdata/settings.hpp"
#include "plugin_commands.hpp"

namespace fs = boost::filesystem;

namespace mfdata::tools {
namespace {

constexpr const char* kName = "@NAME@";
constexpr const char* kDefaultTemplate = "step";  // each programming language has it

fs::path program_folder() {
  boost::system::error_code code;
  return fs::read_symlink("/proc/self/exe", code).parent_path();
}

// Beside an installed mfdata-plugin, or in the source tree of the one that was built there.
Result<fs::path> find_templates() {
  boost::system::error_code code;
  for (const char* place : {"../share/mfdata/templates", "../sdk/templates", "../../sdk/templates"}) {
    const fs::path folder = fs::canonical(program_folder() / place, code);
    if (!code && fs::is_directory(folder, code)) return folder;
  }
  return Error{Code::kNotFound, 0, "the templates are neither in ../share/mfdata/templates nor in the source tree: the installation is incomplete"};
}

std::vector<std::string> folders_in(const fs::path& folder) {
  std::vector<std::string> names;
  boost::system::error_code code;
  for (fs::directory_iterator at(folder, code), end; !code && at != end; at.increment(code)) {
    if (fs::is_directory(at->path(), code)) names.push_back(at->path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string listed(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

// What the command line left open is asked for on a terminal; elsewhere it is the default, or, where there is none, an error.
Result<std::string> chosen(std::string given, const char* what, const std::vector<std::string>& choices, const std::string& otherwise = "") {
  if (given.empty() && ::isatty(STDIN_FILENO) == 0) given = otherwise;
  if (given.empty() && ::isatty(STDIN_FILENO) == 0) return Error{Code::kNotFound, 0, std::string("say which ") + what + ": " + listed(choices)};
  if (given.empty()) {
    std::cerr << what << " (" << listed(choices) << "): " << std::flush;
    std::getline(std::cin, given);
  }
  if (std::find(choices.begin(), choices.end(), given) != choices.end()) return given;
  const auto near = near_miss(given, choices);
  return Error{Code::kNotFound, 0,
               std::string("there is no ") + what + " \"" + printable(given, 100) + '"' +
                   (near ? ": did you mean \"" + *near + "\"?" : ", but " + listed(choices))};
}

// The language of a template that one language alone has, or that is called as the language; empty: it has to be said.
std::string language_of(const fs::path& templates, const std::string& kind) {
  std::vector<std::string> those_with_it;
  for (const std::string& language : folders_in(templates)) {
    if (kind == language) return language;
    const std::vector<std::string> kinds = folders_in(templates / language);
    if (std::find(kinds.begin(), kinds.end(), kind) != kinds.end()) those_with_it.push_back(language);
  }
  return those_with_it.size() == 1 ? those_with_it.front() : "";
}

std::string replaced(std::string text, const std::string& name) {
  for (std::size_t at = 0; (at = text.find(kName, at)) != std::string::npos; at += name.size()) text.replace(at, std::strlen(kName), name);
  return text;
}

Result<void> fill(const fs::path& from, const fs::path& to, const std::string& name) {
  boost::system::error_code code;
  for (fs::recursive_directory_iterator at(from, code), end; !code && at != end; at.increment(code)) {
    const fs::path target = to / replaced(at->path().lexically_relative(from).string(), name);
    if (fs::is_directory(at->path(), code)) continue;
    fs::create_directories(target.parent_path(), code);
    const auto text = small_file(at->path());
    if (!text) return Error{Code::kIo, 0, "cannot read " + at->path().string()};
    std::ofstream out(target.string(), std::ios::binary);
    out << replaced(*text, name);
    out.close();
    if (!out) return Error{Code::kIo, 0, "cannot write " + target.string()};
    fs::permissions(target, fs::status(at->path(), code).permissions(), code);
    if (code) return system_error(code.value(), "cannot write " + target.string());
  }
  return code ? system_error(code.value(), "cannot read " + from.string()) : Result<void>();
}

// pkg-config and CMake find the SDK that this program belongs to.
void point_at_sdk() {
  boost::system::error_code code;
  const fs::path prefix = fs::canonical(program_folder() / "..", code);
  const auto prepend = [](const char* variable, const std::string& value) {
    const char* before = std::getenv(variable);
    ::setenv(variable, (value + (before && *before ? ':' + std::string(before) : "")).c_str(), 1);
  };
  prepend("PKG_CONFIG_PATH", (prefix / "share/pkgconfig").string() + ':' + (prefix / "meson-uninstalled").string());
  prepend("CMAKE_PREFIX_PATH", prefix.string());
  prepend("PATH", program_folder().string());
}

// How a plugin is built: by the first of these files that it has.
struct Recipe {
  const char* file;
  std::vector<const char*> command;
};
const std::vector<Recipe> kRecipes = {
    {"Makefile", {"make"}},
    {"meson.build", {"sh", "-ec", "test -d build || meson setup build; ninja -C build; cp --remove-destination build/*.so ."}},
    {"CMakeLists.txt", {"sh", "-ec", "cmake -S . -B build; cmake --build build"}},
};

// There is no recipe: a plugin that runs by the library of its base needs none.
int build_nothing(const std::string& folder, const std::string& place) {
  Problems problems;
  const PluginSettings plugin = load_plugin_folder(place, problems);
  if (!problems.empty()) return fail(problems.front().spell());
  if (plugin.base.empty()) return fail(folder + " has neither Makefile, nor meson.build, nor CMakeLists.txt");
  std::cout << "nothing is to be built: " << plugin.name << " runs by the library of its base " << plugin.base << '\n';
  return 0;
}

int run_here(const std::vector<std::string>& words) {
  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  ::execvp(arguments[0], arguments.data());
  return fail("cannot run " + words[0] + ": " + std::strerror(errno));
}

}  // namespace

int new_plugin(const NewOptions& options) {
  auto templates = find_templates();
  if (!templates) return fail(templates.error().text);
  if (!valid_plugin_name(options.name))
    return fail("bad plugin name \"" + printable(options.name, 100) + "\": A-Z a-z 0-9 _ - are allowed, and it may not be reserved");
  auto language = chosen(options.language.empty() ? language_of(*templates, options.kind) : options.language, "language", folders_in(*templates));
  if (!language) return fail(language.error().text);
  const std::vector<std::string> kinds = folders_in(*templates / *language);
  const bool has_default = std::find(kinds.begin(), kinds.end(), kDefaultTemplate) != kinds.end();
  auto kind = chosen(options.kind == *language ? "" : options.kind, "template", kinds, has_default ? kDefaultTemplate : "");
  if (!kind) return fail(kind.error().text);
  const fs::path folder = fs::path(options.directory) / options.name;
  boost::system::error_code code;
  if (fs::exists(folder, code)) return fail(folder.string() + " is there already");
  if (auto filled = fill(*templates / *language / *kind, folder, options.name); !filled) {
    fs::remove_all(folder, code);
    return fail(filled.error().text);
  }
  std::cout << "made " << folder.string() << "; next: mfdata-plugin build " << folder.string() << ", then make -C " << folder.string() << " test\n";
  return 0;
}

int build_plugin(const std::string& folder) {
  boost::system::error_code code;
  const fs::path place = fs::canonical(folder, code);
  if (code || !fs::exists(place / "plugin.toml", code)) return fail(folder + " is no plugin: it has no plugin.toml");
  point_at_sdk();
  if (::chdir(place.c_str()) != 0) return fail("cannot enter " + folder + ": " + std::strerror(errno));
  std::vector<const Recipe*> there;
  for (const Recipe& recipe : kRecipes) {
    if (fs::exists(recipe.file, code)) there.push_back(&recipe);
  }
  if (there.empty()) return build_nothing(folder, place.string());
  std::string others;
  for (std::size_t i = 1; i < there.size(); ++i) others += (i == 1 ? "" : " and ") + std::string(there[i]->file);
  if (!others.empty()) std::cerr << folder << " is built by its " << there[0]->file << "; " << others << " is not used\n" << std::flush;
  std::vector<std::string> command(there[0]->command.begin(), there[0]->command.end());
  return run_here(command);
}

int exec_for_plugin(const Home& home, const std::string& name, const std::vector<std::string>& command) {
  const auto installed = installed_plugins(home);
  if (std::find(installed.begin(), installed.end(), name) == installed.end()) {
    const auto near = near_miss(name, installed);
    return fail("no plugin \"" + printable(name, 100) + "\" is installed" + (near ? ": did you mean \"" + *near + "\"?" : ""));
  }
  Problems problems;
  const GeneralSettings settings = load_general_settings(home, problems);
  if (!problems.empty()) return fail(problems.front().spell());
  boost::system::error_code code;
  const std::string folder = fs::canonical(home.current(name), code).string();
  for (const auto& [variable, value] : {std::pair<const char*, std::string>("MFDATA_HOME", home.root.string()),
                                        {"MFDATA_DATA_DIR", settings.data_dir},
                                        {"MFDATA_PLUGIN_NAME", name},
                                        {"MFDATA_PLUGIN_DIR", folder}}) {
    ::setenv(variable, value.c_str(), 1);
  }
  if (::chdir(folder.c_str()) != 0) return fail("cannot enter " + folder + ": " + std::strerror(errno));
  return run_here(command);
}

}  // namespace mfdata::tools
