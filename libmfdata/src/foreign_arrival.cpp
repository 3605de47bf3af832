#include "libmfdata/foreign_arrival.hpp"

#include <algorithm>
#include <cerrno>

#include "libmfdata/clock.hpp"
#include "libmfdata/open_writers.hpp"
#include "libmfdata/delivery.hpp"
#include "libmfdata/deposit.hpp"
#include "libmfdata/transaction.hpp"

namespace mfdata {
namespace {

constexpr const char* kSeenWritten = "written";  // a directory: its content changed while it was copied
constexpr double kGrownQuiet_s = 60;

struct Origin {
  std::string directory;  // where the source stands
  Context context;
};

std::string encode_origin(const Origin& origin) {
  std::string text;
  append_escaped(text, origin.directory);
  return text + '\n' + encode(origin.context);
}

Result<Origin> read_origin(const Spool& spool, const std::string& base) {
  auto file = spool.disk().open_file(base + "/origin");
  if (!file) return file.error();
  auto text = read_all(file->get(), kMaxContextText + 8192, base + "/origin");
  if (!text) return text.error();
  const std::size_t end = std::min(text->find('\n'), text->size());
  auto directory = unescaped(std::string_view(*text).substr(0, end));
  if (!directory) return directory.error();
  auto context = decode(std::string_view(*text).substr(std::min(end + 1, text->size())));
  if (!context) return context.error();
  return Origin{*directory, std::move(*context)};
}

dev_t device_of(const Disk& disk, const std::string& path) {
  auto status = disk.status(path);
  return status ? status->st_dev : 0;
}

// Where the source is hidden on its own filesystem.
std::string hidden_source(const Origin& origin) { return layout::hidden(origin.directory, "-accept." + origin.context.uid); }

bool changed(const struct stat& before, const struct stat& after) {
  return before.st_size != after.st_size || before.st_mtim.tv_sec != after.st_mtim.tv_sec ||
         before.st_mtim.tv_nsec != after.st_mtim.tv_nsec;
}

Result<struct stat> status_of(int file, const std::string& path) {
  struct stat st;
  if (::fstat(file, &st) != 0) return system_error(errno, "cannot look at " + path);
  return st;
}

// A source that has grown since it was taken: nobody writes it any more, as far as anybody can tell.
bool at_rest(int file, const struct stat& st, const std::string& name, double quiet_s) {
  switch (ask_by_lease(file)) {
    case OpenWriters::kNone: return true;
    case OpenWriters::kSome: return false;
    case OpenWriters::kUnknown: break;
  }
  const std::int64_t quiet_ms = real_ms() - st.st_ctim.tv_sec * 1000 - st.st_ctim.tv_nsec / 1'000'000;
  return !SeenWriters({name}).writes(st) && static_cast<double>(quiet_ms) >= quiet_s * 1000;
}

// What went to its size is what counts from now on.
Result<void> note_growth(const Spool& spool, const std::string& base, std::uint64_t size, Origin& origin) {
  origin.context.size = size;
  MFDATA_TRY(spool.write_text(base + "/origin.new", encode_origin(origin), false));
  return spool.disk().replace(base + "/origin.new", base + "/origin");
}

// A source that is shorter than what was taken: a power cut took its end.
Result<void> stage_note(const Spool& spool, const std::string& staged, const std::string& step, const Origin& origin,
                        const struct stat& st) {
  const std::string& uid = origin.context.uid;
  Job job;
  job.name.uid = uid;
  job.context = origin.context;
  job.status = st;
  TrashNote note;
  note.reason = "emptied";
  note.text = "its size changed while it was accepted";
  MFDATA_TRY(spool.write_text(staged + uid + ".json", trash_record(Slot{step, 0}, job, note), true));
  return spool.write_text(staged + uid + ".tags", tags_file_text(origin.context.tags), true);
}

// The copy under its name in `staged`, complete and forced.
Result<void> stage_copy(const Spool& spool, const std::string& base, int from, const std::string& staged, const Origin& origin) {
  const Disk& disk = spool.disk();
  SpoolName name{origin.context.uid, 0, false, 0};
  const std::string fresh = base + "/out/copy";
  auto copy = disk.create(fresh);
  if (!copy) return copy.error();
  MFDATA_TRY(copy_content(from, copy->get(), fresh));
  auto tagged = set_tags_attribute(copy->get(), encode(origin.context), fresh);
  if (tagged.is(Code::kAttribute)) {
    name.sidecar = true;
    MFDATA_TRY(disk.make_directory(base + "/context"));
    tagged = spool.write_sidecar(base + "/context/" + name.uid, origin.context);
  }
  MFDATA_TRY(tagged);
  if (spool.forces_inodes()) MFDATA_TRY(sync_file(copy->get(), fresh));
  return disk.rename(fresh, staged + name.spell());
}

// Copy, commit, publish. `source` stands under a name that is nobody else's.
Result<void> copy_and_commit(const Spool& spool, const std::string& uid, const std::string& source, Origin& origin, double quiet_s) {
  const Disk& disk = spool.disk();
  const std::string base = layout::accept(uid);
  const std::string step = origin.context.to.substr(std::string("step.").size());
  const Error busy{Code::kBusy, EAGAIN, "somebody writes it still: it is taken once it has been quiet"};
  auto from = disk.open_file(source);
  if (!from) return from.error();
  auto st = status_of(from->get(), source);
  if (!st) return st.error();
  if (static_cast<std::uint64_t>(st->st_blocks) * 512 > disk.free_bytes()) {  // it would take the last room of everybody
    return Error{Code::kNoSpace, ENOSPC, "no space left for a copy of " + std::to_string(st->st_size) + " bytes of " + source};
  }
  const auto size = static_cast<std::uint64_t>(st->st_size);
  if (size > origin.context.size || disk.exists(base + "/" + kSeenWritten)) {
    if (!at_rest(from->get(), *st, source.substr(source.rfind('/') + 1), quiet_s)) return busy;
    if (size > origin.context.size) MFDATA_TRY(note_growth(spool, base, size, origin));
  }
  const bool emptied = size != origin.context.size;
  const std::string target = base + "/out/" + (emptied ? "trash%2F" + step : origin.context.to), staged = target + '/';
  MFDATA_TRY(disk.make_directory(base + "/out"));
  MFDATA_TRY(disk.make_directory(target));
  if (emptied) MFDATA_TRY(stage_note(spool, staged, step, origin, *st));
  MFDATA_TRY(stage_copy(spool, base, from->get(), staged, origin));  // 5
  auto now = status_of(from->get(), source);
  if (!now) return now.error();
  if (changed(*st, *now)) {
    (void)disk.ensure_directory(base + "/" + kSeenWritten);
    return busy;
  }
  const std::string id = step + ".accept." + uid;
  MFDATA_TRY(disk.rename(base, layout::commit(id)));  // 6: COMMIT
  auto rolled = roll_forward(spool, id);
  return rolled.is(Code::kBusy) ? Result<void>() : rolled;  // its sender goes on: what comes of that waits beside the commit
}

// What is half copied takes no room until the next attempt.
Result<void> finish_accept(const Spool& spool, const std::string& uid, const std::string& source, Origin& origin, double quiet_s) {
  auto done = copy_and_commit(spool, uid, source, origin, quiet_s);
  if (!done) (void)spool.disk().remove_tree(layout::accept(uid) + "/out");
  return done;
}

Result<void> recover_accept(const Spool& spool, const std::string& uid, double quiet_s) {
  const Disk& disk = spool.disk();
  const std::string base = layout::accept(uid);
  auto origin = read_origin(spool, base);
  if (!origin && !origin.is(Code::kGone) && !origin.is(Code::kBadData)) return origin.error();
  std::string source = base + "/in/source";
  if (!disk.exists(source)) {
    source = origin ? hidden_source(*origin) : "";
    if (!origin) return disk.remove_tree(base);  // nothing had been moved
    auto hidden = disk.status(source);
    if (!hidden) {
      // It still stands where it arrived, unless its filesystem is not there at all: then the record is kept.
      const auto name = origin->context.tags.get("first.core.original_basename");
      const bool stands = name && disk.exists(origin->directory + '/' + std::string(*name));
      const bool mounted = hidden.is(Code::kGone) && disk.device() != device_of(disk, origin->directory);
      return stands || mounted ? disk.remove_tree(base) : Result<void>(hidden.error());
    }
  }
  if (auto status = disk.status(source); status && !S_ISREG(status->st_mode)) {  // swapped in by a sender
    MFDATA_TRY(disk.rename(source, std::string(layout::kIncoming) + "/swapped-" + uid));
    return disk.remove_tree(base);
  }
  if (!origin) {  // a power cut lost what was known of it: an arrival again
    MFDATA_TRY(disk.rename(source, std::string(layout::kIncoming) + "/recovered-" + uid));
    return disk.remove_tree(base);
  }
  MFDATA_TRY(disk.remove_tree(base + "/out"));
  MFDATA_TRY(disk.remove_tree(base + "/context"));
  return finish_accept(spool, uid, source, *origin, quiet_s);
}

// The name that it came with, or one that nobody else makes.
Result<void> give_back(const Spool& spool, const std::string& source, const Origin& origin) {
  const auto name = origin.context.tags.get("first.core.original_basename");
  auto back = spool.disk().rename(source, origin.directory + '/' + std::string(name.value_or(origin.context.uid)));
  if (back) return back;
  back = spool.disk().rename(source, origin.directory + "/grown-" + origin.context.uid);
  if (back.is(Code::kGone)) back = spool.disk().rename(source, std::string(layout::kIncoming) + "/grown-" + origin.context.uid);
  return back;
}

// Errors as of accept_foreign: somebody writes it, or may do so.
Result<void> complete(const Job& job, const ForeignRules& rules) {
  switch (ask_by_lease(job.file.get())) {
    case OpenWriters::kNone: return {};
    case OpenWriters::kSome: return Error{Code::kBusy, EAGAIN, "somebody has it open for writing"};
    case OpenWriters::kUnknown: break;
  }
  if (rules.written && rules.written(job.status)) return Error{Code::kBusy, EAGAIN, "a process has it open for writing"};
  if (!rules.quiet) return Error{Code::kForeign, 0, "it cannot be asked whether somebody writes it"};
  return {};
}

}  // namespace

Result<void> accept_foreign(const Spool& spool, const std::string& step, const std::string& directory,
                            const std::string& filename, const ForeignRules& rules, const std::string& uid) {
  const Disk& disk = spool.disk();
  const std::string arrival = directory + '/' + filename;
  Job job;
  auto inspected = inspect_arrival(disk, arrival, ArrivalRules{rules.max_file_size}, job);
  if (inspected.is(Code::kForeign)) {
    auto status = disk.status(arrival);
    if (!status) return status.error();
    return Error{Code::kRefused, inspected.error().errnum, why_unreadable(*status)};
  }
  MFDATA_TRY(inspected);
  MFDATA_TRY(complete(job, rules));
  const bool other_filesystem = disk.device() != job.status.st_dev;
  const std::string base = layout::accept(uid);
  Origin origin{directory, Context{uid, 0, static_cast<std::uint64_t>(job.status.st_size),
                                   layout::step_directory(step), {}, first_tags(directory, filename, uid)}};
  MFDATA_TRY(disk.make_directory(base));                                              // 1
  MFDATA_TRY(spool.write_text(base + "/origin", encode_origin(origin), false));       // 2
  if (!other_filesystem) MFDATA_TRY(disk.make_directory(base + "/in"));               // 3
  std::string source = other_filesystem ? hidden_source(origin) : base + "/in/source";
  auto taken = disk.rename(arrival, source);                                          // 4: nobody else's now
  if (taken.is(Code::kForeign) && !other_filesystem) {  // another mount of the same filesystem
    source = hidden_source(origin);
    taken = disk.rename(arrival, source);
  }
  if (!taken) {
    (void)disk.remove_tree(base);
    return why_immovable(disk, directory, arrival, taken.error());
  }
  auto now = disk.status(source);
  if (!now) return now.error();
  if (now->st_ino != job.status.st_ino || now->st_dev != job.status.st_dev) {  // swapped under our hands
    MFDATA_TRY(disk.rename(source, arrival));
    MFDATA_TRY(disk.remove_tree(base));
    return Error{Code::kGone, 0, "it was replaced by another file while it was taken"};
  }
  return finish_accept(spool, uid, source, origin, kNeverQuiet);  // what grows just now is not quiet
}

Result<void> recover_accepts(const Spool& spool, bool deposits, double quiet_s) {
  auto entries = spool.disk().list(layout::kAccept);
  if (!entries) return entries.error();
  std::sort(entries->begin(), entries->end());
  Result<void> first;
  for (const std::string& entry : *entries) {
    const std::string path = layout::accept(entry);
    auto status = spool.disk().status(path);
    if (!status) continue;
    Result<void> settled;
    if (S_ISDIR(status->st_mode)) {
      settled = recover_accept(spool, entry, quiet_s);
      if (settled.is(Code::kBusy)) settled = {};  // it waits
    } else if (deposits) {
      if (auto dropped = drop_dead_deposit(spool, entry, true); !dropped) settled = dropped.error();
    }
    if (!settled && first) first = settled;
  }
  return first;
}

Result<void> remove_foreign_source(const Spool& spool, const std::string& commit_base) {
  const Disk& disk = spool.disk();
  if (!disk.exists(commit_base + "/origin")) return {};
  auto origin = read_origin(spool, commit_base);
  if (!origin) return origin.is(Code::kGone) ? Result<void>() : origin.error();
  const std::string beside = commit_base + "/in/source";
  const bool hidden = !disk.exists(beside);
  const std::string source = hidden ? hidden_source(*origin) : beside;
  auto status = disk.status(source);
  if (!status) return status.is(Code::kGone) ? Result<void>() : status.error();
  if (hidden && spool.forces_inodes()) MFDATA_TRY(disk.sync(layout::kCommit));  // the commit first
  if (status = disk.status(source); !status) return status.error();
  if (static_cast<std::uint64_t>(status->st_size) <= origin->context.size) return disk.unlink(source);
  auto file = disk.open_file(source);
  if (!file) return file.error();
  // Its return is an event like that of a sender who has finished: it comes when nobody writes any more.
  if (!at_rest(file->get(), *status, basename_of(source), kGrownQuiet_s)) {
    return Error{Code::kBusy, EAGAIN, source + " grew after it was taken, and is written still: it arrives again once it has been quiet"};
  }
  return give_back(spool, source, *origin);
}

}  // namespace mfdata
