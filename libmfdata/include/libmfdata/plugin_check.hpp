// Whether a plugin folder is one that can be run: its plugin.toml, its library as the file says, and as the library itself
// says in a process of its own (mfdata-worker --describe).
#pragma once

#include <string>
#include <vector>

#include "libmfdata/child_process.hpp"
#include "libmfdata/elf_library.hpp"
#include "libmfdata/package.hpp"
#include "libmfdata/settings.hpp"

namespace mfdata {

struct LibraryDescription {
  std::string id, version, summary, license, sdk_version;
  unsigned abi_major = 0, abi_minor = 0, need_minor = 0;
  bool constant = false;  // the entry point returned the same one twice
  struct Component {
    std::string kind, id, summary;  // kind: "step", "listener", "predicate" or "unknown"
  };
  std::vector<Component> components;
};

// Its code is run.
Result<LibraryDescription> describe_library(const std::string& library);

struct CheckedPlugin {
  PluginSettings settings;
  LibraryDescription description;
  ElfLibrary elf;
};

// A folder with its plugin.toml; every problem in one text.
Result<CheckedPlugin> check_plugin_folder(const std::string& folder);

// What a package of it would say of it, without its files.
PackageManifest manifest_of(const CheckedPlugin& plugin);

// Where its plugin.toml and its library name it or its version differently; empty: nowhere (rule A19).
std::string disagreement_of(const CheckedPlugin& plugin);

// Why it cannot run here, by what its package says of it and before its code does; empty: it may.
std::string unfit_here(const PackageManifest& manifest);

// What a package says of its plugin and is not so; empty: they agree. Its files are not compared.
std::string untruth_of(const PackageManifest& manifest, const CheckedPlugin& plugin);

// NAME-VERSION.mfplugin of a folder, written into `directory`; its path.
Result<std::string> pack_plugin(const std::string& folder, const std::string& directory);

}  // namespace mfdata
