// What validate sees without a file treated.
#include <sys/utsname.h>

#include <algorithm>

#include "libmfdata/printable.hpp"
#include "plugin_checks.hpp"

namespace mfdata::tools {
namespace {

// The host happens to have libraries loaded that the next one may not have.
std::string expected_of_the_host(const std::string& library) {
  auto missing = unresolved_symbols(library);
  if (!missing) return missing.error().text;
  return missing->empty() ? "" : "no library that it names has " + joined(*missing) + ": link with what has, and with -Wl,--no-undefined";
}

std::string foreign_path(const ElfLibrary& elf) {
  const auto foreign = std::find_if(elf.search_paths.begin(), elf.search_paths.end(), [](const std::string& path) { return !path.starts_with("$ORIGIN"); });
  return foreign == elf.search_paths.end() ? "" : "its search path has " + *foreign + ": only $ORIGIN moves with the plugin";
}

}  // namespace

void check_library(const CheckedPlugin& plugin, Checks& checks) {
  if (!plugin.settings.base.empty()) return;  // the library came with mfdata
  const ElfLibrary& elf = plugin.elf;
  utsname machine{};
  ::uname(&machine);
  checks.push_back({"A12", kExpectsNoSymbol, expected_of_the_host(plugin.settings.library)});
  checks.push_back({"A2", "exports mfdata_plugin_v1 and nothing else",
                    elf.exported == std::vector<std::string>{"mfdata_plugin_v1"}
                        ? ""
                        : "it exports " + joined(elf.exported) + ": build it with the SDK's version script and -fvisibility=hidden"});
  checks.push_back({"A15", "has no text relocations", elf.has_text_relocations ? "it has: compile everything with -fPIC" : ""});
  checks.push_back({"A16", "has a build id", elf.build_id.empty() ? "it has none: link with -Wl,--build-id" : ""});
  checks.push_back({"A17", "is for this machine", elf.architecture == machine.machine ? "" : "it is for " + elf.architecture});
  checks.push_back({"A18", "looks for libraries beside itself only", foreign_path(elf)});
  checks.push_back({"A19", "plugin.toml and the library agree on name and version", disagreement_of(plugin)});
  checks.push_back({"A2", "describes itself twice in the same way",
                    plugin.description.constant ? "" : "its entry point returns another description, or other texts, each time"});
}

}  // namespace mfdata::tools
