// mfdata-plugin: the command of plugin authors and installers.
#include <functional>

#include "command_line.hpp"
#include "commands.hpp"
#include "plugin_commands.hpp"

namespace {

using namespace mfdata;  // NOLINT: the command line of one program

struct Options {
  std::string home, what, version, directory = ".";
  bool as_json = false;
  InstallOptions install;
  RemoveOptions remove;
  bool clean = false;
  tools::KeyOptions key;
  tools::RunOptions run;
  tools::NewOptions fresh;
  tools::ValidateOptions validate;
  std::vector<std::string> command;
  std::string public_key;
};

using Run = std::function<int()>;

// A command that needs a home.
template <class Command>
Run in_home(const Options& options, Command command) {
  return [&options, command] {
    auto home = find_home(options.home);
    return home ? command(*home) : tools::fail(home.error().text);
  };
}

void add_home_commands(CLI::App& app, Options& options, Run& run) {
  auto* list = app.add_subcommand("list", "lists the installed plugins, and what runs of them");
  list->callback([&] { run = in_home(options, [&](const Home& home) { return tools::list_plugins(home, options.as_json); }); });

  auto* install = app.add_subcommand("install", "installs or upgrades a plugin; a running loader takes it up while files flow");
  install->add_option("PLUGIN", options.what, "a package (.mfplugin), a folder, or the name of a plugin that came with the installation")->required();
  install->add_option("--new-name", options.install.new_name, "install it under another name");
  install->add_flag("--force", options.install.force, "also when this version, or a newer one, is installed already, or the configuration is wrong with it");
  install->add_flag("--allow-unsigned", options.install.allow_unsigned, "also a package without a signature that this home trusts");
  install->callback([&] { run = in_home(options, [&](const Home& home) { return tools::install_plugin(home, options.what, options.install); }); });

  auto* remove = app.add_subcommand("remove", "removes a plugin; its waiting files stay");
  remove->add_option("NAME", options.what)->required();
  remove->add_flag("--clean", options.clean, "with its override in etc/plugins.d, and its spool directories that are empty");
  remove->add_flag("--force", options.remove.force, "also while other plugins send files to it");
  remove->callback(
      [&] { run = in_home(options, [&](const Home& home) { return tools::remove_plugin(home, options.what, options.remove, options.clean); }); });

  auto* rollback = app.add_subcommand("rollback", "goes back to the version before, or to another one that is kept; again: forth");
  rollback->add_option("NAME", options.what)->required();
  rollback->add_option("VERSION", options.version, "a version that \"list\" shows as kept (default: the one before)")
      ->check([](const std::string& version) { return std::string(version.empty() ? "VERSION is empty" : ""); });
  rollback->add_flag("--force", options.install.force, "also when the configuration is wrong with that version");
  rollback->callback([&] { run = in_home(options, [&](const Home& home) { return tools::rollback_plugin(home, options.what, options.version, options.install.force); }); });

  for (const bool starts : {true, false}) {
    auto* command = app.add_subcommand(starts ? "start" : "stop",
                                       starts ? "starts the workers of a plugin that was stopped"
                                              : "ends the workers of a plugin after the files in hand; its files wait, over restarts too");
    command->add_option("NAME", options.what)->required();
    command->callback(
        [&, starts] { run = in_home(options, [&, starts](const Home& home) { return tools::start_plugin(home, options.what, starts); }); });
  }

  auto* develop = app.add_subcommand("develop", "links a plugin to the folder where it is built: what is rebuilt there runs next");
  develop->add_option("DIR", options.what, "the folder with its plugin.toml and library")->required();
  develop->add_flag("--force", options.install.force, "also when the configuration is wrong with it");
  develop->callback([&] { run = in_home(options, [&](const Home& home) { return tools::develop_plugin(home, options.what, options.install.force); }); });
}

void add_author_commands(CLI::App& app, Options& options, Run& run) {
  auto* fresh = app.add_subcommand("new", "makes a folder with a plugin that builds, has a test and runs at once; asks for what is left open");
  fresh->add_option("NAME", options.fresh.name)->required();
  fresh->add_option("--language", options.fresh.language, "c, c++, python or rust; toml: a plugin.toml that runs by the library of a plugin that came with mfdata");
  fresh->add_option("--template", options.fresh.kind, "step; listener (c, c++); batch, transform, predicate (c++); archive, fork, move (toml)");
  fresh->add_option("--directory", options.fresh.directory, "where the folder is made")->capture_default_str();
  fresh->callback([&] { run = [&] { return tools::new_plugin(options.fresh); }; });

  auto* build = app.add_subcommand("build", "builds a plugin by its Makefile, else its meson.build, else its CMakeLists.txt, with this SDK");
  build->add_option("DIR", options.directory, "its folder")->capture_default_str();
  build->callback([&] { run = [&] { return tools::build_plugin(options.directory); }; });

  auto* validate = app.add_subcommand(
      "validate", "checks a library, a folder or a package by the numbered rules of doc/plugin_abi.md; runs its code in processes of their own");
  validate->add_option("PLUGIN", options.validate.what, "a .so, a folder or a .mfplugin")->required();
  validate->add_option("--set", options.validate.custom, "a line of [custom] for it")->allow_extra_args(false);
  validate->add_option("--junit", options.validate.junit, "write the report to this file too, as JUnit has it");
  validate->callback([&] { run = [&] { return tools::validate_plugin(options.validate, options.as_json); }; });

  auto* exec = app.add_subcommand("exec", "runs a command in an installed plugin's folder, with its environment: exec NAME -- COMMAND");
  exec->add_option("NAME", options.what)->required();
  exec->add_option("COMMAND", options.command, "the command and its arguments, after --")->required();
  exec->callback([&] { run = in_home(options, [&](const Home& home) { return tools::exec_for_plugin(home, options.what, options.command); }); });

  auto* trial = app.add_subcommand("run", "treats one file by one step as a loader's worker would, and shows tags, outputs, log and metrics; in a home of its own, but what the "
                                   "step delivers to other directories, or sends, is really delivered and sent");
  trial->add_option("PLUGIN", options.run.plugin, "a folder, or NAME or NAME/STEP of the home with its configuration there")->required();
  trial->add_option("FILE", options.run.file, "the file; it is copied")->required();
  trial->add_option("--step", options.run.step, "which step, when there are several");
  trial->add_option("--tag", options.run.tags, "NAME=VALUE, a tag that the file comes with")->allow_extra_args(false)->check(tools::assignment());
  trial->add_option("--set", options.run.custom, "a line of [custom] for this run: 'dest_dir = \"archive/main\"'")->allow_extra_args(false);
  tools::add_number(*trial, "--fail-call", options.run.fail_call, 1u, 1'000'000'000u, "let the host call of this number fail: 1, 2, ... (the log says how many there were)");
  trial->add_flag("--cancelled", options.run.cancelled, "as if the host were stopping");
  tools::add_number(*trial, "--host-size", options.run.host_size, 1u, 65'536u,
                    "as on an older host, whose table ends after so many bytes: what is read behind them kills the worker");
  trial->add_flag("--keep", options.run.keep, "keep the home of this run, with its outputs");
  trial->callback([&] { run = [&] { return tools::run_step(options.home, options.run, options.as_json); }; });
}

void add_key_options(CLI::App* command, Options& options) {
  command->add_option("--key", options.key.key, "the file of the secret key (default: ~/.config/mfdata/plugin.key)");
  command->add_option("--password-file", options.key.password_file, "a file whose first line is the password (default: asked on a terminal)");
}

void add_file_commands(CLI::App& app, Options& options, Run& run) {
  auto* info = app.add_subcommand("info", "shows a package, a folder or an installed plugin, without running its code");
  info->add_option("PLUGIN", options.what)->required();
  info->callback([&] { run = [&] { return tools::show_plugin(options.home, options.what, options.as_json); }; });

  auto* inspect = app.add_subcommand("inspect", "shows what a library needs, exports and offers; runs its entry point in a process of its own");
  inspect->add_option("LIBRARY", options.what, "a .so")->required();
  inspect->callback([&] { run = [&] { return tools::inspect_library(options.what, options.as_json); }; });

  auto* pack = app.add_subcommand("pack", "makes the package NAME-VERSION.mfplugin of a folder; the same folder makes the same bytes");
  pack->add_option("DIR", options.what, "the folder; a .releaseignore in it leaves files out")->required();
  pack->add_option("--output", options.directory, "where to write it")->capture_default_str();
  pack->callback([&] { run = [&] { return tools::pack_plugin(options.what, options.directory); }; });

  auto* hash = app.add_subcommand("hash", "prints the SHA-256 of a file");
  hash->add_option("FILE", options.what)->required();
  hash->callback([&] { run = [&] { return tools::hash_file(options.what); }; });

  auto* keygen = app.add_subcommand("keygen", "makes a pair of keys to sign packages with, as minisign does");
  add_key_options(keygen, options);
  keygen->callback([&] { run = [&] { return tools::make_keys(options.key); }; });

  auto* sign = app.add_subcommand("sign", "signs a package: FILE.minisig");
  sign->add_option("FILE", options.what)->required();
  add_key_options(sign, options);
  sign->callback([&] { run = [&] { return tools::sign_package(options.what, options.key); }; });

  auto* verify = app.add_subcommand("verify", "verifies the signature of a package with the keys of the home, or with one key");
  verify->add_option("FILE", options.what)->required();
  verify->add_option("--public-key", options.public_key, "a .pub file");
  verify->callback([&] { run = [&] { return tools::verify_package(options.home, options.what, options.public_key); }; });
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Makes plugins, and manages those of a home. Exit code: 0 done, 1 failed or problems found, 2 wrong usage.");
  app.require_subcommand(1);
  app.set_version_flag("--version", MFDATA_VERSION);
  app.fallthrough();
  Options options;
  Run run;
  app.add_option("--home", options.home, "the home (default: MFDATA_HOME, or /var/lib/mfdata)");
  app.add_flag("--json", options.as_json, "print JSON (list, info, inspect, run, validate)");
  add_home_commands(app, options, run);
  add_file_commands(app, options, run);
  add_author_commands(app, options, run);
  return tools::run_command_line(app, argc, argv, run);
}
