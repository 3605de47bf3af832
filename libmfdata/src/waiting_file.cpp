#include "libmfdata/waiting_file.hpp"

#include <algorithm>

#include "libmfdata/claim.hpp"
#include "libmfdata/ending.hpp"
#include "libmfdata/recovery.hpp"
#include "libmfdata/transaction.hpp"

namespace mfdata {
namespace {

std::optional<WaitingFile> look_at(const Spool& spool, const std::string& step, const std::string& path) {
  auto status = spool.disk().status(path);
  if (!status) return std::nullopt;
  return WaitingFile{step, std::nullopt, path, 0, static_cast<std::uint64_t>(status->st_size), status->st_ctim.tv_sec};
}

// Into the slot. kGone: it is not there any more; kRefused: what stands there is not to be treated, and was settled.
Result<Job> take(const Spool& spool, const Slot& slot, const WaitingFile& file) {
  Job job;
  job.name = *file.name;
  job.path = slot.in() + '/' + job.name.spell();
  MFDATA_TRY(spool.disk().rename(file.path, job.path));
  auto verdict = judge(spool, job);
  if (!verdict) {
    (void)spool.disk().rename(job.path, file.path);
    return verdict.error();
  }
  if (*verdict == Verdict::kRun) return job;
  auto ended = settle(spool, slot, job.path, Crash{});
  if (!ended) return ended.error();
  return Error{Code::kRefused, 0, file.basename() + ": " + ended->what};
}

Result<void> commit(const Spool& spool, const Slot& slot, Job& job, std::vector<Output> outputs) {
  bool committed = false;
  return transaction(spool, slot, {&job}, outputs, committed);
}

Result<void> reap(const Spool& spool, const Slot& slot) {
  return reap_slot(spool, slot, Crash{}, [](const Slot&, const Settled&) {});
}

// What went wrong leaves nothing in the slot: the file is before its step again, or where it was committed to.
Result<void> settled(const Spool& spool, const Slot& slot, Result<void> done) {
  if (done) return done;
  auto reaped = reap(spool, slot);
  return reaped ? done : Result<void>(Error{done.error().code, done.error().errnum, done.error().text + "; " + reaped.error().text});
}

}  // namespace

Result<void> open_slot(const Spool& spool, const Slot& slot) {
  MFDATA_TRY(spool.prepare_step(slot.step));
  MFDATA_TRY(spool.prepare_slot(slot));
  return reap(spool, slot);
}

Result<std::vector<WaitingFile>> waiting_files(const Spool& spool, const std::string& step) {
  std::vector<WaitingFile> all;
  const auto add = [&](const std::string& directory, auto&& fill) -> Result<void> {
    auto names = spool.disk().list(directory);
    if (!names) return names.error();
    std::sort(names->begin(), names->end());
    for (const std::string& entry : *names) {
      auto file = look_at(spool, step, directory + '/' + entry);
      if (file && fill(entry, *file)) all.push_back(std::move(*file));
    }
    return {};
  };
  MFDATA_TRY(add(layout::step_directory(step), [&](const std::string& entry, WaitingFile& file) {
    if (!is_arrival(spool, layout::step_directory(step), entry)) file.name = SpoolName::parse(entry);
    return true;
  }));
  MFDATA_TRY(add(layout::waiting_directory(step), [](const std::string& entry, WaitingFile& file) {
    const auto waiting = WaitingName::parse(entry);
    if (!waiting) return false;
    file.name = waiting->name;
    file.due_ms = waiting->due_ms;
    return true;
  }));
  return all;
}

Result<Context> context_of(const Spool& spool, const WaitingFile& file) {
  if (!file.name) return Error{Code::kGone, 0, file.basename() + " has no tags yet"};
  auto content = spool.disk().open_file(file.path);
  return content ? spool.context_of(content->get(), *file.name, file.path) : Result<Context>(content.error());
}

Result<void> drop_waiting(const Spool& spool, const WaitingFile& file, const Slot& slot) {
  if (!file.name) return spool.disk().unlink(file.path);
  auto job = take(spool, slot, file);
  if (!job) return job.error();
  return settled(spool, slot, job->name.sidecar ? commit(spool, slot, *job, {}) : end(spool, slot, *job));
}

Result<void> move_waiting(const Spool& spool, const WaitingFile& file, const std::string& target, const Slot& slot) {
  MFDATA_TRY(spool.prepare_step(target));
  if (!file.name) return spool.disk().rename(file.path, layout::step_directory(target) + '/' + file.basename());
  auto job = take(spool, slot, file);
  if (!job) return job.error();
  Context next{job->name.uid, job->name.generation + 1, job->context.size, layout::step_directory(target), {}, job->context.tags};
  next.tags.erase("latest." + file.step + "_reinject.attempt");
  auto passed = pass_on(spool, slot, *job, next);
  if (passed.is(Code::kAttribute)) {
    const SpoolName name{job->name.uid, next.generation, true, 0};
    return settled(spool, slot, commit(spool, slot, *job, {{Output::Content::kInput, job->path, "", next.to, name.spell(), next}}));
  }
  return settled(spool, slot, passed ? Result<void>() : passed.error());
}

Result<void> trash_waiting(const Spool& spool, const WaitingFile& file, const std::string& reason, const std::string& text, const Slot& slot) {
  check(file.name.has_value(), "an arrival has no context to keep in trash");
  auto job = take(spool, slot, file);
  if (!job) return job.error();
  TrashNote note;
  note.reason = reason;
  note.text = text;
  note.attempts = 0;
  return settled(spool, slot, trash(spool, slot, *job, note));
}

}  // namespace mfdata
