#include "libmfdata/delivery.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace mfdata {
namespace {

constexpr unsigned kMaxCollisions = 1'000'000;
constexpr std::size_t kMaxFileName = 255;

Error too_many(const std::string& path) {
  return Error{Code::kLimit, 0, "cannot deliver " + path + ": the names with -1 to -999999 are all taken"};
}

// The uid that the file at `path` carries: of a delivery that got so far, or of nobody's.
std::string uid_at(const Disk& disk, const std::string& path) {
  auto file = disk.open_file(path);
  if (!file) return "";
  auto text = get_tags_attribute(file->get(), path);
  auto context = text ? decode(*text) : Result<Context>(text.error());
  return context ? context->uid : "";
}

Result<bool> stands_at(const Disk& disk, const std::string& path) {
  auto status = disk.status(path);
  if (!status && !status.is(Code::kGone)) return status.error();
  return static_cast<bool>(status);
}

// A name is taken by a file, and by a companion that would stand beside it.
Result<bool> is_taken(const Disk& disk, const std::string& path, const std::string& suffix) {
  auto there = stands_at(disk, path);
  return !there || *there || suffix.empty() ? there : stands_at(disk, path + suffix);
}

std::string numbered_path(const Context& context, unsigned number) {
  return directory_of(context.to) + '/' + numbered_name(basename_of(context.to), number, context.style.tags_suffix.size());
}

Result<void> copy_to_hidden(const Spool& spool, const std::string& staged, const std::string& hidden,
                            const Context& context) {
  const Disk& disk = spool.disk();
  auto source = disk.open_file(staged);
  if (!source) return source.error();
  auto copy = disk.create(hidden);
  if (copy.is(Code::kExists)) {
    MFDATA_TRY(disk.unlink(hidden));
    copy = disk.create(hidden);
  }
  if (!copy) return copy.error();
  MFDATA_TRY(copy_content(source->get(), copy->get(), hidden));  // 1
  Context tagged = context;
  if (context.style.drop_tags) tagged.tags = TagSet();  // the header stays: a repeat finds its uid
  MFDATA_TRY(tag_delivered(copy->get(), tagged, hidden));  // 2
  struct stat st;
  const bool known = ::fstat(source->get(), &st) == 0;
  const mode_t mode = context.style.mode != 0 ? context.style.mode : known ? st.st_mode & 07777 : 0600;
  if (::fchmod(copy->get(), mode) != 0) return system_error(errno, "cannot set the mode of " + hidden);
  return spool.forces_inodes() ? sync_file(copy->get(), hidden) : Result<void>();  // 3
}

// The companion of a far delivery is a copy for people: written after the file, replaced by a repeat.
Result<void> far_companion(const Disk& disk, const std::string& final, const Context& context) {
  const std::string companion = final + context.style.tags_suffix;
  const std::string hidden = layout::hidden(directory_of(final), '.' + context.uid + ".tags");
  (void)disk.unlink(hidden);
  auto file = disk.create(hidden);
  if (!file) return file.error();
  MFDATA_TRY(write_all(file->get(), tags_file_text(context.tags), hidden));
  MFDATA_TRY(apply_mode(disk, hidden, context.style));
  return disk.replace(hidden, companion);
}

}  // namespace

Error delivery_error(Error error) {
  switch (error.errnum) {
    case ENAMETOOLONG:
    case EILSEQ:
    case EINVAL: error.code = Code::kBadData; return error;
    case EFBIG:
    case EOVERFLOW: error.code = Code::kLimit; return error;
    default: break;
  }
  switch (error.code) {
    case Code::kGone:
    case Code::kExists:
    case Code::kBusy:
    case Code::kForeign:
    case Code::kUnsupported:
    case Code::kIo: error.code = Code::kDestination; break;
    default: break;
  }
  return error;
}

Result<void> room_for(const std::string& directory, const struct stat& file) {
  struct statvfs fs;
  const std::uint64_t needed = static_cast<std::uint64_t>(file.st_blocks) * 512;
  if (::statvfs(directory.c_str(), &fs) != 0) return {};
  if (fs.f_files > 0 && fs.f_favail == 0) return Error{Code::kNoSpace, ENOSPC, "no space left in " + directory + ": it has no inode left"};
  if (fs.f_bavail * fs.f_frsize >= needed) return {};
  return Error{Code::kNoSpace, ENOSPC,
               "no space left for " + std::to_string(needed) + " bytes in " + directory + ": " + std::to_string(fs.f_bavail * fs.f_frsize) + " are free"};
}

