// The commands of `mfdata-plugin`, each a function of its options; the command line itself is mfdata_plugin.cpp's. They
// return the exit code: 0 done, 1 failed or problems found. Errors go to stderr.
#pragma once

#include <string>

#include "libmfdata/plugin_store.hpp"

namespace mfdata::tools {

// What stands in the home.
int list_plugins(const Home& home, bool as_json);
int install_plugin(const Home& home, const std::string& what, const InstallOptions& options);
int remove_plugin(const Home& home, const std::string& name, RemoveOptions options, bool clean);
int rollback_plugin(const Home& home, const std::string& name, const std::string& version, bool force);  // version empty: the one before
int develop_plugin(const Home& home, const std::string& folder, bool force);
// Its workers, by a running loader; remembered over restarts.
int start_plugin(const Home& home, const std::string& name, bool starts);

// What travels. `home` may be none: then only files are looked at.
int show_plugin(const std::string& home_option, const std::string& what, bool as_json);
int inspect_library(const std::string& library, bool as_json);
int pack_plugin(const std::string& folder, const std::string& directory);
int hash_file(const std::string& what);

struct KeyOptions {
  std::string key;            // the secret key; empty: ~/.config/mfdata/plugin.key
  std::string password_file;  // its first line; empty: asked on a terminal, or none
};
int make_keys(const KeyOptions& options);
int sign_package(const std::string& package, const KeyOptions& options);
// Against the keys of the home, or against `public_key`.
int verify_package(const std::string& home_option, const std::string& package, const std::string& public_key);

struct RunOptions {
  std::string plugin;  // a folder, or NAME[/STEP] of the home
  std::string step;    // empty: the only one
  std::string file;
  std::vector<std::string> tags;    // NAME=VALUE
  std::vector<std::string> custom;  // lines of TOML for [custom]
  bool installed = false;           // `plugin` is NAME/STEP of the home, whatever folder has that name
  bool keep = false;
  unsigned fail_call = 0;  // the number of the host call that fails; 0: none
  bool cancelled = false;  // as if the host were stopping
  unsigned host_size = 0;  // bytes of the host's table that an older host has; 0: all
};
// One file through one step, without a loader; 0: the result was ok.
int run_step(const std::string& home_option, const RunOptions& options, bool as_json);

struct ValidateOptions {
  std::string what;                 // a library, a folder or a package
  std::vector<std::string> custom;  // lines of TOML for [custom]
  std::string junit;                // a file for the report; empty: none
};
int validate_plugin(const ValidateOptions& options, bool as_json);

struct NewOptions {
  std::string name;
  std::string language, kind;  // empty: asked for on a terminal
  std::string directory = ".";
};
// A folder with a plugin that builds, has a test and runs at once.
int new_plugin(const NewOptions& options);
// By its Makefile, meson.build or CMakeLists.txt, with the SDK that belongs to this program. Becomes the builder.
int build_plugin(const std::string& folder);
// Becomes the command, in the plugin's folder, with MFDATA_HOME, MFDATA_DATA_DIR, MFDATA_PLUGIN_NAME and MFDATA_PLUGIN_DIR.
int exec_for_plugin(const Home& home, const std::string& name, const std::vector<std::string>& command);

}  // namespace mfdata::tools
