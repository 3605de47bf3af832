#include "staging.hpp"

#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/filesystem/operations.hpp>
#include <cerrno>
#include <cstdlib>
#include <optional>
#include <set>

#include "libmfdata/child_process.hpp"
#include "libmfdata/disk.hpp"
#include "libmfdata/package.hpp"
#include "libmfdata/plugin_check.hpp"
#include "libmfdata/printable.hpp"
#include "libmfdata/signature.hpp"
#include "libmfdata/spool_name.hpp"
#include "libmfdata/version.hpp"
#include "package_names.hpp"

namespace fs = boost::filesystem;

namespace mfdata {
namespace {

constexpr const char* kPostinstall = "postinstall";
constexpr off_t kMaxPackage = 2'000'000'000;

Error bad(const std::string& text) { return Error{Code::kBadConfig, 0, text}; }

// Folders are trusted for who can write them. The group of who runs this may: of a user alone as a rule.
Result<void> check_writers(const Store& store, const struct stat& st, const std::string& path) {
  const auto refused = [&](const std::string& why) {
    return Error{Code::kRefused, 0, path + ' ' + why + ": install it as a signed package, or mend that"};
  };
  if (st.st_uid != 0 && st.st_uid != store.owner() && st.st_uid != ::geteuid())
    return refused("belongs to user " + std::to_string(st.st_uid) + ", not to root, to the owner of the home or to you");
  const bool group = (st.st_mode & S_IWGRP) != 0 && st.st_gid != 0 && st.st_gid != ::getegid();
  return group || (st.st_mode & S_IWOTH) != 0 ? Result<void>(refused("is writable by others")) : Result<void>();
}

Result<FileDescriptor> open_regular(const fs::path& path, struct stat& st, int follow = O_NOFOLLOW) {
  FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | follow));
  if (!file || ::fstat(file.get(), &st) != 0) return system_error(errno, "cannot read " + path.string());
  if (!S_ISREG(st.st_mode) || st.st_size > kMaxPackage) return bad(path.string() + " is no regular file of at most 2 GB");
  return file;
}

Result<void> copy_one(int source, const fs::path& to, bool executable) {
  MFDATA_TRY(make_directory(to.parent_path()));
  FileDescriptor copy(::open(to.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!copy) return system_error(errno, "cannot write " + to.string());
  MFDATA_TRY(copy_content(source, copy.get(), to.string()));
  if (::fchmod(copy.get(), executable ? 0755 : 0644) != 0) return system_error(errno, "cannot set the mode of " + to.string());
  return sync_file(copy.get(), to.string());
}

Result<void> copy_plain(const fs::path& from, const fs::path& to) {
  struct stat st;
  auto source = open_regular(from, st, 0);
  return source ? copy_one(source->get(), to, false) : source.error();
}

Result<void> copy_folder(const Store& store, const fs::path& from, const fs::path& to) {
  auto files = files_of_folder(from.string());
  if (!files) return files.error();
  std::set<std::string> directories;
  for (const PackagedFile& file : *files) {
    for (fs::path parent = fs::path(file.path).parent_path(); !parent.empty(); parent = parent.parent_path()) {
      if (directories.insert(parent.string()).second) MFDATA_TRY(check_folder_owner(store, from / parent));
    }
    struct stat st;
    auto source = open_regular(from / file.path, st);
    if (!source) return source.error();
    MFDATA_TRY(check_writers(store, st, (from / file.path).string()));
    MFDATA_TRY(copy_one(source->get(), to / file.path, file.executable));
  }
  return {};
}

// One that is left out as part of a build tree is there, and would be said to be missing.
Result<void> check_library_is_copied(const fs::path& from, const fs::path& to) {
  Problems problems;
  const PluginSettings plugin = load_plugin_folder(to.string(), problems);
  boost::system::error_code code;
  if (!problems.empty() || !plugin.base.empty() || fs::exists(plugin.library, code)) return {};
  const fs::path library = fs::path(plugin.library).lexically_relative(to);
  if (!fs::exists(from / library, code)) return {};
  return bad((from / library).string() + " would not be installed: it is hidden, or .releaseignore names it, or it stands where builds are made" +
             " (a line \"!build/\" in .releaseignore takes that folder back)");
}

// The key that a package has to be signed with: one is asked for as soon as the home trusts any.
Result<void> check_signature(const Home& home, const GeneralSettings& settings, const std::string& package, const std::string& signature,
                             const InstallOptions& options) {
  auto keys = trusted_keys((home.root / "etc/keys").string());
  if (!keys) return keys.error();
  if (keys->empty() && !settings.require_signatures) return {};
  boost::system::error_code code;
  if (!fs::exists(signature, code)) {
    if (options.allow_unsigned && !settings.require_signatures) return {};
    return Error{Code::kRefused, 0,
                 package + " is not signed, and this home takes signed packages only: there is no " + package + ".minisig" +
                     (settings.require_signatures ? "" : " (--allow-unsigned takes it nevertheless)")};
  }
  auto verified = verify_file(package, signature, *keys);
  return verified ? Result<void>() : Result<void>(verified.error());
}

// A package is copied first: what was verified is what is unpacked.
Result<PackageManifest> fetch_package(const Store& store, const GeneralSettings& settings, const std::string& path, const fs::path& into,
                           const InstallOptions& options) {
  const fs::path folder = store.home().plugins() / (".incoming-" + fresh_uid());
  MFDATA_TRY(make_directory(folder));
  const std::string copy = (folder / fs::path(path).filename()).string();
  const auto unpacked = [&]() -> Result<PackageManifest> {
    MFDATA_TRY(copy_plain(path, copy));
    boost::system::error_code code;
    if (fs::exists(path + ".minisig", code)) MFDATA_TRY(copy_plain(path + ".minisig", copy + ".minisig"));
    MFDATA_TRY(check_signature(store.home(), settings, copy, copy + ".minisig", options));
    auto manifest = unpack(copy, into.string());
    if (!manifest) return manifest;
    if (fs::path(path).filename() != manifest->file_name()) {
      return Error{Code::kRefused, 0, path + " holds " + manifest->name + ' ' + manifest->version + ": its name has to be " + manifest->file_name()};
    }
    if (const std::string why = unfit_here(*manifest); !why.empty()) return Error{Code::kRefused, 0, path + ": " + why};
    return manifest;
  }();
  store.discard(folder);
  if (unpacked) return unpacked;
  Error error = unpacked.error();
  if (const std::size_t at = error.text.find(copy); at != std::string::npos) error.text.replace(at, copy.size(), path);
  return error;
}

// What a postinstall made may stand anywhere in it.
Result<void> sync_all(const fs::path& folder) {
  FileDescriptor directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory || ::syncfs(directory.get()) != 0) return system_error(errno, "cannot force to disk " + folder.string());
  return {};
}

