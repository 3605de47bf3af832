#include "log_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <boost/filesystem/operations.hpp>
#include <cerrno>
#include <cstdio>

#include "libmfdata/result.hpp"

namespace fs = boost::filesystem;

namespace mfdata {

LogFile::LogFile(std::string path, std::uint64_t rotate_size, unsigned keep)
    : path_(std::move(path)), rotate_size_(rotate_size), keep_(keep), rotate_at_(rotate_size) {
  open();
}

bool LogFile::failed(const std::string& what, int error) {
  problem_ = system_error(error, what).text;
  return false;
}

bool LogFile::open() {
  boost::system::error_code ignored;
  fs::create_directories(fs::path(path_).parent_path(), ignored);  // the open tells why not
  file_ = FileDescriptor(::open(path_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0666));
  struct stat status {};
  if (!file_ || ::fstat(file_.get(), &status) != 0) return failed("cannot open the log " + path_, errno);
  size_ = static_cast<std::uint64_t>(status.st_size);
  rotate_at_ = rotate_size_;
  torn_ = false;
  problem_.clear();
  return true;
}

void LogFile::reopen() {
  file_.close();
  open();
}

void LogFile::look() {
  struct stat ours {}, there {};
  const bool same = file_ && ::fstat(file_.get(), &ours) == 0 && ::stat(path_.c_str(), &there) == 0 && ours.st_dev == there.st_dev &&
                    ours.st_ino == there.st_ino;
  if (!same) reopen();
  struct statvfs space {};
  if (same && !problem_.empty() && ::fstatvfs(file_.get(), &space) == 0 && space.f_bavail > 0) problem_.clear();  // the next line tells
  if (same && there.st_size < static_cast<off_t>(size_)) size_ = static_cast<std::uint64_t>(there.st_size);  // copied and truncated
}

// "loader.log" -> "loader.1.log".
std::string LogFile::older(unsigned number) const {
  const fs::path path(path_);
  return (path.parent_path() / (path.stem().string() + '.' + std::to_string(number) + path.extension().string())).string();
}

// Where nothing can be renamed the lines go on behind the others.
void LogFile::rotate() {
  for (unsigned number = keep_; number > 1; --number) (void)std::rename(older(number - 1).c_str(), older(number).c_str());
  if (keep_ > 0 ? std::rename(path_.c_str(), older(1).c_str()) == 0 : ::unlink(path_.c_str()) == 0) return reopen();
  rotate_at_ = size_ + rotate_size_;
}

bool LogFile::write(std::string_view line) {
  if (!file_ && !open()) return false;
  if (size_ > 0 && size_ + line.size() > rotate_at_) rotate();
  if (!file_) return false;
  if (torn_) {
    if (::write(file_.get(), "\n", 1) != 1) return failed("cannot write the log " + path_, errno);
    ++size_;
    torn_ = false;
  }
  while (!line.empty()) {
    const ssize_t written = ::write(file_.get(), line.data(), line.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return failed("cannot write the log " + path_, written < 0 ? errno : ENOSPC);
    size_ += static_cast<std::uint64_t>(written);
    line.remove_prefix(static_cast<std::size_t>(written));
    torn_ = !line.empty();
  }
  problem_.clear();
  return true;
}

}  // namespace mfdata
