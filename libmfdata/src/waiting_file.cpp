#include "libmfdata/waiting_file.hpp"

#include <fnmatch.h>

#include <algorithm>
#include <charconv>

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

Result<std::vector<WaitingFile>> files_in_hand(const Spool& spool, const std::string& step) {
  std::vector<WaitingFile> all;
  auto numbers = spool.disk().list("tmp/" + step);
  if (!numbers) return numbers.error();
  for (const std::string& text : *numbers) {
    Slot slot{step, 0};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), slot.number);
    if (error != std::errc() || end != text.data() + text.size()) continue;
    for (const std::string& directory : {slot.in(), slot.txn() + "/in"}) {
      auto names = spool.disk().list(directory);
      if (!names) return names.error();
      for (const std::string& entry : *names) {
        auto file = look_at(spool, step, directory + '/' + entry);
        if (!file) continue;
        file->name = SpoolName::parse(entry);
        file->in_hand = true;
        all.push_back(std::move(*file));
      }
    }
  }
  return all;
}

std::optional<std::string> ignoring_pattern(const std::vector<std::string>& patterns, const std::string& name) {
  if (name.starts_with(layout::kHidden)) return std::string(layout::kHidden) + '*';  // ours, whatever the operator ignores
  const auto found = std::find_if(patterns.begin(), patterns.end(), [&](const std::string& pattern) {
    if (pattern.size() > 1 && pattern[0] == '*' && pattern.find_first_of("*?[\\", 1) == std::string::npos) {
      return std::string_view(name).ends_with(std::string_view(pattern).substr(1));
    }
    return ::fnmatch(pattern.c_str(), name.c_str(), 0) == 0;
  });
  return found == patterns.end() ? std::nullopt : std::optional(*found);
}

bool is_ignored(const std::vector<std::string>& patterns, const std::string& name) { return ignoring_pattern(patterns, name).has_value(); }

Result<std::vector<WaitingFile>> watched_files(const Spool& spool, const std::string& step, const std::string& directory,
                                               const std::vector<std::string>& ignore) {
  std::vector<WaitingFile> all;
  auto names = spool.disk().list(directory);
  if (!names) return names.error();
  std::sort(names->begin(), names->end());
  for (const std::string& entry : *names) {
    if (is_ignored(ignore, entry)) continue;
    const std::string path = directory + '/' + entry;
    auto status = spool.disk().status(path);
    if (!status || S_ISDIR(status->st_mode)) continue;
    WaitingFile file{step, std::nullopt, path, 0, static_cast<std::uint64_t>(status->st_size), status->st_ctim.tv_sec};
    file.watched = true;
    all.push_back(std::move(file));
  }
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