// The caller's secrets, search path and preloaded libraries are not for a package's script.
std::vector<std::string> environment_of_postinstall(const Home& home, const std::string& name, const fs::path& folder) {
  const char* language = std::getenv("LANG");
  const passwd* user = ::getpwuid(::geteuid());
  return {"PATH=/usr/local/bin:/usr/bin:/bin", std::string("HOME=") + (user ? user->pw_dir : "/"), std::string("LANG=") + (language ? language : "C.UTF-8"),
          "MFDATA_HOME=" + home.root.string(), "MFDATA_PLUGIN_NAME=" + name, "MFDATA_PLUGIN_DIR=" + folder.string()};
}

// Never as root: who calls it has become the home's owner. A failure takes the new version back.
Result<void> run_postinstall(const Store& store, double timeout_s, const std::string& name, const fs::path& folder) {
  boost::system::error_code code;
  const fs::path script = folder / kPostinstall;
  if (!fs::is_regular_file(script, code) || ::access(script.c_str(), X_OK) != 0) return {};
  if (::geteuid() == 0) {
    return Error{Code::kRefused, 0,
                 name + " has a postinstall, which is never run as root: give the home to a user of its own (chown -R mfdata " +
                     store.home().root.string() + ')'};
  }
  ChildOptions options;
  options.directory = folder.string();
  options.timeout_s = timeout_s;
  options.inherits = false;
  options.environment = environment_of_postinstall(store.home(), name, folder);
  auto done = run_child({script.string()}, options);
  if (!done) return done.error();
  if (done->exit_code == 0) return sync_all(folder);
  return bad("the postinstall of " + name + " failed with exit code " + std::to_string(done->exit_code) + ": " + printable(done->output, 2000));
}

Result<void> check_order(const Store& store, const std::string& name, const std::string& version, bool force) {
  const std::string now = version_of_folder(store.current(name));
  if (now.empty() || store.current(name).starts_with('/') || force) return {};
  const int order = compare_versions(version, now);
  if (order == 0) return bad(name + ' ' + version + " is installed already: use --force to replace it, or give the new one another version");
  if (order > 0) return {};
  return Error{Code::kRefused, 0,
               name + ' ' + version + " is older than " + now + ", which is installed: mfdata-plugin rollback " + name +
                   " goes back, --force installs it nevertheless"};
}

// The first folder of the version's that is free.
fs::path free_folder(const fs::path& plugin, const std::string& version) {
  boost::system::error_code code;
  fs::path folder = plugin / version;
  for (unsigned number = 2; fs::symlink_status(folder, code).type() != fs::file_not_found; ++number)
    folder = plugin / (version + '@' + std::to_string(number));
  return folder;
}

