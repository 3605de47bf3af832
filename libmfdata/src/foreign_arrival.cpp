#include "libmfdata/foreign_arrival.hpp"

#include <algorithm>
#include <cerrno>

#include "libmfdata/transaction.hpp"

namespace mfdata {
namespace {

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

// Copy, commit, publish. `source` stands under a name that is nobody else's.
Result<void> copy_and_commit(const Spool& spool, const std::string& uid, const std::string& source, Origin& origin) {
  const Disk& disk = spool.disk();
  const std::string base = layout::accept(uid);
  const std::string step = origin.context.to.substr(std::string("step.").size());
  auto from = disk.open_file(source);
  if (!from) return from.error();
  struct stat st;
  if (::fstat(from->get(), &st) != 0) return system_error(errno, "cannot look at " + source);
  if (static_cast<std::uint64_t>(st.st_blocks) * 512 > disk.free_bytes()) {  // it would take the last room of everybody
    return Error{Code::kNoSpace, ENOSPC, "no space left for a copy of " + std::to_string(st.st_size) + " bytes of " + source};
  }
  std::string target = origin.context.to;
  MFDATA_TRY(disk.make_directory(base + "/out"));
  if (static_cast<std::uint64_t>(st.st_size) != origin.context.size) {
    target = layout::trash_directory(step);
    Job job;
    job.name.uid = uid;
    job.context = origin.context;
    job.status = st;
    TrashNote note;
    note.reason = "emptied";
    note.text = "its size changed while it was accepted";
    MFDATA_TRY(disk.make_directory(base + "/out/trash%2F" + step));
    MFDATA_TRY(spool.write_text(base + "/out/trash%2F" + step + '/' + uid + ".json",
                                trash_record(Slot{step, 0}, job, note), true));
    MFDATA_TRY(spool.write_text(base + "/out/trash%2F" + step + '/' + uid + ".tags",
                                tags_file_text(origin.context.tags), true));
  } else {
    MFDATA_TRY(disk.make_directory(base + "/out/" + target));
  }
  const std::string folded = target.starts_with("trash/") ? "trash%2F" + step : target;
  SpoolName name{uid, 0, false, 0};
  const std::string staged = base + "/out/" + folded + '/';
  const std::string fresh = base + "/out/copy";
  auto copy = disk.create(fresh);
  if (!copy) return copy.error();
  MFDATA_TRY(copy_content(from->get(), copy->get(), fresh));
  auto tagged = set_tags_attribute(copy->get(), encode(origin.context), fresh);
  if (tagged.is(Code::kAttribute)) {
    name.sidecar = true;
    MFDATA_TRY(disk.make_directory(base + "/context"));
    tagged = spool.write_sidecar(base + "/context/" + uid, origin.context);
  }
  MFDATA_TRY(tagged);
  if (spool.forces_inodes()) MFDATA_TRY(sync_file(copy->get(), fresh));
  MFDATA_TRY(disk.rename(fresh, staged + name.spell()));
  const std::string id = step + ".accept." + uid;
  MFDATA_TRY(disk.rename(base, layout::commit(id)));  // 6: COMMIT
  return roll_forward(spool, id);
}

// What is half copied takes no room until the next attempt.
Result<void> finish_accept(const Spool& spool, const std::string& uid, const std::string& source, Origin& origin) {
  auto done = copy_and_commit(spool, uid, source, origin);
  if (!done) (void)spool.disk().remove_tree(layout::accept(uid) + "/out");
  return done;
}

Result<void> recover_accept(const Spool& spool, const std::string& uid) {
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
  return finish_accept(spool, uid, source, *origin);
}

}  // namespace

Result<void> accept_foreign(const Spool& spool, const std::string& step, const std::string& directory,
                            const std::string& filename, const ArrivalRules& rules) {
  const Disk& disk = spool.disk();
  const std::string arrival = directory + '/' + filename;
  Job job;
  auto inspected = inspect_arrival(disk, arrival, rules, job);
  if (inspected.is(Code::kForeign)) {
    return Error{Code::kRefused, inspected.error().errnum, inspected.error().text + ": give its group the right to read it"};
  }
  MFDATA_TRY(inspected);
  const bool other_filesystem = disk.device() != job.status.st_dev;
  const std::string uid = fresh_uid();
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
    return taken;
  }
  auto now = disk.status(source);
  if (!now) return now.error();
  if (now->st_ino != job.status.st_ino || now->st_dev != job.status.st_dev) {  // swapped under our hands
    MFDATA_TRY(disk.rename(source, arrival));
    MFDATA_TRY(disk.remove_tree(base));
    return Error{Code::kGone, 0, "it was replaced by another file while it was taken"};
  }
  return finish_accept(spool, uid, source, origin);
}

Result<void> recover_accepts(const Spool& spool, bool deposits) {
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
      settled = recover_accept(spool, entry);
    } else if (deposits) {
      settled = spool.disk().unlink(path);
    }
    if (!settled && first) first = settled;
  }
  return first;
}

Result<void> remove_foreign_source(const Spool& spool, const std::string& commit_base) {
  if (!spool.disk().exists(commit_base + "/origin")) return {};
  auto origin = read_origin(spool, commit_base);
  if (!origin) return origin.is(Code::kGone) ? Result<void>() : origin.error();
  const std::string source = hidden_source(*origin);
  if (!spool.disk().exists(source)) return {};
  if (spool.forces_inodes()) MFDATA_TRY(spool.disk().sync(layout::kCommit));  // the commit first
  return spool.disk().unlink(source);
}

}  // namespace mfdata
