#include "libmfdata/deposit.hpp"

#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "libmfdata/arrival.hpp"

namespace mfdata {
namespace {

constexpr const char* kContent = ".0";

enum class Writer { kDead, kAlive, kUnknown };

Writer writer_of(int file) {
  if (::flock(file, LOCK_EX | LOCK_NB) == 0) return Writer::kDead;
  return errno == EWOULDBLOCK || errno == EINTR ? Writer::kAlive : Writer::kUnknown;
}

}  // namespace

Deposit::Deposit(const Spool& spool, std::string uid, FileDescriptor file)
    : spool_(&spool), uid_(std::move(uid)), path_(layout::accept(uid_ + kContent)), file_(std::move(file)) {}

Deposit::Deposit(Deposit&& other) noexcept
    : spool_(other.spool_), uid_(other.uid_), path_(std::move(other.path_)), file_(std::move(other.file_)) {
  other.path_.clear();
}

Deposit::~Deposit() {
  if (!path_.empty()) (void)spool_->disk().unlink(path_);
}

Result<Deposit> Deposit::open(const Spool& spool) {
  constexpr int kAttempts = 100;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    std::string uid = fresh_uid();
    auto file = spool.disk().create(layout::accept(uid + kContent));
    if (!file) return file.error();
    int locked = -1;
    do locked = ::flock(file->get(), LOCK_EX);
    while (locked != 0 && errno == EINTR);
    struct stat st {};
    const bool removed = ::fstat(file->get(), &st) == 0 && st.st_nlink == 0;  // before it was locked it looked like a dead one
    if (!removed) return Deposit(spool, std::move(uid), std::move(*file));
  }
  return Error{Code::kIo, 0, "cannot write a deposit: it is removed again and again"};
}

Result<void> Deposit::commit(const std::string& step, const std::string& name, const std::string& directory,
                             const TagSet& tags) {
  struct stat st;
  if (::fstat(file_.get(), &st) != 0) return system_error(errno, "cannot look at " + path_);
  const std::string target = layout::step_directory(step);
  Context context{uid_, 0, static_cast<std::uint64_t>(st.st_size), target, {}, first_tags(directory, name, uid_)};
  for (const auto& [tag, value] : tags) MFDATA_TRY(context.tags.set(tag, value));
  SpoolName spool_name{uid_, 0, false, 0};
  auto tagged = set_tags_attribute(file_.get(), encode(context), path_);
  if (tagged.is(Code::kAttribute)) {  // the sidecar first: the file is never without one
    spool_name.sidecar = true;
    const std::string fresh = layout::accept(uid_ + ".context");
    MFDATA_TRY(spool_->write_sidecar(fresh, context));
    tagged = spool_->disk().rename(fresh, layout::sidecar(uid_));
  }
  MFDATA_TRY(tagged);
  if (spool_->forces_inodes()) MFDATA_TRY(sync_file(file_.get(), path_));
  auto placed = spool_->disk().rename(path_, target + '/' + spool_name.spell());
  if (!placed && spool_name.sidecar) (void)spool_->disk().unlink(layout::sidecar(uid_));
  MFDATA_TRY(placed);
  path_.clear();
  return spool_->forces_inodes() ? spool_->disk().sync(target) : Result<void>();
}

Result<bool> drop_dead_deposit(const Spool& spool, const std::string& entry, bool alone) {
  const Disk& disk = spool.disk();
  const std::string uid = entry.substr(0, entry.find('.'));
  auto content = disk.open_file(layout::accept(uid + kContent));  // what is locked, also for the context beside it
  if (!content && !content.is(Code::kGone)) return content.error();
  if (content) {
    const Writer writer = writer_of(content->get());
    if (writer == Writer::kAlive || (writer == Writer::kUnknown && !alone)) return false;
  }
  auto removed = disk.unlink(layout::accept(entry));
  if (!removed) return removed.is(Code::kGone) ? Result<bool>(true) : removed.error();  // it was committed meanwhile
  if (entry == uid + kContent && disk.exists(layout::sidecar(uid))) MFDATA_TRY(disk.unlink(layout::sidecar(uid)));
  return true;
}

Result<void> recover_deposits(const Spool& spool) {
  auto entries = spool.disk().list(layout::kAccept);
  if (!entries) return entries.error();
  std::sort(entries->begin(), entries->end());
  Result<void> first;
  for (const std::string& entry : *entries) {
    auto status = spool.disk().status(layout::accept(entry));
    if (!status || S_ISDIR(status->st_mode)) continue;
    auto dropped = drop_dead_deposit(spool, entry, false);
    if (!dropped && first) first = dropped.error();
  }
  return first;
}

}  // namespace mfdata
