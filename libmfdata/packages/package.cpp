#include "libmfdata/package.hpp"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>

#include <algorithm>
#include <boost/filesystem/operations.hpp>
#include <cerrno>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "libmfdata/disk.hpp"
#include "libmfdata/home.hpp"
#include "libmfdata/printable.hpp"
#include "libmfdata/spool_name.hpp"
#include "libmfdata/version.hpp"
#include "package_names.hpp"

namespace fs = boost::filesystem;
using nlohmann::json;

namespace mfdata {
namespace {

constexpr std::uint64_t kMaxRatio = 200, kFreeOfRatio = 10'000'000;
constexpr std::size_t kMaxManifest = 8'000'000;
constexpr std::size_t kBlock = 1 << 16;
constexpr int kFormat = 1;

struct FreeReader {
  void operator()(archive* one) const { ::archive_read_free(one); }
};
struct FreeWriter {
  void operator()(archive* one) const { ::archive_write_free(one); }
};
struct FreeEntry {
  void operator()(archive_entry* one) const { ::archive_entry_free(one); }
};

Error refused(const std::string& package, const std::string& entry, const std::string& why) {
  return Error{Code::kRefused, 0, package + ": " + (entry.empty() ? "" : printable(entry, 300) + ": ") + why};
}

class Sha256 {
 public:
  Sha256() { ::crypto_hash_sha256_init(&state_); }
  void add(const void* bytes, std::size_t size) { ::crypto_hash_sha256_update(&state_, static_cast<const unsigned char*>(bytes), size); }
  std::string finish() {
    std::array<unsigned char, crypto_hash_sha256_BYTES> hash{};
    ::crypto_hash_sha256_final(&state_, hash.data());
    std::string text(hash.size() * 2 + 1, '\0');
    ::sodium_bin2hex(text.data(), text.size(), hash.data(), hash.size());
    text.pop_back();
    return text;
  }

 private:
  crypto_hash_sha256_state state_;
};

Result<FileDescriptor> open_regular(const std::string& path, struct stat& st, int follow = O_NOFOLLOW) {
  FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | follow));
  if (!file && errno != ELOOP) return system_error(errno, "cannot read " + path);
  if (!file || ::fstat(file.get(), &st) != 0 || !S_ISREG(st.st_mode)) {
    return Error{Code::kBadConfig, 0, path + " is not a regular file: a plugin consists of files and directories"};
  }
  return file;
}

// visit(bytes, size) for each block.
template <class Visit>
Result<void> each_block(int file, const std::string& path, Visit visit) {
  std::vector<char> block(kBlock);
  ssize_t got = 0;
  while ((got = ::read(file, block.data(), block.size())) > 0) MFDATA_TRY(visit(block.data(), static_cast<std::size_t>(got)));
  return got < 0 ? system_error(errno, "cannot read " + path) : Result<void>();
}

// ---- manifest

std::string text_of(const json& object, const char* key) {
  return object.contains(key) && object[key].is_string() ? object[key].get<std::string>() : "";
}
std::uint64_t number_of(const json& object, const char* key) {
  return object.contains(key) && object[key].is_number_unsigned() ? object[key].get<std::uint64_t>() : 0;
}

bool is_sha256(const std::string& text) { return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string::npos; }

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return text;
}

// A file may not be a directory of another one, nor differ from one in capitals only: such a package unpacks differently here
// and there.
Result<void> check_files(const std::string& package, const std::vector<PackagedFile>& files) {
  std::set<std::string> names;
  std::uint64_t bytes = 0;
  if (files.size() > kMaxPackagedFiles) return refused(package, "", "it has more than " + std::to_string(kMaxPackagedFiles) + " files");
  for (const PackagedFile& file : files) {
    if (const std::string wrong = wrong_path(file.path); !wrong.empty()) return refused(package, file.path, wrong);
    if (file.path == kManifestFile || !is_sha256(file.sha256)) return refused(package, file.path, "its record in the manifest is wrong");
    if (!names.insert(lower(file.path)).second)
      return refused(package, file.path, "its name stands there twice, or differs from another one in capitals only");
    if (file.size > kMaxPackagedBytes || (bytes += file.size) > kMaxPackagedBytes) return refused(package, file.path, "with it the package is larger than 2 GB");
  }
  std::map<std::string, std::string> directories;  // as it is written first
  for (const PackagedFile& file : files) {
    for (std::size_t slash = file.path.find('/'); slash != std::string::npos; slash = file.path.find('/', slash + 1)) {
      const std::string directory = file.path.substr(0, slash);
      if (directories.try_emplace(lower(directory), directory).first->second != directory) {
        return refused(package, file.path, "its directory differs from another one in capitals only");
      }
    }
  }
  for (const std::string& name : names) {
    for (std::size_t slash = name.find('/'); slash != std::string::npos; slash = name.find('/', slash + 1)) {
      if (names.contains(name.substr(0, slash))) return refused(package, name, "one of its directories is a file of the package as well");
    }
  }
  return {};
}