Result<void> sync_directories(const fs::path& folder) {
  boost::system::error_code code;
  fs::recursive_directory_iterator at(folder, code), end;
  for (; !code && at != end; at.increment(code)) {
    if (fs::is_directory(at->symlink_status())) MFDATA_TRY(sync_path(at->path()));
  }
  if (code) return system_error(code.value(), "cannot read " + folder.string());
  return sync_path(folder);
}

// As an installed plugin keeps it: for what is asked without running its code.
Result<void> write_manifest(const fs::path& folder, const PackageManifest& manifest) {
  const std::string path = (folder / kManifestFile).string();
  FileDescriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (!file) return system_error(errno, "cannot write " + path);
  MFDATA_TRY(write_all(file.get(), manifest.spell(), path));
  return sync_file(file.get(), path);
}

// What is in the fresh folder, checked. `promised`: what its package says of it.
Result<PluginSettings> checked(const Store& store, const fs::path& fresh, const PackageManifest* promised, const InstallOptions& options) {
  Problems problems;
  PluginSettings plugin = load_plugin_folder(fresh.string(), problems);
  if (!problems.empty()) return bad(problems.front().spell());
  if (!options.new_name.empty()) plugin.name = options.new_name;
  if (!valid_plugin_name(plugin.name))
    return bad("bad plugin name \"" + printable(plugin.name, 100) + "\": A-Z a-z 0-9 _ - are allowed, and it may not be reserved");
  MFDATA_TRY(check_order(store, plugin.name, plugin.version, options.force));  // before any of its code is run
  auto found = check_plugin_folder(fresh.string());
  if (!found) return found.error();
  if (const std::string lie = promised ? untruth_of(*promised, *found) : ""; !lie.empty())
    return Error{Code::kRefused, 0, fresh.string() + ": " + lie + ": pack it again"};
  PackageManifest manifest = manifest_of(*found);
  auto files = files_of_folder(fresh.string());
  if (!files) return files.error();
  manifest.files = std::move(*files);
  MFDATA_TRY(write_manifest(fresh, promised ? *promised : manifest));
  return plugin;
}

// The fresh folder under its final name, ready to run.
Result<std::string> settle(const Store& store, const fs::path& fresh, double timeout_s, const PluginSettings& plugin) {
  const std::string& name = plugin.name;
  MFDATA_TRY(sync_directories(fresh));
  MFDATA_TRY(make_directory(store.plugin(name)));
  MFDATA_TRY(sync_path(store.home().plugins()));
  const fs::path folder = free_folder(store.plugin(name), plugin.version);
  const auto ready = [&]() -> Result<void> {
    MFDATA_TRY(store.begin(name, folder.filename().string()));
    if (::rename(fresh.c_str(), folder.c_str()) != 0) return system_error(errno, "cannot rename to " + folder.string());
    MFDATA_TRY(sync_path(store.plugin(name)));
    return run_postinstall(store, timeout_s, name, folder);
  }();
  if (ready) return folder.filename().string();
  store.give_up(name);
  return ready.error();
}

}  // namespace

Result<void> check_folder_owner(const Store& store, const fs::path& folder) {
  struct stat st;
  if (::stat(folder.c_str(), &st) != 0) return system_error(errno, "cannot look at " + folder.string());
  return check_writers(store, st, folder.string());
}

Result<StagedPlugin> stage(const Store& store, const GeneralSettings& settings, const std::string& path, const InstallOptions& options,
                           const Admission& admission) {
  boost::system::error_code code;
  const fs::path source = fs::canonical(path, code);
  if (code) return system_error(code.value(), "cannot read " + path);
  const fs::path fresh = store.home().plugins() / (".new-" + fresh_uid());
  const auto staged = [&]() -> Result<StagedPlugin> {
    MFDATA_TRY(make_directory(fresh));
    std::optional<PackageManifest> promised;
    if (fs::is_directory(source, code)) {
      if (!fs::is_regular_file(source / "plugin.toml", code)) return bad(path + " is no plugin: it has no plugin.toml");
      MFDATA_TRY(check_folder_owner(store, source));
      MFDATA_TRY(copy_folder(store, source, fresh));
      MFDATA_TRY(check_library_is_copied(source, fresh));
    } else {
      auto fetched = fetch_package(store, settings, path, fresh, options);
      if (!fetched) return fetched.error();
      promised = std::move(*fetched);
    }
    auto plugin = checked(store, fresh, promised ? &*promised : nullptr, options);
    if (!plugin) return plugin.error();
    MFDATA_TRY(admission(plugin->name, fresh.string()));
    auto folder = settle(store, fresh, settings.postinstall_timeout_s, *plugin);
    return folder ? Result<StagedPlugin>({plugin->name, *folder}) : folder.error();
  }();
  store.discard(fresh);
  if (staged) return staged;
  Error error = staged.error();
  for (std::size_t at; (at = error.text.find(fresh.string())) != std::string::npos;) error.text.replace(at, fresh.string().size(), path);
  return error;
}

}  // namespace mfdata
