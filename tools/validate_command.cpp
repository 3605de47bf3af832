// mfdata-plugin validate: what is validated, and the report of its checks.
#include <algorithm>
#include <boost/filesystem/operations.hpp>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>

#include "commands.hpp"
#include "interrupts.hpp"
#include "libmfdata/package.hpp"
#include "libmfdata/printable.hpp"
#include "plugin_checks.hpp"
#include "plugin_commands.hpp"
#include "trial/trial_home.hpp"

namespace fs = boost::filesystem;
using nlohmann::json;

namespace mfdata::tools {
namespace {

// A package is unpacked, a library alone gets a folder: then everything is a plugin folder.
class Subject {
 public:
  static Result<Subject> open(const std::string& what) {
    boost::system::error_code code;
    Subject subject;
    if (fs::is_directory(what, code)) {
      subject.folder_ = fs::canonical(what, code).string();
      return subject;
    }
    subject.made_ = (fs::temp_directory_path(code) / fs::unique_path("mfdata-validate-%%%%%%%%")).string();
    fs::create_directories(subject.made_, code);
    subject.folder_ = subject.made_;
    if (what.ends_with(".mfplugin")) {
      auto manifest = unpack(what, subject.made_);
      if (!manifest) return manifest.error();
      if (const std::string why = unfit_here(*manifest); !why.empty()) return Error{Code::kRefused, 0, printable(what, 300) + ": " + why};
      subject.manifest_ = std::move(*manifest);
      return subject;
    }
    if (!fs::is_regular_file(what, code))
      return Error{Code::kNotFound, 0, printable(what, 300) + " is neither a library, nor a folder, nor a package"};
    return subject.wrap_library(what);
  }
  Subject(Subject&& other) noexcept
      : folder_(std::move(other.folder_)), made_(std::exchange(other.made_, "")), manifest_(std::move(other.manifest_)) {}
  Subject& operator=(Subject&&) = delete;
  ~Subject() {
    boost::system::error_code ignored;
    if (!made_.empty()) fs::remove_all(made_, ignored);
  }
  const std::string& folder() const { return folder_; }
  const std::optional<PackageManifest>& manifest() const { return manifest_; }  // of a package

 private:
  Subject() = default;

  Result<Subject> wrap_library(const std::string& library) {
    const std::string name = fs::path(library).filename().string();
    MFDATA_TRY(copy_plain_file(library, (fs::path(made_) / name).string()));
    auto description = describe_library((fs::path(made_) / name).string());
    if (!description) return description.error();
    std::ofstream toml((fs::path(made_) / "plugin.toml").string());
    toml << "[plugin]\nname = \"" << description->id << "\"\nversion = \"" << description->version << "\"\nlibrary = \"" << name << "\"\n";
    for (const auto& component : description->components) {
      if (component.kind == "step" || component.kind == "listener") toml << '[' << component.kind << '.' << component.id << "]\n";
    }
    toml.close();
    return std::move(*this);
  }

  std::string folder_, made_;
  std::optional<PackageManifest> manifest_;
};

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : printable(text)) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      default: out += c;
    }
  }
  return out;
}

std::string junit(const std::string& name, const Checks& checks, std::size_t failures) {
  std::string out = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"" + escaped(name) + "\" tests=\"" + std::to_string(checks.size()) +
                    "\" failures=\"" + std::to_string(failures) + "\">\n";
  for (const Check& check : checks) {
    out += "  <testcase classname=\"" + std::string(check.rule) + "\" name=\"" + escaped(check.title) + "\"";
    out += check.trouble.empty() ? "/>\n" : "><failure message=\"" + escaped(check.trouble) + "\"/></testcase>\n";
  }
  return out + "</testsuite>\n";
}

}  // namespace

int validate_plugin(const ValidateOptions& options, bool as_json) {
  const InterruptsNoted noted;
  auto subject = Subject::open(options.what);
  if (!subject) return fail(subject.error().text);
  Checks checks;
  auto plugin = check_plugin_folder(subject->folder());
  const bool needs_symbol = !plugin && plugin.error().text.find("undefined symbol") != std::string::npos;
  checks.push_back({"A3", "loads, and has what plugin.toml names", plugin || needs_symbol ? "" : plugin.error().text});
  if (needs_symbol) checks.push_back({"A12", kExpectsNoSymbol, plugin.error().text + " (link with -Wl,--no-undefined)"});
  if (plugin) {
    check_library(*plugin, checks);
    if (subject->manifest()) checks.push_back({"A19", "the package's manifest and the plugin in it agree", untruth_of(*subject->manifest(), *plugin)});
    for (const StepSettings& component : plugin->settings.steps) check_component(subject->folder(), component, options.custom, checks);
    for (const LibraryDescription::Component& component : plugin->description.components) {
      if (component.kind == "predicate") check_predicate(subject->folder(), plugin->settings, component.id, checks);
    }
  }
  if (InterruptsNoted::any()) return fail("interrupted: the rules are not all checked");
  const auto failures =
      static_cast<std::size_t>(std::count_if(checks.begin(), checks.end(), [](const Check& check) { return !check.trouble.empty(); }));
  const std::string name = plugin ? plugin->settings.name : options.what;
  json out = json::array();
  for (const Check& check : checks) {
    out.push_back({{"rule", check.rule}, {"check", check.title}, {"passed", check.trouble.empty()}, {"trouble", check.trouble}});
    if (!as_json)
      std::printf("%-6s %-4s %s%s%s\n", check.trouble.empty() ? "ok" : "FAILED", check.rule, check.title, check.trouble.empty() ? "" : ": ",
                  printable(check.trouble, 1500).c_str());
  }
  if (as_json) {
    std::cout << out.dump(2, ' ', false, json::error_handler_t::replace) << '\n';
  } else {
    std::cout << checks.size() - failures << " passed, " << failures << " failed\n";
  }
  if (!options.junit.empty() && !(std::ofstream(options.junit) << junit(name, checks, failures))) return fail("cannot write " + options.junit);
  return failures > 0 ? 1 : 0;
}

}  // namespace mfdata::tools