std::string directory_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::string basename_of(const std::string& path) { return path.substr(path.rfind('/') + 1); }

std::string numbered_name(const std::string& name, unsigned number, std::size_t reserve) {
  const std::string tail = number == 0 ? "" : '-' + std::to_string(number);
  const std::size_t room = kMaxFileName - std::min(kMaxFileName - 1, tail.size() + reserve);
  return name.substr(0, number == 0 && reserve == 0 ? kMaxFileName : room) + tail;
}

Result<unsigned> free_number(const std::string& wanted, unsigned first, const std::function<Result<bool>(unsigned)>& taken) {
  constexpr unsigned kLast = kMaxCollisions - 1;
  unsigned low = first;   // the last that is known to be taken
  unsigned high = first;  // the next to be looked at; then the first that is free
  for (unsigned step = 1;; step *= 2) {
    auto there = taken(high);
    if (!there) return there.error();
    if (!*there) break;
    if (high >= kLast) return too_many(wanted);
    low = high;
    high = std::min(high + step, kLast);
  }
  while (low + 1 < high) {
    const unsigned middle = low + (high - low) / 2;
    auto there = taken(middle);
    if (!there) return there.error();
    (*there ? low : high) = middle;
  }
  return high;
}

Result<std::string> FarPlaces::find(const Disk& disk, const Context& context, bool& done) {
  done = false;
  if (repeats_) return find_again(disk, context, done);
  auto number = free_number(context.to, 0, [&](unsigned n) { return is_taken(disk, numbered_path(context, n), context.style.tags_suffix); });
  return number ? Result<std::string>(numbered_path(context, *number)) : number.error();
}

// One number after another: an earlier attempt stands before the first free one.
Result<std::string> FarPlaces::find_again(const Disk& disk, const Context& context, bool& done) {
  Asked& asked = asked_[context.to + context.style.tags_suffix];
  for (; asked.numbers < kMaxCollisions; ++asked.numbers) {
    const auto earlier = asked.places.find(context.uid);
    done = earlier != asked.places.end();
    if (done) return earlier->second;
    const std::string path = numbered_path(context, asked.numbers);
    auto there = stands_at(disk, path);
    if (!there) return there.error();
    if (*there) {
      asked.places.emplace(uid_at(disk, path), path);
      continue;
    }
    auto taken = is_taken(disk, path, context.style.tags_suffix);
    if (!taken) return taken.error();
    if (!*taken) return path;
  }
  return too_many(context.to);
}

// What tells later which step delivered the file, and when it came: archives go by it.
static TagSet delivery_mark(const TagSet& tags) {
  TagSet mark;
  const std::string last = std::string(tags.get("latest.core.step_counter").value_or("")) + '.';
  for (const auto& [name, value] : tags) {
    const bool of_last_hop = last.size() > 1 && name.starts_with(last) && name.ends_with(".enter_step");
    if (!of_last_hop && name != "latest.core.step_counter" && !name.starts_with("first.core.")) continue;
    check(static_cast<bool>(mark.set(std::string(name), std::string(value))), "a part of the tags does not fit where all did");
  }
  return mark;
}

Result<void> tag_delivered(int file, const Context& context, const std::string& path) {
  Context shown = context;
  auto set = set_tags_attribute(file, encode(shown), path);
  if (set.is(Code::kAttribute)) {
    shown.tags.forget_hops();
    set = set_tags_attribute(file, encode(shown), path);
  }
  if (set.is(Code::kAttribute)) {
    shown.tags = delivery_mark(context.tags);
    set = set_tags_attribute(file, encode(shown), path);
  }
  if (set.is(Code::kAttribute)) {
    shown.tags = TagSet();
    set = set_tags_attribute(file, encode(shown), path);
  }
  return set.is(Code::kAttribute) && set.error().errnum == ENOTSUP ? Result<void>() : set;
}

void drop_tags_and_set_mode(int file, const DeliveryStyle& style) {
  drop_tags_attribute(file);
  if (style.mode != 0) (void)::fchmod(file, style.mode);
}

