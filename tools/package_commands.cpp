// mfdata-plugin info, inspect, pack, hash, keygen, sign, verify.
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <boost/filesystem/operations.hpp>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <nlohmann/json.hpp>

#include "commands.hpp"
#include "libmfdata/package.hpp"
#include "libmfdata/plugin_check.hpp"
#include "libmfdata/printable.hpp"
#include "progress.hpp"
#include "libmfdata/signature.hpp"
#include "plugin_commands.hpp"

namespace fs = boost::filesystem;
using nlohmann::json;

namespace mfdata::tools {
namespace {

constexpr std::size_t kShownFiles = 50;

// Without what it shows. The terminal is itself again afterwards.
std::string line_of_terminal(const std::string& prompt) {
  termios before{};
  ::tcgetattr(STDIN_FILENO, &before);
  termios silent = before;
  silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
  std::cerr << prompt << std::flush;
  ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
  std::string line;
  std::getline(std::cin, line);
  ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
  std::cerr << '\n';
  return line;
}

Result<std::string> first_line(const std::string& path) {
  const auto text = small_file(path);
  if (!text) return Error{Code::kGone, 0, "cannot read the password file " + path};
  return text->substr(0, text->find_first_of("\r\n"));
}

Result<std::string> password_for(const KeyOptions& options, const std::string& prompt) {
  if (!options.password_file.empty()) return first_line(options.password_file);
  if (::isatty(STDIN_FILENO) == 0)
    return Error{Code::kNotFound, 0, "the key has a password, and this is no terminal to ask for it: name a file with --password-file"};
  return line_of_terminal(prompt);
}

std::string key_path(const KeyOptions& options) {
  if (!options.key.empty()) return options.key;
  const char* folder = std::getenv("XDG_CONFIG_HOME");
  const char* user = std::getenv("HOME");
  return (folder && *folder ? fs::path(folder) : fs::path(user ? user : "/") / ".config").string() + "/mfdata/plugin.key";
}

std::string public_path(const std::string& secret) { return (secret.ends_with(".key") ? secret.substr(0, secret.size() - 4) : secret) + ".pub"; }

json described(const PackageManifest& manifest) {
  json out = json::parse(manifest.spell());
  out.erase("format");
  if (manifest.abi_major == 0) {
    for (const char* unknown : {"abi_major", "abi_minor", "need_minor"}) out.erase(unknown);
  }
  return out;
}

void show_manifest(const PackageManifest& manifest) {
  const auto row = [](const char* name, const std::string& value) {
    if (!value.empty()) std::cout << name << printable(value, 500) << '\n';
  };
  row("name          ", manifest.name);
  row("version       ", manifest.version);
  row("summary       ", manifest.summary);
  row("license       ", manifest.license);
  row("maintainer    ", manifest.maintainer);
  row("url           ", manifest.url);
  const std::string major = std::to_string(manifest.abi_major) + '.';
  row("base          ", manifest.base.empty() ? "" : manifest.base + ", by whose library it runs: the one that comes with mfdata");
  row("ABI           ", !manifest.base.empty()     ? ""
                        : manifest.abi_major == 0 ? "the library's code tells it, and its predicates: mfdata-plugin inspect"
                                                : major + std::to_string(manifest.abi_minor) + ", needs " + major + std::to_string(manifest.need_minor));
  row("architecture  ", manifest.architecture);
  row("needs glibc   ", manifest.glibc);
  for (const std::string& component : manifest.components) row("component     ", component);
  for (std::size_t i = 0; i < manifest.files.size() && i < kShownFiles; ++i) {
    const PackagedFile& file = manifest.files[i];
    std::printf("file          %s, %llu bytes%s\n", file.path.c_str(), static_cast<unsigned long long>(file.size),
                file.executable ? ", executable" : "");
  }
  if (manifest.files.size() > kShownFiles) std::cout << "              and " << manifest.files.size() - kShownFiles << " more\n";
}

// Of a plugin folder, without running its code: as it was when it was installed, else what plugin.toml and the file say.
Result<PackageManifest> manifest_of_folder(const std::string& folder) {
  auto kept = installed_manifest(folder);
  if (!kept.is(Code::kGone)) return kept;
  Problems problems;
  CheckedPlugin plugin;
  plugin.settings = load_plugin_folder(folder, problems);
  if (!problems.empty()) return Error{Code::kBadConfig, 0, problems.front().spell()};
  if (plugin.settings.base.empty()) {
    auto elf = read_elf_library(plugin.settings.library);
    if (!elf) return elf.error();
    plugin.elf = std::move(*elf);
  }
  for (const StepSettings& step : plugin.settings.steps) {
    plugin.description.components.push_back({step.kind == WorkerKind::kStep ? "step" : "listener", step.component, ""});
  }
  PackageManifest manifest = manifest_of(plugin);
  auto files = files_of_folder(folder);
  if (!files) return files.error();
  manifest.files = std::move(*files);
  return manifest;
}

Result<PackageManifest> manifest_of_anything(const std::string& home_option, const std::string& what) {
  boost::system::error_code code;
  if (fs::is_regular_file(what, code)) return read_manifest(what);
  if (fs::is_directory(what, code)) return manifest_of_folder(fs::canonical(what, code).string());
  auto home = find_home(home_option);
  if (!home)
    return Error{Code::kNotFound, 0,
                 printable(what, 300) + " is neither a package nor a folder; and no home to look for a plugin of that name: " + home.error().text};
  const auto installed = installed_plugins(*home);
  if (std::find(installed.begin(), installed.end(), what) == installed.end()) {
    const auto near = near_miss(what, installed);
    return Error{
        Code::kNotFound, 0,
        printable(what, 300) + " is neither a package, nor a folder, nor an installed plugin" + (near ? ": did you mean \"" + *near + "\"?" : "")};
  }
  auto manifest = manifest_of_folder(fs::canonical(home->current(what), code).string());
  if (manifest) manifest->name = what;
  return manifest;
}

json words(const std::vector<std::string>& texts) { return json(texts); }

}  // namespace

int show_plugin(const std::string& home_option, const std::string& what, bool as_json) {
  auto manifest = manifest_of_anything(home_option, what);
  if (!manifest) return fail(manifest.error().text);
  if (as_json) {
    std::cout << described(*manifest).dump(2, ' ', false, json::error_handler_t::replace) << '\n';
  } else {
    show_manifest(*manifest);
  }
  return 0;
}

int inspect_library(const std::string& path, bool as_json) {
  boost::system::error_code code;
  const std::string library = fs::canonical(path, code).string();
  if (code) return fail("cannot read " + path + ": " + code.message());
  auto elf = read_elf_library(library);
  if (!elf) return fail(elf.error().text);
  auto description = describe_library(library);
  json out;
  out["library"] = library;
  out["architecture"] = elf->architecture;
  out["build_id"] = elf->build_id;
  out["needed"] = words(elf->needed);
  out["search_paths"] = words(elf->search_paths);
  out["versions"] = elf->versions;
  out["glibc"] = elf->newest("GLIBC_");
  out["libstdcxx"] = elf->newest("GLIBCXX_");
  out["exported"] = words(elf->exported);
  out["text_relocations"] = elf->has_text_relocations;
  out["problem"] = description ? "" : description.error().text;
  if (description) {
    out["id"] = description->id;
    out["version"] = description->version;
    out["license"] = description->license;
    out["abi"] = std::to_string(description->abi_major) + '.' + std::to_string(description->abi_minor);
    out["needs_abi"] = std::to_string(description->abi_major) + '.' + std::to_string(description->need_minor);
    out["components"] = json::array();
    for (const auto& component : description->components)
      out["components"].push_back({{"kind", component.kind}, {"id", component.id}, {"summary", component.summary}});
  }
  if (as_json) {
    std::cout << out.dump(2, ' ', false, json::error_handler_t::replace) << '\n';
    return description ? 0 : 1;
  }
  for (const auto& [key, value] : out.items()) {
    if (key == "problem" || key == "components" || key == "versions" || (value.is_array() && value.empty())) continue;
    std::string text = value.is_string() ? value.get<std::string>() : value.is_array() ? "" : value.dump();
    for (const json& one : value.is_array() ? value : json::array()) text += (text.empty() ? "" : ", ") + one.get<std::string>();
    std::printf("%-18s %s\n", key.c_str(), printable(text, 1000).c_str());
  }
  if (!description) return fail(description.error().text);
  for (const auto& component : description->components)
    std::cout << "component          " << component.kind << ' ' << printable(component.id, 200) << ": " << printable(component.summary, 300) << '\n';
  return 0;
}

int pack_plugin(const std::string& folder, const std::string& directory) {
  Progress progress("packing " + printable(folder, 100) + " ...", 0);
  progress.step(0);
  auto packed = mfdata::pack_plugin(folder, directory);
  progress.clear();
  if (!packed) return fail(packed.error().text);
  std::cout << *packed << '\n';
  return 0;
}

int hash_file(const std::string& what) {
  auto hash = sha256_of(what);
  if (!hash) return fail(hash.error().text);
  std::cout << *hash << "  " << printable(what) << '\n';
  return 0;
}

int make_keys(const KeyOptions& options) {
  const std::string secret = key_path(options), open = public_path(secret);
  std::string password;
  if (!options.password_file.empty() || ::isatty(STDIN_FILENO) != 0) {
    auto first = password_for(options, "password of the new key (empty: none): ");
    if (!first) return fail(first.error().text);
    password = *first;
    if (options.password_file.empty() && !password.empty() && line_of_terminal("again: ") != password) return fail("the two passwords differ");
  }
  boost::system::error_code code;
  const mode_t before = ::umask(077);
  fs::create_directories(fs::absolute(secret).parent_path(), code);
  ::umask(before);
  if (auto made = make_key_pair(secret, open, password); !made) return fail(made.error().text);
  std::cout << "made " << secret << (password.empty() ? " (without a password: keep it secret) and " : " (keep it secret) and ") << open << "\nA home trusts it when " << fs::path(open).filename().string()
            << " stands in its etc/keys\n";
  return 0;
}

int sign_package(const std::string& package, const KeyOptions& options) {
  const std::string path = key_path(options);
  auto key = read_secret_key(path, [&] { return password_for(options, "password of " + path + ": "); });
  if (!key) return fail(key.error().text + (key.is(Code::kGone) ? ": mfdata-plugin keygen makes one" : ""));
  if (auto done = sign_file(package, *key); !done) return fail(done.error().text);
  std::cout << package << ".minisig\n";
  return 0;
}

int verify_package(const std::string& home_option, const std::string& package, const std::string& public_key) {
  Result<std::vector<PublicKey>> keys = std::vector<PublicKey>();
  if (public_key.empty()) {
    auto home = find_home(home_option);
    if (!home) return fail("name a key with --public-key, or a home that trusts some: " + home.error().text);
    keys = trusted_keys((home->root / "etc/keys").string());
    if (keys && keys->empty()) return fail((home->root / "etc/keys").string() + " holds no key: put the .pub files that you trust into it");
  } else {
    auto key = read_public_key(public_key);
    keys = key ? Result<std::vector<PublicKey>>(std::vector<PublicKey>{*key}) : Result<std::vector<PublicKey>>(key.error());
  }
  if (!keys) return fail(keys.error().text);
  auto signer = verify_file(package, package + ".minisig", *keys);
  if (!signer) return fail(signer.error().text);
  std::cout << package << " is signed with the key " << signer->spell_id() << ", " << signer->path << '\n';
  return 0;
}

}  // namespace mfdata::tools
