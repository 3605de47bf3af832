#include "package_names.hpp"

#include <fnmatch.h>
#include <sys/stat.h>

#include <algorithm>
#include <boost/filesystem/operations.hpp>
#include <cerrno>

#include "libmfdata/home.hpp"
#include "libmfdata/package.hpp"
#include "libmfdata/printable.hpp"
#include "libmfdata/signature.hpp"

namespace fs = boost::filesystem;

namespace mfdata {
namespace {

constexpr std::size_t kMaxPath = 200;
constexpr const char* kIgnoreFile = ".releaseignore";
// What builds leave behind, unless .releaseignore takes it back ("!build/").
constexpr const char* kBuildTrees = "build*/\ntarget/\n__pycache__/\n*.o\n";

// What an author keeps beside the plugin and never ships: build directories, earlier packages and their signatures.
bool stays_out(const fs::path& path, bool is_directory) {
  const fs::path extension = path.extension();
  return path.filename().string().starts_with('.') || (is_directory ? extension == ".p" : extension == ".mfplugin" || extension == ".minisig");
}

Result<ReleaseIgnore> ignore_file_of(const std::string& folder) {
  const fs::path path = fs::path(folder) / kIgnoreFile;
  boost::system::error_code code;
  if (fs::symlink_status(path, code).type() == fs::file_not_found) return ReleaseIgnore(kBuildTrees);
  const auto text = small_file(path);
  return text ? Result<ReleaseIgnore>(ReleaseIgnore(kBuildTrees + *text))
              : Error{Code::kBadConfig, 0, path.string() + " cannot be read: it has to be a text file of at most 1 MiB"};
}

Result<PackagedFile> file_of_folder(const std::string& folder, const std::string& path) {
  const std::string whole = folder + '/' + path;
  const auto wrong = [&](const std::string& why) { return Error{Code::kBadConfig, 0, folder + '/' + printable(path, 300) + ": " + why}; };
  if (const std::string why = wrong_path(path); !why.empty()) return wrong(why);
  auto hash = sha256_of(whole);
  if (!hash) return hash.error();
  struct stat st;
  if (::lstat(whole.c_str(), &st) != 0) return system_error(errno, "cannot look at " + whole);
  if (is_secret_key(whole)) return wrong("it is a secret key: keep it somewhere else, or name it in .releaseignore");
  return PackagedFile{path, static_cast<std::uint64_t>(st.st_size), *hash, (st.st_mode & 0111) != 0};
}

// fnmatch(3) knows no "**": it stands for any number of whole directories.
bool matches(const std::string& glob, const std::string& path) {
  const std::size_t stars = glob.find("**");
  if (stars == std::string::npos) return ::fnmatch(glob.c_str(), path.c_str(), FNM_PATHNAME) == 0;
  const std::string head = glob.substr(0, stars), tail = glob.substr(std::min(glob.size(), stars + (glob.compare(stars, 3, "**/") == 0 ? 3 : 2)));
  for (std::size_t from = 0; from <= path.size(); ++from) {
    if (from > 0 && path[from - 1] != '/') continue;
    if (::fnmatch((head + '*').c_str(), path.substr(0, from).c_str(), 0) != 0) continue;
    if (tail.empty() || matches(tail, path.substr(from))) return true;
  }
  return false;
}

}  // namespace

std::string wrong_path(std::string_view path) {
  if (path.empty()) return "its name is empty";
  if (path.size() > kMaxPath) return "its name is longer than " + std::to_string(kMaxPath) + " bytes";
  if (path[0] == '/') return "its name is absolute";
  if (std::any_of(path.begin(), path.end(), [](char c) { return c < 0x20 || c > 0x7e || c == '\\'; }))
    return "its name has other bytes than printable ASCII, or a backslash";
  for (std::size_t at = 0; at <= path.size();) {
    const std::size_t end = std::min(path.find('/', at), path.size());
    const std::string_view part = path.substr(at, end - at);
    if (part.empty() || part == "." || part == "..") return "its name has an empty part, \".\" or \"..\"";
    at = end + 1;
  }
  return "";
}

ReleaseIgnore::ReleaseIgnore(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    std::string_view line = text.substr(at, end - at);
    at = end + 1;
    while (!line.empty() && (line.back() == ' ' || line.back() == '\r' || line.back() == '\t')) line.remove_suffix(1);
    if (line.empty() || line[0] == '#') continue;
    Pattern pattern;
    if ((pattern.negated = line[0] == '!')) line.remove_prefix(1);
    if ((pattern.directory = line.ends_with('/'))) line.remove_suffix(1);
    pattern.anchored = line.find('/') != std::string_view::npos;
    if (line.starts_with('/')) line.remove_prefix(1);
    pattern.glob = line;
    patterns_.push_back(std::move(pattern));
  }
}

bool ReleaseIgnore::ignores(const std::string& path, bool is_directory) const {
  bool ignored = false;
  for (const Pattern& pattern : patterns_) {
    if (pattern.directory && !is_directory) continue;
    const std::string& name = path.substr(path.rfind('/') + 1);
    if (matches(pattern.glob, pattern.anchored ? path : name)) ignored = !pattern.negated;
  }
  return ignored;
}

Result<std::vector<PackagedFile>> files_of_folder(const std::string& folder) {
  std::vector<PackagedFile> files;
  std::uint64_t bytes = 0;
  const auto ignored = ignore_file_of(folder);
  if (!ignored) return ignored.error();
  boost::system::error_code code;
  fs::recursive_directory_iterator at(folder, code), end;
  for (; !code && at != end; at.increment(code)) {
    const std::string path = at->path().lexically_relative(folder).string();
    const bool directory = fs::is_directory(at->symlink_status());
    if (stays_out(at->path(), directory) || ignored->ignores(path, directory) || path == kManifestFile) {
      if (directory) at.disable_recursion_pending();
      continue;
    }
    if (directory) continue;
    auto file = file_of_folder(folder, path);
    if (!file) return file.error();
    files.push_back(std::move(*file));
    bytes += files.back().size;
    if (files.size() > kMaxPackagedFiles || bytes > kMaxPackagedBytes)
      return Error{Code::kLimit, 0, folder + " has more than 20000 files or 2 GB: is it a plugin? (.releaseignore leaves files out)"};
  }
  if (code) return system_error(code.value(), "cannot read " + folder);
  std::sort(files.begin(), files.end(), [](const PackagedFile& a, const PackagedFile& b) { return a.path < b.path; });
  return files;
}

}  // namespace mfdata
