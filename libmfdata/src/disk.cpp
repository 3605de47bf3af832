#include "libmfdata/disk.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>
#include <memory>
#include <string_view>

#include "libmfdata/printable.hpp"

namespace mfdata {
namespace {

constexpr std::uint64_t kLeastRoom = 1 << 20;
constexpr std::string_view kOurAttributes = "user.mfdata.";

std::string shown(const std::string& path) { return printable(path, 512); }

Error failed(const std::string& doing, const std::string& path) {
  const int errnum = errno;
  return system_error(errnum, "cannot " + doing + ' ' + shown(path));
}

Error failed(const char* doing, const std::string& from, const std::string& to) {
  const int errnum = errno;
  return system_error(errnum, std::string("cannot ") + doing + ' ' + shown(from) + " to " + shown(to));
}

Result<void> done(int returned, const char* doing, const std::string& path) {
  if (returned == 0) return {};
  return failed(doing, path);
}

}  // namespace

Result<Disk> Disk::open(const std::string& root) {
  FileDescriptor directory = lasting(FileDescriptor(::open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)));
  struct stat st;
  if (!directory || ::fstat(directory.get(), &st) != 0) return failed("open directory", root);
  return Disk(root, std::move(directory), st.st_dev);
}

Result<FileDescriptor> Disk::create(const std::string& path) const {
  FileDescriptor file(::openat(directory_.get(), path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!file) return failed("create", path);
  return file;
}

Result<FileDescriptor> Disk::create_anew(const std::string& path) const {
  auto file = create(path);
  if (!file.is(Code::kExists)) return file;
  MFDATA_TRY(unlink(path));
  return create(path);
}

Result<FileDescriptor> Disk::open_file(const std::string& path) const {
  FileDescriptor file(::openat(directory_.get(), path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!file) return failed("open", path);
  return file;
}

Result<struct stat> Disk::status(const std::string& path) const {
  struct stat st;
  if (::fstatat(directory_.get(), path.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) return failed("look at", path);
  return st;
}

Result<std::vector<std::string>> Disk::list(const std::string& path) const {
  std::vector<std::string> names;
  MFDATA_TRY(visit(path, [&](const std::string& name) {
    names.push_back(name);
    return true;
  }));
  return names;
}

Result<void> Disk::visit(const std::string& path, const std::function<bool(const std::string& name)>& visitor) const {
  FileDescriptor file(::openat(directory_.get(), path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  if (!file && errno == ENOENT) return {};
  if (!file) return failed("list", path);
  std::unique_ptr<DIR, int (*)(DIR*)> directory(::fdopendir(file.get()), ::closedir);
  if (!directory) return failed("list", path);
  file.release();
  while (true) {
    errno = 0;
    const dirent* entry = ::readdir(directory.get());
    if (!entry) return errno == 0 ? Result<void>() : failed("list", path);
    const std::string name = entry->d_name;
    if (name != "." && name != ".." && !visitor(name)) return {};
  }
}

Result<void> Disk::rename(const std::string& from, const std::string& to) const {
  if (::renameat2(directory_.get(), from.c_str(), directory_.get(), to.c_str(), RENAME_NOREPLACE) == 0) return {};
  if (errno != EINVAL) return failed("rename", from, to);
  // NFS and 9p know no RENAME_NOREPLACE: a second name, which is refused when it is taken, and the end of the first.
  if (::linkat(directory_.get(), from.c_str(), directory_.get(), to.c_str(), 0) != 0) return failed("rename", from, to);
  return unlink(from);
}

Result<void> Disk::replace(const std::string& from, const std::string& to) const {
  if (::renameat2(directory_.get(), from.c_str(), directory_.get(), to.c_str(), 0) == 0) return {};
  return failed("rename", from, to);
}

Result<void> Disk::link(const std::string& from, const std::string& to) const {
  if (::linkat(directory_.get(), from.c_str(), directory_.get(), to.c_str(), 0) == 0) return {};
  return failed("link", from, to);
}

Result<void> Disk::unlink(const std::string& path) const {
  return done(::unlinkat(directory_.get(), path.c_str(), 0), "remove", path);
}

Result<void> Disk::symlink(const std::string& content, const std::string& path) const {
  return done(::symlinkat(content.c_str(), directory_.get(), path.c_str()), "make link", path);
}

Result<std::string> Disk::read_link(const std::string& path) const {
  std::array<char, 4096> content;
  const ssize_t length = ::readlinkat(directory_.get(), path.c_str(), content.data(), content.size());
  if (length < 0) return failed("read link", path);
  return std::string(content.data(), static_cast<std::size_t>(length));
}

Result<void> Disk::make_directory(const std::string& path) const {
  return done(::mkdirat(directory_.get(), path.c_str(), 0700), "make directory", path);
}

Result<void> Disk::ensure_directory(const std::string& path) const {
  auto made = make_directory(path);
  if (made || made.is(Code::kExists)) return {};
  const std::size_t slash = path.rfind('/');
  if (!made.is(Code::kGone) || slash == std::string::npos || slash == 0) return made;
  MFDATA_TRY(ensure_directory(path.substr(0, slash)));
  made = make_directory(path);
  return made.is(Code::kExists) ? Result<void>() : made;
}

Result<void> Disk::remove_directory(const std::string& path) const {
  return done(::unlinkat(directory_.get(), path.c_str(), AT_REMOVEDIR), "remove directory", path);
}

Result<void> Disk::remove_tree(const std::string& path) const {
  auto empty = remove_directory(path);
  if (empty || empty.is(Code::kGone)) return {};
  (void)::fchmodat(directory_.get(), path.c_str(), 0700, 0);  // a step may have left it read-only
  auto names = list(path);
  if (!names) return names.error();
  std::sort(names->rbegin(), names->rend());
  for (const std::string& name : *names) {
    const std::string entry = path + '/' + name;
    auto removed = unlink(entry);
    if (!removed && (removed.error().errnum == EISDIR || removed.error().errnum == EPERM)) removed = remove_tree(entry);
    if (!removed && !removed.is(Code::kGone)) return removed;
  }
  auto removed = remove_directory(path);
  return removed.is(Code::kGone) ? Result<void>() : removed;
}

Result<void> Disk::make_writable(const std::string& path, mode_t mode) const {
  return done(::fchmodat(directory_.get(), path.c_str(), (mode & 07777) | 0600, 0), "make writable", path);
}

std::uint64_t Disk::free_bytes() const {
  struct statvfs fs;
  return ::fstatvfs(directory_.get(), &fs) == 0 ? fs.f_bavail * fs.f_frsize : UINT64_MAX;
}

bool Disk::nearly_full() const {
  struct statvfs fs;
  if (::fstatvfs(directory_.get(), &fs) != 0) return false;
  return fs.f_bavail * fs.f_frsize < kLeastRoom || (fs.f_files > 0 && fs.f_favail == 0);
}

Result<void> Disk::sync(const std::string& path) const {
  FileDescriptor file(::openat(directory_.get(), path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file) return failed("open", path);
  return sync_file(file.get(), path);
}

Result<void> set_tags_attribute(int file, const std::string& value, const std::string& path) {
  if (::fsetxattr(file, kTagsAttribute, value.data(), value.size(), 0) == 0) return {};
  Error error = failed("set the tags attribute of", path);
  // ext4 says ENOSPC both for a value over its block and for a full disk: the sidecar that follows tells them apart.
  if (error.errnum == ENOSPC || error.errnum == E2BIG || error.errnum == ERANGE || error.errnum == ENOTSUP) {
    error.code = Code::kAttribute;
  }
  if (error.errnum == EPERM || error.errnum == EACCES) error.code = Code::kForeign;
  return error;
}

Result<std::string> get_tags_attribute(int file, const std::string& path) {
  std::string value(2048, '\0');
  while (true) {
    const ssize_t length = ::fgetxattr(file, kTagsAttribute, value.data(), value.size());
    if (length >= 0) {
      value.resize(static_cast<std::size_t>(length));
      return value;
    }
    if (errno != ERANGE || value.size() > 65536) break;
    value.resize(65537);
  }
  Error error = failed("read the tags attribute of", path);
  if (error.errnum == ENODATA || error.errnum == ENOTSUP) error.code = Code::kGone;
  return error;
}

void drop_tags_attribute(int file) { ::fremovexattr(file, kTagsAttribute); }

Result<void> drop_forged_attributes(int file, const std::string& path) {
  std::array<char, 4096> small;
  std::string large;
  char* names = small.data();
  ssize_t length = ::flistxattr(file, names, small.size());
  if (length < 0 && errno == ERANGE) {
    large.resize(65536);
    names = large.data();
    length = ::flistxattr(file, names, large.size());
  }
  if (length < 0) return errno == ENOTSUP ? Result<void>() : failed("list the attributes of", path);
  for (const char* at = names; at < names + length;) {
    const std::string_view name = at;
    if (name.starts_with(kOurAttributes) && name != kTagsAttribute && ::fremovexattr(file, at) != 0 && errno != ENODATA) {
      Error error = failed("drop a forged attribute of", path);
      if (error.errnum == EPERM || error.errnum == EACCES) error.code = Code::kForeign;
      return error;
    }
    at += name.size() + 1;
  }
  return {};
}

Result<void> sync_file(int file, const std::string& path) { return done(::fsync(file), "force to disk", path); }

Result<void> sync_filesystem_of(int file, const std::string& path) { return done(::syncfs(file), "force the filesystem of", path); }

Result<void> check_written(int file, const std::string& path) {
  const int checked = ::sync_file_range(file, 0, 0, SYNC_FILE_RANGE_WAIT_BEFORE);
  if (checked != 0 && (errno == ENOSYS || errno == ESPIPE || errno == EINVAL)) return sync_file(file, path);
  return done(checked, "force", path);
}

void start_writing(int file) { (void)::sync_file_range(file, 0, 0, SYNC_FILE_RANGE_WRITE); }

Result<void> write_all(int file, std::string_view bytes, const std::string& path) {
  for (std::size_t at = 0; at < bytes.size();) {
    const ssize_t written = ::write(file, bytes.data() + at, bytes.size() - at);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return failed("write", path);
    at += static_cast<std::size_t>(written);
  }
  return {};
}

Result<std::string> read_all(int file, std::size_t limit, const std::string& path) {
  std::string bytes;
  std::array<char, 16384> block;
  while (true) {
    const ssize_t got = ::read(file, block.data(), block.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return failed("read", path);
    if (got == 0) return bytes;
    bytes.append(block.data(), static_cast<std::size_t>(got));
    if (bytes.size() > limit) {
      return Error{Code::kLimit, 0, shown(path) + " is larger than " + std::to_string(limit) + " bytes"};
    }
  }
}

namespace {

// ENOSPC and EDQUOT with what the operator needs to know: how much it is, and how much room there is.
Error copy_failed(int errnum, int to, std::uint64_t size, const std::string& path) {
  Error error = system_error(errnum, "cannot copy " + std::to_string(size) + " bytes to " + shown(path));
  struct statvfs fs;
  if (error.code == Code::kNoSpace && ::fstatvfs(to, &fs) == 0) {
    error.text += " (" + std::to_string(fs.f_bavail * fs.f_frsize) + " bytes are free)";
  }
  return error;
}

// Bytes [begin, end) in the kernel, as far as it goes: where it got. What it says on the way, an error or an early end, is no
// verdict on the file: FUSE, NFS, overlay and older kernels answer 0 or any errno here for a file that read(2) can read.
off_t copy_in_kernel(int from, int to, off_t begin, off_t end) {
  constexpr off_t kAtOnce = off_t{1} << 30;
  off_t source = begin, target = begin;
  while (source < end) {
    const ssize_t got = ::copy_file_range(from, &source, to, &target, static_cast<std::size_t>(std::min(end - source, kAtOnce)), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
  }
  return target;
}

// To the end of the file, or to `end`. Gives where it got.
Result<off_t> copy_by_reading(int from, int to, off_t begin, off_t end, std::uint64_t size, const std::string& path) {
  std::string block(1 << 18, '\0');
  off_t at = begin;
  while (at < end) {
    const auto room = static_cast<std::size_t>(std::min<off_t>(end - at, static_cast<off_t>(block.size())));
    const ssize_t got = ::pread(from, block.data(), room, at);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return failed("read", path);
    if (got == 0) break;
    for (ssize_t done = 0; done < got;) {
      const ssize_t written = ::pwrite(to, block.data() + done, static_cast<std::size_t>(got - done), at + done);
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return copy_failed(errno, to, size, path);
      done += written;
    }
    at += got;
  }
  return at;
}

// The next bytes that are not a hole, from `at`: lseek(2). A filesystem that knows no holes has none.
std::pair<off_t, off_t> next_data(int file, off_t at, off_t size) {
  const off_t begin = ::lseek(file, at, SEEK_DATA);
  if (begin < 0 && errno == ENXIO) return {size, size};
  if (begin < at) return {at, size};
  const off_t end = ::lseek(file, begin, SEEK_HOLE);
  return {begin, end > begin ? std::min(end, size) : size};
}

// A copy that ends with a hole gets its size by its last byte, not by ftruncate(2): ext4 commits a size that was set before
// the content it has to allocate yet, and after a power cut the file is as long as it should be, and all zeros.
Result<void> end_with_hole(int to, off_t end, std::uint64_t size, const std::string& path) {
  struct stat copy {};
  if (::fstat(to, &copy) != 0) return failed("look at the copy", path);
  if (copy.st_size >= end) return {};
  ssize_t written = -1;
  do written = ::pwrite(to, "", 1, end - 1);
  while (written < 0 && errno == EINTR);
  return written == 1 ? Result<void>() : copy_failed(errno, to, size, path);
}

}  // namespace

Result<void> copy_content(int from, int to, const std::string& path) {
  struct stat before {}, after {}, copied {};
  if (::fstat(from, &before) != 0) return failed("look at the source of", path);
  const auto size = static_cast<std::uint64_t>(before.st_size);
  if (::ioctl(to, FICLONE, from) != 0) {
    // What cannot fit is not tried: meanwhile the disk would be full for everybody.
    struct statvfs fs;
    const auto needed = static_cast<std::uint64_t>(before.st_blocks) * 512;
    if (::fstatvfs(to, &fs) == 0 && fs.f_blocks > 0 && needed > fs.f_bavail * fs.f_frsize) return copy_failed(ENOSPC, to, size, path);
    off_t at = 0;
    while (at < before.st_size) {
      const auto [begin, end] = next_data(from, at, before.st_size);
      at = copy_in_kernel(from, to, begin, end);
      if (at == end) continue;
      auto read = copy_by_reading(from, to, at, end, size, path);
      if (!read) return read.error();
      at = *read;
      if (at < end) break;  // the source became shorter
    }
    // What came meanwhile; and files of the kernel have content, but no size.
    if (at == before.st_size) {
      auto rest = copy_by_reading(from, to, at, std::numeric_limits<off_t>::max(), size, path);
      if (!rest) return rest.error();
      at = *rest;
    }
    auto ended = end_with_hole(to, at, size, path);
    if (!ended) return ended.error();
  }
  if (::fstat(from, &after) != 0 || ::fstat(to, &copied) != 0) return failed("look at the copy", path);
  const bool sized = after.st_size != 0 || before.st_size != 0;
  if (!sized || copied.st_size == after.st_size) return {};
  return Error{Code::kIo, 0, "the copy " + shown(path) + " has " + std::to_string(copied.st_size) + " bytes and its source " +
                                 std::to_string(after.st_size) + ": the source changed while it was copied, or its filesystem does not read it whole"};
}

}  // namespace mfdata