Result<void> apply_mode(const Disk& disk, const std::string& path, const DeliveryStyle& style) {
  if (style.mode == 0) return {};
  if (::chmod(disk.absolute(path).c_str(), style.mode) == 0) return {};
  return system_error(errno, "cannot set the mode of " + path);
}

Result<void> sync_destination(const Disk& disk, const std::string& directory, int file) {
  auto synced = disk.sync(directory);
  if (synced || synced.error().errnum != EACCES) return synced;
  if (file >= 0 && ::syncfs(file) != 0) return system_error(errno, "cannot force to disk the filesystem of " + directory);
  if (file < 0) ::sync();
  return {};
}

// Under one name. kExists: it, or that of the companion, is somebody else's.
static Result<void> place_both(const Spool& spool, const std::string& staged, const std::string& companion, const struct stat& ours,
                               const std::string& final, const std::string& suffix) {
  const Disk& disk = spool.disk();
  if (!companion.empty()) {
    auto linked = disk.link(companion, final + suffix);  // 1
    if (linked.is(Code::kExists)) {
      auto there = disk.status(final + suffix);
      if (!there || there->st_ino != ours.st_ino || there->st_dev != ours.st_dev) return linked;
    } else if (!linked) {
      return linked;
    }
  }
  auto placed = spool.off(Protection::kNoReplace) ? disk.replace(staged, final) : disk.rename(staged, final);  // 2
  if (!placed && !companion.empty()) (void)disk.unlink(final + suffix);  // not our place
  return placed;
}

Result<void> deliver(const Spool& spool, const std::string& staged, const std::string& companion,
                     const Context& context) {
  const Disk& disk = spool.disk();
  const std::string& suffix = context.style.tags_suffix;
  struct stat ours {};
  if (!companion.empty()) {
    auto status = disk.status(companion);
    if (!status) return status.error();
    ours = *status;
  }
  const auto taken = [&](unsigned number) {
    return is_taken(disk, numbered_path(context, number), companion.empty() ? "" : suffix);
  };
  const bool repeats = !companion.empty() && ours.st_nlink > 1;  // an earlier attempt placed the companion, under one of the names
  for (unsigned number = 0; number < kMaxCollisions;) {
    const std::string final = numbered_path(context, number);
    auto placed = place_both(spool, staged, companion, ours, final, suffix);
    if (placed) {
      spool.note_delivered(context.uid, final);
      return {};
    }
    if (!placed.is(Code::kExists)) return placed;
    auto next = repeats ? Result<unsigned>(number + 1) : free_number(context.to, number + 1, taken);
    if (!next) return next.error();
    number = *next;
  }
  return too_many(context.to);
}

Result<void> deliver_far(const Spool& spool, const std::string& staged, const Context& context, FarPlaces& places) {
  const Disk& disk = spool.disk();
  const std::string directory = directory_of(context.to);
  if (spool.forces_inodes()) {
    MFDATA_TRY(disk.sync(layout::kCommit));  // 0: what leaves the filesystem waits for its commit
    MFDATA_TRY(disk.sync(staged));
  }
  bool done = false;
  auto place = places.find(disk, context, done);
  if (!place) return place.error();
  if (!done) {
    auto status = disk.status(staged);
    if (status) MFDATA_TRY(room_for(directory, *status));
    const std::string hidden = layout::hidden(directory, '.' + context.uid);
    auto copied = copy_to_hidden(spool, staged, hidden, context);
    if (!copied) {
      (void)disk.unlink(hidden);
      return copied;
    }
    auto placed = disk.rename(hidden, *place);  // 4
    while (placed.is(Code::kExists)) {
      place = places.find(disk, context, done);
      if (!place) return place.error();
      placed = disk.rename(hidden, *place);
    }
    if (!placed) {
      (void)disk.unlink(hidden);
      return placed;
    }
  }
  spool.note_delivered(context.uid, *place);
  if (!context.style.tags_suffix.empty()) MFDATA_TRY(far_companion(disk, *place, context));
  if (spool.forces_inodes()) {
    auto file = disk.open_file(*place);
    MFDATA_TRY(sync_destination(disk, directory, file ? file->get() : -1));  // 5
  }
  return disk.unlink(staged);                                    // 6
}

}  // namespace mfdata
