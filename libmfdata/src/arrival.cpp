#include "libmfdata/arrival.hpp"

#include <fcntl.h>

#include <cerrno>

namespace mfdata {
namespace {

// What a name too long for a tag value would be does not exist: names have at most 255 bytes, tags up to 64 KiB.
std::string last_component(const std::string& directory) {
  const std::size_t end = directory.find_last_not_of('/');
  if (end == std::string::npos) return "/";
  const std::size_t slash = directory.rfind('/', end);
  return directory.substr(slash + 1, end - slash);
}

// fcntl(2), F_SETLEASE: a read lease is granted only while nobody has the file open for writing. Whose file it is not
// may not ask: accept_foreign takes it once it has been quiet.
Result<void> nobody_writes(int file) {
  if (::fcntl(file, F_SETLEASE, F_RDLCK) == 0) {
    ::fcntl(file, F_SETLEASE, F_UNLCK);
    return {};
  }
  if (errno == EAGAIN) return Error{Code::kBusy, EAGAIN, "somebody has it open for writing"};
  return Error{Code::kForeign, errno, "it cannot be asked whether somebody writes it"};
}

Error refused(const std::string& why) { return Error{Code::kRefused, 0, why}; }

const char* kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "a directory";
  if (S_ISLNK(mode)) return "a symbolic link";
  if (S_ISFIFO(mode)) return "a FIFO";
  if (S_ISSOCK(mode)) return "a socket";
  return "a device";
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
  job.file = std::move(*file);
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
  MFDATA_TRY(nobody_writes(job.file.get()));
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
    return taken.error();
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
