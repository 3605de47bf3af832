#include "libmfdata/home.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/filesystem/operations.hpp>
#include <cerrno>
#include <cstdlib>

#include "libmfdata/disk.hpp"
#include "libmfdata/half_made.hpp"

namespace fs = boost::filesystem;

namespace mfdata {
namespace {

Error filesystem_error(const boost::system::error_code& code, const std::string& doing) {
  return system_error(code.value(), doing);
}

// The folder of the running program.
fs::path program_folder() {
  boost::system::error_code code;
  return fs::read_symlink("/proc/self/exe", code).parent_path();
}

bool all_of(const std::string& text, const char* allowed) {
  return !text.empty() && text.size() <= 64 && text.find_first_not_of(allowed) == std::string::npos;
}

constexpr const char* kWordBytes = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_";

}  // namespace

fs::path administrator_directory() {
  const char* moved = std::getenv("MFDATA_ADMIN_DIR");
  return moved && *moved ? moved : "/etc/mfdata";
}

Result<Home> find_home(const std::string& option) {
  const char* variable = std::getenv("MFDATA_HOME");
  const std::string root = !option.empty() ? option : variable && *variable ? variable : "/var/lib/mfdata";
  boost::system::error_code code;
  const fs::path absolute = fs::canonical(root, code);
  if (code || !fs::is_directory(absolute / "etc", code)) {
    return Error{Code::kBadConfig, 0,
                 root + " is not a home of mfdata: make one with \"mfdata init " + root +
                     "\", or name another with --home or MFDATA_HOME"};
  }
  if (is_half_made(Home{absolute})) {
    return Error{Code::kBadConfig, 0, "the home " + absolute.string() + " is half made, \"mfdata init\" did not come to its end: give that command again"};
  }
  return Home{absolute};
}

static fs::path half_made_mark(const Home& home) { return home.root / "etc/.half_made"; }

bool is_half_made(const Home& home) {
  boost::system::error_code code;
  return fs::exists(half_made_mark(home), code);
}

Result<void> mark_half_made(const Home& home, bool half_made) {
  const std::string path = half_made_mark(home).string();
  if (!half_made) return ::unlink(path.c_str()) == 0 || errno == ENOENT ? Result<void>() : system_error(errno, "cannot remove " + path);
  const FileDescriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  return file ? Result<void>() : system_error(errno, "cannot make " + path);
}

Result<Home> make_home(const std::string& root) {
  boost::system::error_code code;
  const fs::path absolute = fs::absolute(root);
  fs::create_directories(absolute, code);
  if (code) return filesystem_error(code, "cannot make the home " + absolute.string());
  const Home home{fs::canonical(absolute, code)};
  for (const char* folder : {"etc/plugins.d", "etc/provision", "etc/keys", "plugins", "var/in", "var/archive", "run", "log"}) {
    fs::create_directories(home.root / folder, code);
    if (code) return filesystem_error(code, "cannot make " + (home.root / folder).string());
  }
  return home;
}

std::vector<std::string> installed_plugins(const Home& home) {
  std::vector<std::string> names;
  boost::system::error_code code;
  for (fs::directory_iterator at(home.plugins(), code), end; !code && at != end; at.increment(code)) {
    const std::string name = at->path().filename().string();
    boost::system::error_code missing;
    if (valid_plugin_name(name) && fs::is_symlink(fs::symlink_status(home.current(name), missing))) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

bool valid_plugin_name(const std::string& name) {
  static const std::string kAllowed = std::string(kWordBytes) + '-';
  if (!all_of(name, kAllowed.c_str())) return false;
  for (const char* reserved : {"base", "config", "core", "mfdata"}) {
    if (name == reserved) return false;
  }
  return !name.starts_with("plugin_") && !name.starts_with("__");
}

bool valid_step_name(const std::string& name) { return all_of(name, kWordBytes) && !name.ends_with("_reinject"); }

Result<FileDescriptor> lock_file(const fs::path& path, bool exclusive, bool inherited, const std::string& note) {
  FileDescriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | (inherited ? 0 : O_CLOEXEC), 0600));
  if (!file) return system_error(errno, "cannot open " + path.string());
  if (::flock(file.get(), (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB) != 0) {
    return system_error(errno, "cannot lock " + path.string());
  }
  if (exclusive && !note.empty()) {
    if (::ftruncate(file.get(), 0) != 0) return system_error(errno, "cannot write " + path.string());
    MFDATA_TRY(write_all(file.get(), note, path.string()));
  }
  return file;
}

std::optional<std::string> small_file(const fs::path& path) {
  FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file) return std::nullopt;
  auto text = read_all(file.get(), 1 << 20, path.string());
  return text ? std::optional(*text) : std::nullopt;
}

Result<std::string> find_program(const std::string& name) {
  const fs::path folder = program_folder();
  boost::system::error_code code;
  for (const fs::path& candidate : {folder / name, folder / "../libexec/mfdata" / name, folder / "../loader" / name}) {
    if (fs::is_regular_file(candidate, code)) return fs::canonical(candidate).string();
    if (code == boost::system::errc::permission_denied) {  // the owner of the home, whom root became
      return system_error(EACCES, "install mfdata where user " + std::to_string(::geteuid()) + " may reach it, not in " + folder.string());
    }
  }
  return Error{Code::kNotFound, 0, "the program " + name + " stands neither beside this one nor in libexec/mfdata: the installation is incomplete"};
}

static std::vector<fs::path> builtin_folders() {
  const fs::path folder = program_folder();
  return {folder / ".." / MFDATA_LIBDIR / "mfdata/plugins", folder / "../lib/mfdata/plugins", folder / "../sample_plugins"};
}

std::vector<std::string> builtin_plugins() {
  std::vector<std::string> names;
  boost::system::error_code code;
  for (const fs::path& folder : builtin_folders()) {
    for (fs::directory_iterator at(folder, code), end; !code && at != end; at.increment(code)) {
      if (fs::is_regular_file(at->path() / "plugin.toml", code)) names.push_back(at->path().filename().string());
    }
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

Result<std::string> find_builtin_plugin(const std::string& name) {
  boost::system::error_code code;
  for (const fs::path& folder : builtin_folders()) {
    const fs::path candidate = folder / name;
    if (fs::is_regular_file(candidate / "plugin.toml", code)) return fs::canonical(candidate).string();
  }
  return Error{Code::kNotFound, 0, "no plugin \"" + name + "\" came with this installation"};
}

}  // namespace mfdata
