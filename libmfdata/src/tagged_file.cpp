#include "libmfdata/tagged_file.hpp"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include <boost/filesystem/operations.hpp>
#include <cerrno>

#include "libmfdata/disk.hpp"
#include "libmfdata/home.hpp"
#include "libmfdata/spool_layout.hpp"
#include "libmfdata/spool_name.hpp"

namespace fs = boost::filesystem;

namespace mfdata {
namespace {

// The disk of a path's directory, and its last component.
struct Entry {
  Disk disk;
  std::string name;
};

Result<Entry> entry_of(const std::string& path) {
  const fs::path absolute = fs::absolute(path);
  auto disk = Disk::open(absolute.parent_path().string());
  if (!disk) return disk.error();
  return Entry{std::move(*disk), absolute.filename().string()};
}

Result<std::string> sidecar_of(const std::string& path) {
  boost::system::error_code code;
  const fs::path absolute = fs::canonical(path, code);
  const auto name = SpoolName::parse(absolute.filename().string());
  if (!name || !name->sidecar) return std::string();
  for (fs::path root = absolute.parent_path(); root.has_relative_path(); root = root.parent_path()) {
    const fs::path sidecar = root / layout::sidecar(name->uid);
    if (fs::exists(sidecar, code)) return sidecar.string();
  }
  return Error{Code::kGone, ENOENT, path + " has its context in a sidecar, which is missing"};
}

}  // namespace

Result<TaggedFile> TaggedFile::open(const std::string& path) {
  FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file) return system_error(errno, "cannot read " + path);
  auto sidecar = sidecar_of(path);
  if (!sidecar) return sidecar.error();
  return TaggedFile(path, std::move(file), std::move(*sidecar));
}

Result<Context> TaggedFile::context() const {
  Result<std::string> text = std::string();
  if (sidecar_.empty()) {
    text = get_tags_attribute(file_.get(), path_);
  } else {
    text = small_file(sidecar_).value_or("");
  }
  if (!text) return text.error();
  return decode(*text);
}

Result<Context> TaggedFile::context_or_new() const {
  auto found = context();
  if (found || !found.is(Code::kGone)) return found;
  struct stat st;
  if (::fstat(file_.get(), &st) != 0) return system_error(errno, "cannot look at " + path_);
  return Context{fresh_uid(), 0, static_cast<std::uint64_t>(st.st_size), "", {}, {}};
}

Result<void> TaggedFile::commit(const Context& context) const {
  if (sidecar_.empty()) return set_tags_attribute(file_.get(), encode(context), path_);
  auto entry = entry_of(sidecar_);
  if (!entry) return entry.error();
  const std::string fresh = ".new-" + fresh_uid();
  auto file = entry->disk.create(fresh);
  if (!file) return file.error();
  MFDATA_TRY(write_all(file->get(), encode(context), fresh));
  MFDATA_TRY(sync_file(file->get(), fresh));
  return entry->disk.replace(fresh, entry->name);
}

Result<TaggedFile> TaggedFile::copy_to(const std::string& path) const {
  auto entry = entry_of(path);
  if (!entry) return entry.error();
  auto found = context();
  if (!found && !found.is(Code::kGone)) return found.error();
  const std::string hidden = ".copy-" + fresh_uid();
  auto copy = entry->disk.create(hidden);
  if (!copy) return copy.error();
  auto from = Result<FileDescriptor>(FileDescriptor(::open(path_.c_str(), O_RDONLY | O_CLOEXEC)));  // its own offset
  auto done = *from ? copy_content(from->get(), copy->get(), path) : Result<void>(system_error(errno, "cannot read " + path_));
  if (done && found) {
    found->uid = fresh_uid();
    done = set_tags_attribute(copy->get(), encode(*found), path);
    if (done.is(Code::kAttribute) && done.error().errnum == ENOTSUP) done = {};
  }
  if (done) done = sync_file(copy->get(), path);
  if (done) done = entry->disk.rename(hidden, entry->name);
  if (!done) {
    (void)entry->disk.unlink(hidden);
    return done.error();
  }
  return open(path);
}

Result<TaggedFile> TaggedFile::link_to(const std::string& path) const {
  if (!sidecar_.empty()) return Error{Code::kUnsupported, 0, path_ + " has its context in a sidecar: a link outside would have none"};
  if (::linkat(AT_FDCWD, path_.c_str(), AT_FDCWD, path.c_str(), 0) != 0) return system_error(errno, "cannot link " + path_ + " to " + path);
  return open(path);
}

Result<void> TaggedFile::move_to(const std::string& path) {
  const bool same_context = sidecar_.empty();
  if (same_context && ::renameat2(AT_FDCWD, path_.c_str(), AT_FDCWD, path.c_str(), RENAME_NOREPLACE) == 0) {
    path_ = path;
    return {};
  }
  if (same_context && errno != EXDEV) return system_error(errno, "cannot move " + path_ + " to " + path);
  auto copy = copy_to(path);
  if (!copy) return copy.error();
  MFDATA_TRY(remove());
  *this = std::move(*copy);
  return {};
}

Result<void> TaggedFile::remove() {
  if (::unlink(path_.c_str()) != 0) return system_error(errno, "cannot remove " + path_);
  if (!sidecar_.empty() && ::unlink(sidecar_.c_str()) != 0 && errno != ENOENT) return system_error(errno, "cannot remove " + sidecar_);
  return {};
}

}  // namespace mfdata
