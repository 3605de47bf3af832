// The plugins of a home: HOME/plugins/NAME/ with a folder for each version that is kept, the link `current` to the one that
// runs and `previous` to the one before it. Install, roll back, develop, list, remove.
//
// A version's folder never changes: it appears whole, and what is installed anew gets a folder of its own. Each operation
// holds plugins/.lock and takes effect in one rename, of `current`; a kill or failure before it leaves what was there, and
// a later operation clears away what it left behind: what was never switched to is no version that is kept.
#pragma once

#include <string>
#include <vector>

#include "libmfdata/config_value.hpp"
#include "libmfdata/home.hpp"
#include "libmfdata/settings.hpp"

namespace mfdata {

struct InstalledPlugin {
  std::string name;
  std::string version;
  std::string summary;
  std::vector<std::string> steps;
  std::vector<std::string> versions;  // all that are kept, the oldest first
  std::string previous;   // version that a roll-back would go to; empty: none
  std::string developed;  // the folder that it is linked to; empty: it is installed
  std::string problem;    // why it cannot be used; empty: nothing
};

struct InstallOptions {
  std::string new_name;         // empty: the plugin's own
  bool force = false;           // also when this version, or a newer one, is installed already, or the configuration is wrong with it
  bool allow_unsigned = false;  // also a package without a trusted signature, where one is asked for
  double patience_s = 0;        // how long another operation on this home is waited for
};

// A plugin folder, or a package (*.mfplugin). The name and version that are installed now.
Result<InstalledPlugin> install_plugin(const Home& home, const GeneralSettings& settings, const std::string& path, const InstallOptions& options);

// Back to `previous`, which changes places with `current`. Unless forced, refused when the configuration would be wrong with it.
// `version`: one that is kept; empty: the one before.
Result<InstalledPlugin> rollback_plugin(const Home& home, const std::string& name, bool force, const std::string& version = "");

// `current` becomes a link to the folder itself: what is rebuilt there runs next. `force` as above.
Result<InstalledPlugin> develop_plugin(const Home& home, const std::string& folder, bool force);

std::vector<InstalledPlugin> list_plugins(const Home& home);

// Refused while rules, destinations or the entry step of others point at it, unless forced. Its folder stays for the files
// that workers have in hand; waiting files stay in any case.
struct RemoveOptions {
  bool force = false;
  bool running = false;  // a loader runs, which cannot do without its entry step, forced or not
};
Result<void> remove_plugin(const Home& home, const std::string& name, const RemoveOptions& options);

// Once nothing runs from it: the folder of a removed plugin goes, and with `clean` the operator's override and its spool
// directories that are empty. One that is installed again stays.
Result<void> finish_removal(const Home& home, const std::string& name, bool clean);

// Installs what stands in etc/provision (packages and folders) and is not installed yet, or is older: lower versions first, and
// what needs another one after it. Each failure is one error; what is installed stays.
std::vector<Error> provision_plugins(const Home& home, const GeneralSettings& settings, std::vector<InstalledPlugin>& installed);

}  // namespace mfdata