Result<PackageManifest> parse_manifest(const std::string& package, const std::string& text) {
  const json out = json::parse(text, nullptr, false);
  if (!out.is_object() || number_of(out, "format") != kFormat) return refused(package, kManifestFile, "it is no manifest of format 1");
  PackageManifest manifest{text_of(out, "name"),
                           text_of(out, "version"),
                           text_of(out, "summary"),
                           text_of(out, "license"),
                           text_of(out, "maintainer"),
                           text_of(out, "url"),
                           text_of(out, "architecture"),
                           text_of(out, "glibc"),
                           text_of(out, "base"),
                           static_cast<unsigned>(number_of(out, "abi_major")),
                           static_cast<unsigned>(number_of(out, "abi_minor")),
                           static_cast<unsigned>(number_of(out, "need_minor")),
                           {},
                           {}};
  for (const json& component : out.contains("components") && out["components"].is_array() ? out["components"] : json::array()) {
    if (component.is_string()) manifest.components.push_back(component.get<std::string>());
  }
  for (const json& file : out.contains("files") && out["files"].is_array() ? out["files"] : json::array()) {
    if (!file.is_object()) return refused(package, kManifestFile, "files holds something else than records");
    manifest.files.push_back(
        {text_of(file, "path"), number_of(file, "size"), text_of(file, "sha256"), file.contains("executable") && file["executable"] == json(true)});
  }
  if (!valid_plugin_name(manifest.name) || !valid_version(manifest.version))
    return refused(package, kManifestFile, "its name or version is no name or version of a plugin");
  MFDATA_TRY(check_files(package, manifest.files));
  return manifest;
}

// ---- reading

// The entries of a package, one after another.
class PackageReader {
 public:
  explicit PackageReader(std::string path) : path_(std::move(path)), archive_(::archive_read_new()) {
    ::archive_read_support_filter_gzip(archive_.get());
    ::archive_read_support_format_tar(archive_.get());
  }

  Result<void> open() {
    struct stat st {};
    auto file = open_regular(path_, st, 0);  // a link to a package is one
    if (!file) return file.error();
    file_ = std::move(*file);
    return ::archive_read_open_fd(archive_.get(), file_.get(), kBlock) == ARCHIVE_OK ? Result<void>() : broken("");
  }

  // False at the end. Only regular files are given; directories are looked at and passed over.
  Result<bool> next() {
    while (true) {
      const int code = ::archive_read_next_header(archive_.get(), &entry_);
      if (code == ARCHIVE_EOF)
        return ::archive_filter_count(archive_.get()) > 1 ? Result<bool>(false) : refused(path_, "", "it is not compressed with gzip");
      if (code != ARCHIVE_OK && code != ARCHIVE_WARN) return broken("");  // a warning: of a name in another alphabet
      const char* name = ::archive_entry_pathname(entry_);
      if (!name) name = ::archive_entry_pathname_utf8(entry_);
      if (!name) return refused(path_, "", "an entry has a name that is no text");
      name_ = name;
      const bool directory = ::archive_entry_filetype(entry_) == AE_IFDIR;
      if (directory && name_.ends_with('/')) name_.pop_back();
      if (++entries_ > kMaxPackagedFiles) return refused(path_, name_, "with it the package has more than " + std::to_string(kMaxPackagedFiles) + " entries");
      if (const std::string wrong = wrong_path(name_); !wrong.empty()) return refused(path_, name_, wrong);
      if (::archive_entry_hardlink(entry_) || ::archive_entry_symlink(entry_)) return refused(path_, name_, "it is a link");
      if (!directory && ::archive_entry_filetype(entry_) != AE_IFREG) return refused(path_, name_, "it is neither a file nor a directory");
      if ((::archive_entry_perm(entry_) & 07000) != 0) return refused(path_, name_, "its mode has setuid, setgid or the sticky bit");
      if (!directory) return true;
    }
  }

  const std::string& name() const { return name_; }
  std::uint64_t size() const { return static_cast<std::uint64_t>(std::max<la_int64_t>(0, ::archive_entry_size(entry_))); }

