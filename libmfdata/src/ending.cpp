#include "libmfdata/ending.hpp"

#include <unistd.h>

#include <cerrno>

#include "libmfdata/delivery.hpp"
#include "libmfdata/trash.hpp"

namespace mfdata {
namespace {

constexpr std::string_view kWaiting = "_reinject/";

// "step.P.S" or "step.P.S_reinject/<due>" and the name to use there.
struct Place {
  std::string directory;
  std::string filename;
};

Place place_of(const Context& context, SpoolName name) {
  name.generation = context.generation;
  name.crashes = 0;
  const std::size_t waiting = context.to.find(kWaiting);
  if (waiting == std::string::npos) return {context.to, name.spell()};
  const std::size_t due = waiting + kWaiting.size();
  return {context.to.substr(0, due - 1), context.to.substr(due) + '.' + name.spell()};
}

// As it stands when its hop is done: a retry from trash starts behind it.
Job behind_its_hop(const Job& job) {
  Job done;
  done.name = job.name;
  done.name.generation = job.context.generation;
  done.path = job.path;
  done.status = job.status;
  done.context = job.context;
  return done;
}

Result<Landing> no_target(const Spool& spool, const Slot& slot, const Job& job, const Error& why) {
  TrashNote note;
  note.reason = "no target";
  note.text = why.text + ": its target no longer exists or refuses it";
  MFDATA_TRY(trash(spool, slot, behind_its_hop(job), note));
  return Landing{true, note.text};
}

// The companion, complete, under its first name: it stays in the slot until the file is placed, so that a recovery
// knows its own. One that has a second name already is placed; one that has not may be half written.
Result<void> ready_companion(const Spool& spool, const std::string& companion, const Context& context) {
  const Disk& disk = spool.disk();
  auto earlier = disk.status(companion);
  if (earlier && earlier->st_nlink > 1) return {};
  if (earlier) MFDATA_TRY(disk.unlink(companion));
  MFDATA_TRY(spool.write_text(companion, tags_file_text(context.tags), true));  // 2
  return apply_mode(disk, companion, context.style);
}

Result<void> finish_delivery(const Spool& spool, const Slot& slot, const Job& job) {
  const Disk& disk = spool.disk();
  const bool with_tags = !job.context.style.tags_suffix.empty();
  const std::string companion = with_tags ? slot.fresh() + '/' + job.name.uid + ".tags" : "";
  if (with_tags) MFDATA_TRY(ready_companion(spool, companion, job.context));
  const bool drop = job.context.style.drop_tags;
  if (!drop) MFDATA_TRY(apply_mode(disk, job.path, job.context.style));
  auto placed = deliver(spool, job.path, companion, job.context);  // 3, 4
  FarPlaces places(true);
  if (placed.is(Code::kForeign)) placed = deliver_far(spool, job.path, job.context, places);
  if (!placed) {
    if (with_tags) (void)disk.unlink(companion);
    return placed;
  }
  if (drop) drop_tags_and_set_mode(job.file.get(), job.context.style);
  if (spool.forces_hops()) MFDATA_TRY(sync_destination(disk, directory_of(job.context.to), job.file.get()));
  return with_tags ? disk.unlink(companion) : Result<void>();  // 5
}

// The copy becomes the file of the job.
Result<void> copy_of_open(const Spool& spool, Job& job, const std::string& path) {
  (void)spool.disk().unlink(path);
  auto copy = spool.disk().create(path);
  if (!copy) return copy.error();
  ::lseek(job.file.get(), 0, SEEK_SET);
  MFDATA_TRY(copy_content(job.file.get(), copy->get(), path));
  struct stat status {};
  if (::fstat(copy->get(), &status) != 0) return system_error(errno, "cannot look at " + path);
  job.context.size = static_cast<std::uint64_t>(status.st_size);
  if (!job.name.sidecar) MFDATA_TRY(set_tags_attribute(copy->get(), encode(job.context), path));
  if (spool.forces_inodes()) MFDATA_TRY(sync_file(copy->get(), path));
  job.status = status;
  job.file = std::move(*copy);
  return {};
}

}  // namespace

Result<void> end(const Spool& spool, const Slot& slot, const Job& job) {
  MFDATA_TRY(spool.disk().unlink(job.path));
  if (spool.forces_hops()) MFDATA_TRY(spool.disk().sync(slot.in()));
  return {};
}

Result<Landing> pass_on(const Spool& spool, const Slot& slot, Job& job, Context next) {
  if (spool.off(Protection::kContextLast) && !job.name.sidecar && next.to[0] != '/') {
    const Place place = place_of(next, job.name);
    const std::string path = place.directory + '/' + place.filename;
    MFDATA_TRY(spool.disk().rename(job.path, path));
    MFDATA_TRY(set_tags_attribute(job.file.get(), encode(next), path));
    return Landing{};
  }
  if (job.name.sidecar) {
    const std::string fresh = slot.fresh() + '/' + job.name.uid;
    MFDATA_TRY(spool.write_sidecar(fresh, next));                                     // 1
    MFDATA_TRY(spool.disk().replace(fresh, layout::sidecar(job.name.uid)));           // 2: COMMIT
  } else {
    MFDATA_TRY(set_tags_attribute(job.file.get(), encode(next), job.path));           // 1: COMMIT
  }
  job.context = std::move(next);
  return finish_rename(spool, slot, job);
}

Result<Landing> finish_rename(const Spool& spool, const Slot& slot, const Job& job) {
  Result<void> moved;
  if (job.context.to.starts_with('/')) {
    moved = finish_delivery(spool, slot, job);
    if (!moved) moved = delivery_error(moved.error());
  } else {
    const Place place = place_of(job.context, job.name);
    moved = spool.disk().rename(job.path, place.directory + '/' + place.filename);
    if (moved.is(Code::kExists)) {  // of an earlier attempt, or of somebody else
      auto aside = set_aside(spool, slot, behind_its_hop(job), place.directory + '/' + place.filename);
      if (!aside) return aside.error();
      return *aside ? Landing{true, kNameTaken} : Landing{};
    }
    if (moved && spool.forces_hops()) MFDATA_TRY(spool.disk().sync(place.directory));
  }
  if (moved) return Landing{};
  const bool waits = moved.is(Code::kNoSpace) || moved.is(Code::kDestination);
  if (waits && spool.disk().exists(job.path)) return moved.error();
  // A target that is gone: ours if the file itself still stands in the slot.
  if (!spool.disk().exists(job.path)) return moved.error();
  return no_target(spool, slot, job, moved.error());
}

Result<void> give_back(const Spool& spool, const Slot& slot, const Job& job) {
  return spool.disk().rename(job.path, layout::step_directory(slot.step) + '/' + job.name.spell());
}

bool stands(const Spool& spool, const Job& job) {
  auto there = spool.disk().status(job.path);
  return there && there->st_ino == job.status.st_ino && there->st_dev == job.status.st_dev;
}

Result<bool> restore_input(const Spool& spool, const Slot& slot, Job& job) {
  const Disk& disk = spool.disk();
  if (stands(spool, job)) return false;
  std::string whole;  // under another name in the slot, or made anew
  MFDATA_TRY(disk.visit(slot.in(), [&](const std::string& name) {
    auto status = disk.status(slot.in() + '/' + name);
    if (status && status->st_ino == job.status.st_ino && status->st_dev == job.status.st_dev) whole = slot.in() + '/' + name;
    return whole.empty();
  }));
  if (whole.empty()) {
    whole = slot.fresh() + '/' + job.name.uid;
    auto copied = copy_of_open(spool, job, whole);
    if (!copied) (void)disk.unlink(whole);
    MFDATA_TRY(copied);
  }
  auto placed = disk.replace(whole, job.path);
  if (!placed && (placed.error().errnum == EISDIR || placed.error().errnum == ENOTEMPTY)) {
    MFDATA_TRY(disk.remove_tree(job.path));
    placed = disk.rename(whole, job.path);
  }
  MFDATA_TRY(placed);
  return true;
}

}  // namespace mfdata
