#include "libmfdata/plugin_check.hpp"

#include <mfdata/plugin.h>

#include <algorithm>
#include <boost/filesystem/operations.hpp>
#include <nlohmann/json.hpp>

#include "libmfdata/printable.hpp"

namespace fs = boost::filesystem;
using nlohmann::json;

namespace mfdata {
namespace {

constexpr double kDescribeTimeout_s = 20;

// As ElfLibrary names it; empty: one that is not known, and not compared.
constexpr const char* kOwnArchitecture =
#if defined(__x86_64__)
    "x86_64";
#elif defined(__aarch64__)
    "aarch64";
#elif defined(__i386__)
    "i386";
#elif defined(__powerpc64__)
    "ppc64";
#elif defined(__s390x__)
    "s390x";
#elif defined(__riscv)
    "riscv";
#else
    "";
#endif

Error bad(const std::string& text) { return Error{Code::kBadConfig, 0, text}; }

std::string text_of(const json& object, const char* key) {
  return object.contains(key) && object[key].is_string() ? object[key].get<std::string>() : "";
}
unsigned number_of(const json& value) { return value.is_number_unsigned() ? value.get<unsigned>() : 0; }

std::string all_problems(const Problems& problems) {
  std::string text;
  for (const Problem& problem : problems) text += (text.empty() ? "" : "\n") + problem.spell();
  return text;
}

std::string other_machine(const std::string& architecture) {
  const std::string own = kOwnArchitecture;
  return own.empty() || architecture == own ? "" : "it is built for " + architecture + ", this machine is " + own;
}

std::string spell_abi(const PackageManifest& manifest) {
  const std::string major = std::to_string(manifest.abi_major) + '.';
  return major + std::to_string(manifest.abi_minor) + ", needs " + major + std::to_string(manifest.need_minor);
}

Result<void> check_components(const PluginSettings& plugin, const LibraryDescription& description) {
  for (const StepSettings& step : plugin.steps) {
    const std::string kind = step.kind == WorkerKind::kStep ? "step" : "listener";
    std::vector<std::string> known;
    for (const LibraryDescription::Component& component : description.components) {
      if (component.kind == kind) known.push_back(component.id);
    }
    if (std::find(known.begin(), known.end(), step.component) != known.end()) continue;
    const auto near = near_miss(step.component, known);
    return bad(step.where.spell() + ": plugin.toml names the component \"" + step.component + "\" for " + step.slashed() +
               ", but the library has no " + kind + " of that name" + (near ? ": did you mean \"" + *near + "\"?" : ""));
  }
  return {};
}

}  // namespace

Result<LibraryDescription> describe_library(const std::string& library) {
  auto worker = find_program("mfdata-worker");
  if (!worker) return worker.error();
  ChildOptions options;
  options.timeout_s = kDescribeTimeout_s;
  auto described = run_child({*worker, "--describe", library}, options);
  if (!described) return described.error();
  if (described->exit_code != 0) {
    return bad("the library does not load: " + printable(described->output, 2000) +
               (described->exit_code > 128 ? " (killed by signal " + std::to_string(described->exit_code - 128) + ')' : ""));
  }
  // What its constructors print stands before the description.
  const std::size_t begin = described->output.rfind("\n{\n");
  const json out = json::parse(begin == std::string::npos ? described->output : described->output.substr(begin), nullptr, false);
  if (!out.is_object()) return bad(library + " does not describe itself");
  LibraryDescription description{text_of(out, "id"),
                                 text_of(out, "version"),
                                 text_of(out, "summary"),
                                 text_of(out, "license"),
                                 text_of(out, "sdk_version"),
                                 0,
                                 0,
                                 0,
                                 out.value("constant", json()) == json(true),
                                 {}};
  const json abi = out.value("abi", json::array());
  if (abi.is_array() && abi.size() == 2) {
    description.abi_major = number_of(abi[0]);
    description.abi_minor = number_of(abi[1]);
  }
  description.need_minor = number_of(out.value("need_minor", json()));
  for (const json& component : out.value("components", json::array())) {
    if (component.is_object())
      description.components.push_back({text_of(component, "kind"), text_of(component, "id"), text_of(component, "summary")});
  }
  return description;
}

Result<CheckedPlugin> check_plugin_folder(const std::string& folder) {
  boost::system::error_code code;
  const fs::path source = fs::canonical(folder, code);
  if (code || !fs::is_regular_file(source / "plugin.toml", code)) return bad(folder + " is no plugin: it has no plugin.toml");
  Problems problems;
  CheckedPlugin plugin;
  plugin.settings = load_plugin_folder(source.string(), problems);
  if (!problems.empty()) return bad(all_problems(problems));
  if (!fs::is_regular_file(plugin.settings.library, code))
    return bad(plugin.settings.base.empty() ? "the library " + plugin.settings.library + " that plugin.toml names is missing: build it first"
                                            : "the library " + plugin.settings.library + " of its base " + plugin.settings.base +
                                                  " is missing: the installation of mfdata is incomplete");
  auto elf = read_elf_library(plugin.settings.library);
  if (!elf) return elf.error();
  plugin.elf = std::move(*elf);
  if (const std::string other = other_machine(plugin.elf.architecture); !other.empty()) return bad(plugin.settings.library + ": " + other);
  auto description = describe_library(plugin.settings.library);
  if (!description) return description.error();
  plugin.description = std::move(*description);
  MFDATA_TRY(check_components(plugin.settings, plugin.description));
  return plugin;
}

PackageManifest manifest_of(const CheckedPlugin& plugin) {
  PackageManifest manifest;
  manifest.name = plugin.settings.name;
  manifest.version = plugin.settings.version;
  manifest.summary = plugin.settings.summary;
  manifest.license = plugin.settings.license;
  manifest.maintainer = plugin.settings.maintainer;
  manifest.url = plugin.settings.url;
  manifest.base = plugin.settings.base;
  if (!manifest.base.empty()) {  // what the library is like is found where it is installed
    for (const StepSettings& step : plugin.settings.steps) {
      manifest.components.push_back((step.kind == WorkerKind::kStep ? "step " : "listener ") + step.name);
    }
    return manifest;
  }
  manifest.architecture = plugin.elf.architecture;
  manifest.glibc = plugin.elf.newest("GLIBC_");
  manifest.abi_major = plugin.description.abi_major;
  manifest.abi_minor = plugin.description.abi_minor;
  manifest.need_minor = plugin.description.need_minor;
  for (const LibraryDescription::Component& component : plugin.description.components)
    manifest.components.push_back(component.kind + ' ' + component.id);
  return manifest;
}

std::string disagreement_of(const CheckedPlugin& plugin) {
  if (!plugin.settings.base.empty()) return "";
  const std::string said = plugin.description.id + ' ' + plugin.description.version, written = plugin.settings.name + ' ' + plugin.settings.version;
  return said == written ? "" : "plugin.toml says " + printable(written, 200) + ", the library " + printable(said, 200);
}

std::string unfit_here(const PackageManifest& manifest) {
  if (!manifest.base.empty()) return "";
  if (std::string other = other_machine(manifest.architecture); !other.empty()) return other;
  const std::string host = std::to_string(MFDATA_ABI_MAJOR) + '.';
  if (manifest.abi_major != MFDATA_ABI_MAJOR)
    return "it is built for ABI " + std::to_string(manifest.abi_major) + ", this host offers " + std::to_string(MFDATA_ABI_MAJOR);
  if (manifest.need_minor > MFDATA_ABI_MINOR)
    return "it needs ABI " + host + std::to_string(manifest.need_minor) + ", this host offers " + host + std::to_string(MFDATA_ABI_MINOR);
  return "";
}

std::string untruth_of(const PackageManifest& manifest, const CheckedPlugin& plugin) {
  const PackageManifest found = manifest_of(plugin);
  const struct {
    const char* what;
    std::string said, is;
  } facts[] = {{"name", manifest.name, found.name},
               {"version", manifest.version, found.version},
               {"summary", manifest.summary, found.summary},
               {"license", manifest.license, found.license},
               {"maintainer", manifest.maintainer, found.maintainer},
               {"url", manifest.url, found.url},
               {"base", manifest.base, found.base},
               {"architecture", manifest.architecture, found.architecture},
               {"glibc", manifest.glibc, found.glibc},
               {"ABI", spell_abi(manifest), spell_abi(found)},
               {"components", joined(manifest.components), joined(found.components)}};
  for (const auto& fact : facts) {
    if (fact.said != fact.is)
      return std::string("its manifest.json says ") + fact.what + " \"" + printable(fact.said, 200) + "\", the plugin in it has \"" + printable(fact.is, 200) + '"';
  }
  return "";
}

Result<std::string> pack_plugin(const std::string& folder, const std::string& directory) {
  auto plugin = check_plugin_folder(folder);
  if (!plugin) return plugin.error();
  if (const std::string why = disagreement_of(*plugin); !why.empty()) return bad(folder + ": " + why + ": build it anew, or mend one of the two");
  PackageManifest manifest = manifest_of(*plugin);
  auto files = files_of_folder(plugin->settings.directory);
  if (!files) return files.error();
  manifest.files = std::move(*files);
  const std::string library = fs::path(plugin->settings.library).lexically_normal().lexically_relative(plugin->settings.directory).string();
  for (const std::string& needed : {std::string("plugin.toml"), library}) {
    if (needed == library && !plugin->settings.base.empty()) continue;
    const bool there = std::any_of(manifest.files.begin(), manifest.files.end(), [&](const PackagedFile& file) { return file.path == needed; });
    if (!there) return bad(folder + ": " + needed + " would not be in the package: it is hidden, or .releaseignore names it, or it stands where builds are made (a line \"!build/\" in .releaseignore takes that folder back)");
  }
  return write_package(plugin->settings.directory, manifest, directory);
}

}  // namespace mfdata