  // visit(bytes, size) for each block of the entry; never more than `limit` bytes in all.
  template <class Visit>
  Result<void> content(std::uint64_t limit, Visit visit) {
    std::vector<char> block(kBlock);
    std::uint64_t all = 0;
    while (true) {
      const la_ssize_t got = ::archive_read_data(archive_.get(), block.data(), block.size());
      if (got == 0) return {};
      if (got < 0) return broken(name_);
      all += static_cast<std::uint64_t>(got);
      written_ += static_cast<std::uint64_t>(got);
      if (all > limit) return refused(path_, name_, "it is larger than the manifest says");
      const auto read = static_cast<std::uint64_t>(std::max<la_int64_t>(1, ::archive_filter_bytes(archive_.get(), -1)));
      if (written_ > kFreeOfRatio && written_ / read > kMaxRatio) return refused(path_, name_, "it unpacks to more than 200 times its size: a bomb");
      MFDATA_TRY(visit(block.data(), static_cast<std::size_t>(got)));
    }
  }

 private:
  Error broken(const std::string& entry) const {
    const char* why = ::archive_error_string(archive_.get());
    return refused(path_, entry, std::string("it cannot be read, it may be truncated: ") + printable(why ? why : "no reason given", 200));
  }

  std::string path_;
  std::unique_ptr<archive, FreeReader> archive_;
  FileDescriptor file_;
  archive_entry* entry_ = nullptr;
  std::string name_;
  std::size_t entries_ = 0;
  std::uint64_t written_ = 0;
};

Result<PackageManifest> first_manifest(PackageReader& reader, const std::string& package) {
  auto there = reader.next();
  if (!there) return there.error();
  if (!*there || reader.name() != kManifestFile)
    return refused(package, *there ? reader.name() : "", "a package begins with manifest.json: make it with mfdata-plugin pack");
  std::string text;
  MFDATA_TRY(reader.content(kMaxManifest, [&](const char* bytes, std::size_t size) {
    text.append(bytes, size);
    return Result<void>();
  }));
  return parse_manifest(package, text);
}

Result<void> unpack_one(PackageReader& reader, const std::string& package, const PackagedFile& file, const fs::path& target) {
  if (reader.size() != file.size) return refused(package, file.path, "its size is not that of the manifest");
  boost::system::error_code code;
  fs::create_directories(target.parent_path(), code);
  if (code) return system_error(code.value(), "cannot make " + target.parent_path().string());
  FileDescriptor copy(::open(target.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!copy) return system_error(errno, "cannot write " + target.string());
  Sha256 hash;
  MFDATA_TRY(reader.content(file.size, [&](const char* bytes, std::size_t size) {
    hash.add(bytes, size);
    return write_all(copy.get(), {bytes, size}, target.string());
  }));
  if (hash.finish() != file.sha256) return refused(package, file.path, "its content is not that of the manifest");
  if (::fchmod(copy.get(), file.executable ? 0755 : 0644) != 0) return system_error(errno, "cannot set the mode of " + target.string());
  return sync_file(copy.get(), target.string());
}

// ---- writing

// With everything left out that differs from machine to machine, and from day to day.
class PackageWriter {
 public:
  PackageWriter(std::string path, int file) : path_(std::move(path)), archive_(::archive_write_new()) {
    ::archive_write_set_format_pax_restricted(archive_.get());
    ::archive_write_add_filter_gzip(archive_.get());
    ::archive_write_set_filter_option(archive_.get(), "gzip", "timestamp", nullptr);
    ::archive_write_set_filter_option(archive_.get(), "gzip", "compression-level", "9");
    opened_ = ::archive_write_open_fd(archive_.get(), file) == ARCHIVE_OK;
  }

  Result<void> begin(const std::string& name, std::uint64_t size, bool executable) {
    std::unique_ptr<archive_entry, FreeEntry> entry(::archive_entry_new());
    ::archive_entry_set_pathname(entry.get(), name.c_str());
    ::archive_entry_set_filetype(entry.get(), AE_IFREG);
    ::archive_entry_set_perm(entry.get(), executable ? 0755 : 0644);
    ::archive_entry_set_size(entry.get(), static_cast<la_int64_t>(size));
    ::archive_entry_set_mtime(entry.get(), 0, 0);
    return opened_ && ::archive_write_header(archive_.get(), entry.get()) == ARCHIVE_OK ? Result<void>() : failed();
  }
  Result<void> add(const char* bytes, std::size_t size) {
    return ::archive_write_data(archive_.get(), bytes, size) == static_cast<la_ssize_t>(size) ? Result<void>() : failed();
  }
  Result<void> finish() { return ::archive_write_close(archive_.get()) == ARCHIVE_OK ? Result<void>() : failed(); }

 private:
  Error failed() const {
    const char* why = ::archive_error_string(archive_.get());
    return Error{Code::kIo, ::archive_errno(archive_.get()), "cannot write " + path_ + ": " + (why ? why : "no reason given")};
  }

  std::string path_;
  std::unique_ptr<archive, FreeWriter> archive_;
  bool opened_ = false;
};

Result<void> write_entries(PackageWriter& writer, const std::string& folder, const PackageManifest& manifest) {
  const std::string text = manifest.spell();
  MFDATA_TRY(writer.begin(kManifestFile, text.size(), false));
  MFDATA_TRY(writer.add(text.data(), text.size()));
  for (const PackagedFile& one : manifest.files) {
    const std::string path = folder + '/' + one.path;
    struct stat st {};
    auto file = open_regular(path, st);
    if (!file) return file.error();
    MFDATA_TRY(writer.begin(one.path, one.size, one.executable));
    Sha256 hash;
    MFDATA_TRY(each_block(file->get(), path, [&](const char* bytes, std::size_t size) {
      hash.add(bytes, size);
      return writer.add(bytes, size);
    }));
    if (hash.finish() != one.sha256) return Error{Code::kBusy, 0, path + " changed while it was packed"};
  }
  return writer.finish();
}

}  // namespace

