#include "libmfdata/deposit.hpp"

#include <sys/stat.h>

#include <cerrno>

#include "libmfdata/arrival.hpp"

namespace mfdata {

Deposit::Deposit(const Spool& spool, std::string uid, FileDescriptor file)
    : spool_(&spool), uid_(std::move(uid)), path_(layout::accept(uid_ + ".0")), file_(std::move(file)) {}

Deposit::Deposit(Deposit&& other) noexcept
    : spool_(other.spool_), uid_(other.uid_), path_(std::move(other.path_)), file_(std::move(other.file_)) {
  other.path_.clear();
}

Deposit::~Deposit() {
  if (!path_.empty()) (void)spool_->disk().unlink(path_);
}

Result<Deposit> Deposit::open(const Spool& spool) {
  std::string uid = fresh_uid();
  auto file = spool.disk().create(layout::accept(uid + ".0"));
  if (!file) return file.error();
  return Deposit(spool, std::move(uid), std::move(*file));
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

}  // namespace mfdata
