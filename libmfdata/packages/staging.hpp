// A plugin on its way into the store: fetched, checked, under its final name, its postinstall done. It is there to be
// switched to; until then it counts as none.
#pragma once

#include <functional>

#include "libmfdata/plugin_store.hpp"
#include "store.hpp"

namespace mfdata {

struct StagedPlugin {
  std::string name, folder;
};

// Asked once a plugin is known and before its postinstall runs: whether the folder may become this plugin.
using Admission = std::function<Result<void>(const std::string& name, const std::string& folder)>;

// Of a folder or a package. A failure leaves nothing behind.
Result<StagedPlugin> stage(const Store& store, const GeneralSettings& settings, const std::string& path, const InstallOptions& options,
                           const Admission& admission);

// Folders are trusted for who owns them, and who else can write them.
Result<void> check_folder_owner(const Store& store, const boost::filesystem::path& folder);

}  // namespace mfdata
