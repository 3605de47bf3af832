#include "libmfdata/open_writers.hpp"

#include <fcntl.h>
#include <linux/capability.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <string_view>

#include "libmfdata/clock.hpp"
#include "libmfdata/disk.hpp"
#include "libmfdata/filesystem_kind.hpp"
#include "libmfdata/home.hpp"

namespace mfdata {
namespace {

constexpr std::int64_t kFreshNs = 1'000'000'000;
constexpr std::string_view kDeleted = " (deleted)";

// The value of a line "NAME:  VALUE" of a file of proc(5), in some base.
unsigned long long field(const std::string& text, const std::string& name, int base) {
  const std::size_t at = text.find(name);
  return at == std::string::npos ? 0 : std::strtoull(text.c_str() + at + name.size(), nullptr, base);
}

bool has_lease_capability(const std::string& status_file) {
  const std::string text = small_file(status_file).value_or("");
  return (field(text, "\nCapEff:", 16) >> CAP_LEASE & 1) != 0;
}

std::string_view last_part(std::string_view path) {
  if (path.ends_with(kDeleted)) path.remove_suffix(kDeleted.size());
  return path.substr(path.rfind('/') + 1);
}

std::string link_text(const std::string& link) {
  std::array<char, 4096> text;
  const ssize_t length = ::readlink(link.c_str(), text.data(), text.size());
  return length > 0 ? std::string(text.data(), static_cast<std::size_t>(length)) : "";
}

}  // namespace

OpenWriters ask_by_lease(int file) {
  const bool granted = ::fcntl(file, F_SETLEASE, F_RDLCK) == 0;
  if (!granted && errno != EAGAIN) return OpenWriters::kUnknown;
  if (granted) ::fcntl(file, F_SETLEASE, F_UNLCK);
  // Elsewhere a lease speaks of this machine alone, and NFS refuses it to everybody.
  const auto kind = filesystem_of(file);
  if (kind && !kind->local) return OpenWriters::kUnknown;
  return granted ? OpenWriters::kNone : OpenWriters::kSome;
}

bool may_lease_any_file() { return has_lease_capability("/proc/self/status"); }

bool may_lease_any_file(int pid) {
  return has_lease_capability("/proc/" + std::to_string(pid) + "/status");
}

bool SeenWriters::writes(const struct stat& file) {
  if (looked_ns_ == 0 || monotonic_ns() - looked_ns_ > kFreshNs) look();
  return open_.contains({file.st_dev, file.st_ino});
}

void SeenWriters::look() {
  looked_ns_ = monotonic_ns();
  open_.clear();
  auto disk = Disk::open("/proc");
  auto processes = disk ? disk->list(".") : Result<std::vector<std::string>>(disk.error());
  if (!processes) return;
  for (const std::string& process : *processes) {
    if (process.find_first_not_of("0123456789") == std::string::npos) look_into("/proc/" + process);
  }
}

void SeenWriters::look_into(const std::string& process) {
  auto disk = Disk::open(process);
  if (!disk) return;
  auto numbers = disk->list("fd");
  if (!numbers) return;  // it is somebody else's, or has ended
  for (const std::string& number : *numbers) {
    const std::string link = process + "/fd/" + number;
    if (!names_.contains(std::string(last_part(link_text(link))))) continue;
    const std::string info = small_file(process + "/fdinfo/" + number).value_or("");
    if ((field(info, "flags:", 8) & O_ACCMODE) != O_RDONLY) remember(link);
  }
  look_at_mappings(process);
}

// "address perms offset device inode path"
void SeenWriters::look_at_mappings(const std::string& process) {
  const std::string maps = small_file(process + "/maps").value_or("");
  for (std::size_t at = 0; at < maps.size();) {
    const std::size_t end = std::min(maps.find('\n', at), maps.size());
    const std::string_view line(maps.data() + at, end - at);
    at = end + 1;
    const std::size_t perms = line.find(' ');
    if (perms == std::string_view::npos || perms + 5 > line.size()) continue;
    if (line[perms + 2] != 'w' || line[perms + 4] != 's') continue;
    if (!names_.contains(std::string(last_part(line)))) continue;
    remember(process + "/map_files/" + std::string(line.substr(0, perms)));
    // map_files is closed to most users: the path serves where it means the same to us.
    if (const std::size_t slash = line.find('/'); slash != std::string_view::npos) remember(std::string(line.substr(slash)));
  }
}

void SeenWriters::remember(const std::string& link) {
  struct stat status;
  if (::stat(link.c_str(), &status) == 0) open_.emplace(status.st_dev, status.st_ino);
}

}  // namespace mfdata