std::string PackageManifest::spell() const {
  json out = {{"format", kFormat},
              {"name", name},
              {"version", version},
              {"summary", summary},
              {"license", license},
              {"maintainer", maintainer},
              {"url", url},
              {"architecture", architecture},
              {"glibc", glibc},
              {"abi_major", abi_major},
              {"abi_minor", abi_minor},
              {"need_minor", need_minor},
              {"components", components}};
  if (!base.empty()) out["base"] = base;
  out["files"] = json::array();
  for (const PackagedFile& file : files)
    out["files"].push_back({{"path", file.path}, {"size", file.size}, {"sha256", file.sha256}, {"executable", file.executable}});
  return out.dump(1, ' ', false, json::error_handler_t::replace) + '\n';
}

Result<std::string> sha256_of(const std::string& path) {
  struct stat st {};
  auto file = open_regular(path, st);
  if (!file) return file.error();
  Sha256 hash;
  MFDATA_TRY(each_block(file->get(), path, [&](const char* bytes, std::size_t size) {
    hash.add(bytes, size);
    return Result<void>();
  }));
  return hash.finish();
}

Result<std::string> write_package(const std::string& folder, const PackageManifest& manifest, const std::string& directory) {
  MFDATA_TRY(check_files(folder, manifest.files));
  const std::string final = directory + '/' + manifest.file_name(), fresh = directory + "/." + manifest.file_name() + '.' + fresh_uid();
  FileDescriptor file(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (!file) return system_error(errno, "cannot write " + fresh);
  PackageWriter writer(fresh, file.get());
  auto done = write_entries(writer, folder, manifest);
  if (done) done = sync_file(file.get(), fresh);
  if (done && ::rename(fresh.c_str(), final.c_str()) != 0) done = system_error(errno, "cannot rename to " + final);
  if (done) return final;
  ::unlink(fresh.c_str());
  return done.error();
}

Result<PackageManifest> read_manifest(const std::string& package) {
  PackageReader reader(package);
  MFDATA_TRY(reader.open());
  return first_manifest(reader, package);
}

Result<PackageManifest> installed_manifest(const std::string& folder) {
  const std::string path = folder + '/' + kManifestFile;
  FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!file) return system_error(errno, "cannot read " + path);
  auto text = read_all(file.get(), kMaxManifest, path);
  return text ? parse_manifest(folder, *text) : text.error();
}

Result<PackageManifest> unpack(const std::string& package, const std::string& into) {
  PackageReader reader(package);
  MFDATA_TRY(reader.open());
  auto manifest = first_manifest(reader, package);
  if (!manifest) return manifest;
  std::map<std::string, const PackagedFile*> missing;
  for (const PackagedFile& file : manifest->files) missing[file.path] = &file;
  while (true) {
    auto there = reader.next();
    if (!there) return there.error();
    if (!*there) break;
    const auto known = missing.find(reader.name());
    if (known == missing.end()) return refused(package, reader.name(), "it stands there twice, or not in the manifest");
    MFDATA_TRY(unpack_one(reader, package, *known->second, fs::path(into) / known->first));
    missing.erase(known);
  }
  if (!missing.empty()) return refused(package, missing.begin()->first, "it is missing, though the manifest names it");
  return manifest;
}

}  // namespace mfdata
