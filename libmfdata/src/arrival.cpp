#include "libmfdata/arrival.hpp"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <vector>

#include "libmfdata/open_writers.hpp"

namespace mfdata {
namespace {

// What a name too long for a tag value would be does not exist: names have at most 255 bytes, tags up to 64 KiB.
std::string last_component(const std::string& directory) {
  const std::size_t end = directory.find_last_not_of('/');
  if (end == std::string::npos) return "/";
  const std::size_t slash = directory.rfind('/', end);
  return directory.substr(slash + 1, end - slash);
}

// A file that is not ours, or of which nobody can tell whether it is written, is left to accept_foreign.
Result<void> nobody_writes(const Job& job) {
  const uid_t user = ::geteuid();
  switch (ask_by_lease(job.file.get())) {
    case OpenWriters::kSome: return Error{Code::kBusy, EAGAIN, "somebody has it open for writing"};
    case OpenWriters::kUnknown: return Error{Code::kForeign, 0, "it cannot be asked whether somebody writes it"};
    case OpenWriters::kNone: break;
  }
  if (user != 0 && user != job.status.st_uid) return Error{Code::kForeign, 0, "it belongs to somebody else"};
  return {};
}

Error refused(const std::string& why) { return Error{Code::kRefused, 0, why}; }

const char* kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "a directory";
  if (S_ISLNK(mode)) return "a symbolic link";
  if (S_ISFIFO(mode)) return "a FIFO";
  if (S_ISSOCK(mode)) return "a socket";
  return "a device";
}

// "user anna (1001)", or the number alone.
std::string user_name(uid_t user) {
  std::array<char, 16384> space;
  passwd entry{}, *found = nullptr;
  const bool known = ::getpwuid_r(user, &entry, space.data(), space.size(), &found) == 0 && found;
  return known ? "user " + std::string(entry.pw_name) + " (" + std::to_string(user) + ')' : "user " + std::to_string(user);
}

std::string group_name(gid_t group) {
  std::array<char, 16384> space;
  struct group entry {}, *found = nullptr;
  const bool known = ::getgrgid_r(group, &entry, space.data(), space.size(), &found) == 0 && found;
  return known ? "group " + std::string(entry.gr_name) + " (" + std::to_string(group) + ')' : "group " + std::to_string(group);
}

std::string owner_of(const struct stat& status) {
  std::array<char, 16> mode;
  std::snprintf(mode.data(), mode.size(), "%04o", status.st_mode & 07777U);
  return user_name(status.st_uid) + " and " + group_name(status.st_gid) + ", mode " + mode.data();
}

bool in_group(gid_t group) {
  if (group == ::getegid()) return true;
  const int number = ::getgroups(0, nullptr);
  std::vector<gid_t> groups(static_cast<std::size_t>(std::max(number, 0)));
  if (groups.empty() || ::getgroups(number, groups.data()) < 0) return false;
  return std::find(groups.begin(), groups.end(), group) != groups.end();
}

// "immutable", "append-only", or nothing of either.
std::string flag_of(const std::string& path) {
  struct statx status {};
  if (::statx(AT_FDCWD, path.c_str(), AT_SYMLINK_NOFOLLOW, 0, &status) != 0) return "";
  if ((status.stx_attributes & STATX_ATTR_IMMUTABLE) != 0) return "immutable (chattr -i)";
  if ((status.stx_attributes & STATX_ATTR_APPEND) != 0) return "append-only (chattr -a)";
  return "";
}

// Somebody changed the name between the checks and the rename: what came instead is an arrival again.
Result<Job> put_back(const Spool& spool, const Slot& slot, const std::string& from, const std::string& arrival,
                     const std::string& uid) {
  auto back = spool.disk().rename(from, arrival);
  // The name is taken again: as an arrival for this step it waits under a name that nobody else makes.
  if (!back) back = spool.disk().rename(from, layout::step_directory(slot.step) + "/swapped-" + uid);
  if (!back) return back.error();
  return Error{Code::kGone, 0, "it was replaced by another file while it was taken"};
}

// Accept on a filesystem without our attributes: the sidecar stands first, so that the file is never without one.
Result<void> tag_by_sidecar(const Spool& spool, const Slot& slot, Job& job) {
  const std::string fresh = slot.fresh() + '/' + job.name.uid;
  job.name.sidecar = true;
  MFDATA_TRY(spool.write_sidecar(fresh, job.context));
  return spool.disk().rename(fresh, layout::sidecar(job.name.uid));
}

}  // namespace

TagSet first_tags(const std::string& directory, const std::string& filename, const std::string& uid) {
  TagSet tags;
  const bool fits = tags.set("first.core.original_basename", filename) &&
                    tags.set("first.core.original_dirname", last_component(directory)) &&
                    tags.set("first.core.original_uid", uid);
  check(fits, "a file name does not fit into a tag");
  return tags;
}

