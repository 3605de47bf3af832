#include "libmfdata/claim.hpp"

#include <algorithm>
#include <cerrno>

#include "libmfdata/arrival.hpp"
#include "libmfdata/ending.hpp"

namespace mfdata {

const char* reason_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::kRun: return "";
    case Verdict::kFinish: return "finished";
    case Verdict::kArrival: return "arrival";
    case Verdict::kContextMissing: return "context missing";
    case Verdict::kEmptied: return "emptied";
    case Verdict::kOlderThanName: return "older than its name";
  }
  return "";
}

Result<Verdict> judge(const Spool& spool, Job& job) {
  auto file = spool.disk().open_file(job.path);
  if (!file) return file.error();
  job.file = lasting(std::move(*file));
  if (::fstat(job.file.get(), &job.status) != 0) return system_error(errno, "cannot look at " + job.path);
  auto context = spool.context_of(job.file.get(), job.name, job.path);
  if (!context) {
    if (!context.is(Code::kGone) && !context.is(Code::kBadData)) return context.error();
    return job.name.generation == 0 && !job.name.sidecar ? Verdict::kArrival : Verdict::kContextMissing;
  }
  job.context = std::move(*context);
  if (job.context.size != static_cast<std::uint64_t>(job.status.st_size) && !spool.off(Protection::kSizeCheck)) {
    return Verdict::kEmptied;
  }
  if (job.context.generation == job.name.generation) return Verdict::kRun;
  if (spool.off(Protection::kGeneration)) return Verdict::kRun;
  return job.context.generation > job.name.generation ? Verdict::kFinish : Verdict::kOlderThanName;
}

bool is_arrival(const Spool& spool, const std::string& directory, const std::string& filename) {
  const auto name = SpoolName::parse(filename);
  if (!name) return true;
  if (name->generation != 0 || name->sidecar) return false;
  const std::string path = directory + '/' + filename;
  auto file = spool.disk().open_file(path);
  if (!file) return false;
  auto context = spool.context_of(file->get(), *name, path);
  return context.is(Code::kGone) || context.is(Code::kBadData);
}

// What keeps a file from being claimed is nothing that the file can do: it waits, and whoever looks is told what to do.
static Error why_unclaimed(const Spool& spool, const Slot& slot, const std::string& path, const Error& error) {
  if (error.code == Code::kGone || error.code == Code::kNoSpace) return error;
  const Error why = why_immovable(spool.disk(), layout::step_directory(slot.step), path, error);
  return {Code::kIo, error.errnum, "cannot claim " + path + ": " + why.text};
}

Result<Claim> claim(const Spool& spool, const Slot& slot, const std::string& filename) {
  auto name = SpoolName::parse(filename);
  check(name.has_value(), "a claim of a name that is not of the spool");
  Claim claim;
  Job job;
  job.name = *name;
  job.path = slot.in() + '/' + filename;
  const std::string queued = layout::step_directory(slot.step) + '/' + filename;
  if (auto taken = spool.disk().rename(queued, job.path); !taken) return why_unclaimed(spool, slot, queued, taken.error());
  auto verdict = judge(spool, job);
  if (!verdict) {  // not the file's fault: it waits before its step again
    (void)spool.disk().rename(job.path, queued);
    return why_unclaimed(spool, slot, queued, verdict.error());
  }
  if (*verdict == Verdict::kRun) {
    claim.job = std::move(job);
    return claim;
  }
  auto settled = settle(spool, slot, job.path, Crash{});
  if (!settled) {
    (void)spool.disk().rename(job.path, queued);  // where it still stands in the slot
    return settled.error();
  }
  claim.settled = settled->what;
  claim.delivered = settled->delivered;
  return claim;
}

// Companions of a trash move that did not happen.
static void drop_companions(const Spool& spool, const Slot& slot, const std::string& uid) {
  for (const char* suffix : {".json", ".tags"}) {
    const std::string companion = layout::trash_directory(slot.step) + '/' + uid + suffix;
    if (spool.disk().exists(companion)) (void)spool.disk().unlink(companion);
  }
}

Result<Settled> settle(const Spool& spool, const Slot& slot, const std::string& path, const Crash& crash) {
  const std::string filename = path.substr(path.rfind('/') + 1);
  const std::string step_directory = layout::step_directory(slot.step);
  auto name = SpoolName::parse(filename);
  auto status = spool.disk().status(path);
  if (!status) return status.error();
  if (!name || !S_ISREG(status->st_mode)) {  // nothing of ours stands in a slot: as an arrival it finds its way
    auto returned = spool.disk().rename(path, step_directory + '/' + filename);
    if (returned.is(Code::kExists)) returned = spool.disk().rename(path, step_directory + '/' + filename + '-' + fresh_uid());
    MFDATA_TRY(returned);
    return Settled{filename, 0, false, "returned"};
  }
  Job job;
  job.name = *name;
  job.path = path;
  auto verdict = judge(spool, job);
  if (!verdict) return verdict.error();
  TrashNote note;
  note.reason = reason_of(*verdict);
  note.plugin_version = crash.plugin_version;
  switch (*verdict) {
    case Verdict::kFinish:
    {
      auto landed = finish_rename(spool, slot, job);
      if (!landed) {
        const bool waits = landed.is(Code::kNoSpace) || landed.is(Code::kDestination);
        if (!waits) return landed.error();
        auto returned = spool.disk().rename(path, step_directory + '/' + filename);  // whoever claims it next finishes it
        if (!returned.is(Code::kExists)) return returned ? landed.error() : returned.error();
        auto aside = set_aside(spool, slot, job, step_directory + '/' + filename);
        if (!aside) return aside.error();
        return *aside ? Settled{name->uid, 0, true, kNameTaken} : Settled{name->uid, 0, false, "returned"};
      }
      Settled finished{name->uid, 0, landed->trashed, landed->trashed ? landed->reason : "finished"};
      if (!landed->trashed && job.context.to.starts_with('/')) finished.delivered = job.context.to;
      return finished;
    }
    case Verdict::kContextMissing:
    case Verdict::kEmptied:
    case Verdict::kOlderThanName:
      note.text = *verdict == Verdict::kEmptied
                      ? "its context says " + std::to_string(job.context.size) + " bytes, the file has " +
                            std::to_string(job.status.st_size) + ": a power cut lost its content"
                      : "the file's context does not belong to its name";
      MFDATA_TRY(trash(spool, slot, job, note));
      return Settled{name->uid, 0, true, note.reason};
    case Verdict::kRun:
    {
      const bool shared = crash.in_hand == kEveryFile;
      if (!crash.count || (!shared && crash.in_hand != filename)) break;
      job.name.crashes += 1;
      if (job.name.crashes < std::max(crash.max_crashes, shared ? 2U : 1U)) break;  // one that is shared out is not enough
      note.reason = "crashed";
      note.text = crash.reason;
      note.attempts = job.name.crashes;
      MFDATA_TRY(trash(spool, slot, job, note));
      return Settled{name->uid, job.name.crashes, true, note.reason};
    }
    case Verdict::kArrival: break;
  }
  drop_companions(spool, slot, name->uid);
  const std::string place = step_directory + '/' + job.name.spell();
  auto returned = spool.disk().rename(path, place);
  if (returned.is(Code::kExists)) {
    auto aside = set_aside(spool, slot, job, place);
    if (!aside) return aside.error();
    if (*aside) return Settled{name->uid, job.name.crashes, true, kNameTaken};
    returned = {};
  }
  MFDATA_TRY(returned);
  return Settled{name->uid, job.name.crashes, false, "returned"};
}

}  // namespace mfdata
