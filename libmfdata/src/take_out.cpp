#include "libmfdata/take_out.hpp"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "libmfdata/printable.hpp"

namespace mfdata {
namespace {

constexpr int kOnlyLook = O_PATH | O_NOFOLLOW | O_CLOEXEC;

Error no_such_file(const std::string& path, const std::string& why) {
  return Error{Code::kBadData, 0, '"' + printable(path, 200) + "\" " + why};
}

// One directory after the other, none of them a link: what openat2(2) does in one call.
FileDescriptor walk(int top, const std::string& path) {
  FileDescriptor at(::dup(top));
  for (std::size_t begin = 0; at && begin <= path.size();) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    const std::string part = path.substr(begin, end - begin);
    at = FileDescriptor(::openat(at.get(), part.c_str(), kOnlyLook | O_DIRECTORY));
    begin = end + 1;
  }
  return at;
}

// Whether each part of the path is a name: both ways take the same paths.
bool names_only(const std::string& path) {
  const std::string framed = '/' + path + '/';
  for (const char* part : {"//", "/./", "/../"}) {
    if (framed.find(part) != std::string::npos) return false;
  }
  return true;
}

// The directory `path` below `top`. The walk where the kernel does not know openat2(2) (ENOSYS, or what it asks: EINVAL), a filter
// of system calls denies it (EPERM), or it asks to try again.
FileDescriptor open_beneath(int top, const std::string& path) {
  if (!names_only(path)) {
    errno = EXDEV;
    return FileDescriptor();
  }
  open_how how{};
  how.flags = static_cast<std::uint64_t>(kOnlyLook | O_DIRECTORY);
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
  const long opened = ::syscall(SYS_openat2, top, path.c_str(), &how, sizeof how);
  if (opened >= 0) return FileDescriptor(static_cast<int>(opened));
  const bool denied = errno == ENOSYS || errno == EPERM || errno == EINVAL || errno == EAGAIN;
  return denied ? walk(top, path) : FileDescriptor();
}

bool same(const struct stat& one, const struct stat& other) { return one.st_dev == other.st_dev && one.st_ino == other.st_ino; }

}  // namespace

Result<void> take_out(const Disk& disk, const std::string& top, const std::string& path, const std::string& to) {
  const std::size_t slash = path.rfind('/');
  const std::string name = path.substr(slash == std::string::npos ? 0 : slash + 1);
  const std::string target = disk.absolute(to);
  FileDescriptor directory(::open(disk.absolute(top).c_str(), kOnlyLook | O_DIRECTORY));
  if (directory && slash != std::string::npos) directory = open_beneath(directory.get(), path.substr(0, slash));
  if (!directory && (errno == ELOOP || errno == EXDEV || errno == ENOTDIR)) {
    return no_such_file(path, "leads over a symbolic link, or over what is no directory");
  }
  if (!directory) return system_error(errno, "cannot open the directory of " + printable(path, 512));
  const FileDescriptor file(::openat(directory.get(), name.c_str(), kOnlyLook));
  struct stat looked_at {}, moved {};
  if (!file || ::fstat(file.get(), &looked_at) != 0) return system_error(errno, "cannot look at " + printable(path, 512));
  if (!S_ISREG(looked_at.st_mode) || looked_at.st_nlink != 1) return no_such_file(path, "is not a regular file with one link");
  if (::renameat2(directory.get(), name.c_str(), AT_FDCWD, target.c_str(), RENAME_NOREPLACE) != 0) {
    // NFS and 9p know no RENAME_NOREPLACE.
    if (errno != EINVAL || ::renameat(directory.get(), name.c_str(), AT_FDCWD, target.c_str()) != 0) {
      return system_error(errno, "cannot move " + printable(path, 512));
    }
  }
  if (::fstatat(AT_FDCWD, target.c_str(), &moved, AT_SYMLINK_NOFOLLOW) == 0 && same(moved, looked_at) && moved.st_nlink == 1) return {};
  (void)::renameat2(AT_FDCWD, target.c_str(), directory.get(), name.c_str(), RENAME_NOREPLACE);  // whatever came instead
  return no_such_file(path, "was replaced, or got another link, while it was taken");
}

}  // namespace mfdata