std::string why_unreadable(const struct stat& status) {
  const std::string what = in_group(status.st_gid)
                               ? "give its group the right to read it (chmod g+r; senders with umask 027)"
                               : "give it a group that the loader is in (chgrp; a directory with the setgid bit does it), with the right to read it";
  return "it may not be read: it belongs to " + owner_of(status) + "; the loader runs as " + user_name(::geteuid()) + ": " + what;
}

Error why_immovable(const Disk& disk, const std::string& directory, const std::string& path, const Error& error) {
  const std::string closed = std::string(kClosedDirectory) + ": " + directory, immovable = std::string(kImmovable) + ": ";
  struct stat status {};
  const std::string absolute = disk.absolute(directory);
  if (::stat(absolute.c_str(), &status) != 0) return error;
  const std::string owner = " belongs to " + owner_of(status) + "; the loader runs as " + user_name(::geteuid());
  if (error.errnum == EACCES && ::faccessat(AT_FDCWD, absolute.c_str(), W_OK | X_OK, AT_EACCESS) != 0) {
    return refused(closed + owner + ": give it the right to write there");
  }
  if (error.errnum == EROFS && status.st_dev != disk.device()) return refused(closed + " is on a filesystem that is mounted read-only");
  if (error.errnum == EBUSY) return refused(immovable + "it is a mount point, or the system uses it");
  if (error.errnum != EPERM) return error;
  if (const std::string flag = flag_of(disk.absolute(path)); !flag.empty()) return refused(immovable + "it is " + flag);
  if (const std::string flag = flag_of(absolute); !flag.empty()) return refused(closed + " is " + flag);
  if ((status.st_mode & S_ISVTX) != 0) return refused(closed + owner + ", and has the sticky bit: remove it (chmod -t)");
  return refused(immovable + error.text);
}

Result<void> inspect_arrival(const Disk& disk, const std::string& path, const ArrivalRules& rules, Job& job) {
  auto file = disk.open_file(path);
  if (!file) {
    const int errnum = file.error().errnum;
    if (errnum == ENOENT) return file.error();
    auto status = disk.status(path);
    if (status && !S_ISREG(status->st_mode)) return refused(std::string("it is ") + kind_of(status->st_mode));
    if (errnum == EACCES) return Error{Code::kForeign, errnum, "it may not be read"};
    return file.error();
  }
  job.file = lasting(std::move(*file));
  if (::fstat(job.file.get(), &job.status) != 0) return system_error(errno, "cannot look at " + path);
  if (!S_ISREG(job.status.st_mode)) return refused(std::string("it is ") + kind_of(job.status.st_mode));
  if (job.status.st_nlink != 1) {
    return refused("it has " + std::to_string(job.status.st_nlink) + " hard links: only a file with one is taken");
  }
  if (static_cast<std::uint64_t>(job.status.st_size) > rules.max_file_size) {
    return refused("its size, " + std::to_string(job.status.st_size) + " bytes, is above max_file_size (" +
                   std::to_string(rules.max_file_size) + ')');
  }
  return {};
}

Result<Job> accept(const Spool& spool, const Slot& slot, const std::string& directory, const std::string& filename,
                   const ArrivalRules& rules) {
  const Disk& disk = spool.disk();
  const std::string arrival = directory + '/' + filename;
  Job job;
  MFDATA_TRY(inspect_arrival(disk, arrival, rules, job));
  MFDATA_TRY(nobody_writes(job));
  job.name.uid = fresh_uid();
  job.context = Context{job.name.uid, 0, static_cast<std::uint64_t>(job.status.st_size),
                        layout::step_directory(slot.step), {}, first_tags(directory, filename, job.name.uid)};
  const auto tag = [&]() -> Result<void> {
    auto set = set_tags_attribute(job.file.get(), encode(job.context), arrival);  // 1
    if (set.is(Code::kAttribute)) set = tag_by_sidecar(spool, slot, job);
    return set ? drop_forged_attributes(job.file.get(), arrival) : set;
  };
  if (!spool.off(Protection::kContextLast)) MFDATA_TRY(tag());
  if (spool.forces_hops()) MFDATA_TRY(sync_file(job.file.get(), arrival));  // 2
  job.path = slot.in() + '/' + job.name.spell();
  auto taken = disk.rename(arrival, job.path);  // 3: accepted
  if (!taken) {
    if (job.name.sidecar) (void)disk.unlink(layout::sidecar(job.name.uid));
    return why_immovable(disk, directory, arrival, taken.error());
  }
  auto now = disk.status(job.path);
  if (!now) return now.error();
  if (now->st_ino != job.status.st_ino || now->st_dev != job.status.st_dev) {  // 4
    return put_back(spool, slot, job.path, arrival, job.name.uid);
  }
  if (spool.off(Protection::kContextLast)) MFDATA_TRY(tag());
  job.status = *now;
  return job;
}

}  // namespace mfdata
