#include "worker/ending_policy.hpp"

#include <mfdata/plugin.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>

#include "libmfdata/arrival.hpp"
#include "libmfdata/clock.hpp"
#include "libmfdata/delivery.hpp"
#include "libmfdata/ending.hpp"
#include "libmfdata/printable.hpp"
#include "libmfdata/transaction.hpp"
#include "libmfdata/trash.hpp"

namespace mfdata {
namespace {

using wire::Outcome;

constexpr std::size_t kMaxPending = 16;
constexpr std::int64_t kPendingPause = 1'000'000'000;
constexpr std::uint64_t kRoomForOthers = 1 << 20;

// Everything else is the system's trouble: the file waits until it is over.
bool is_of_the_file(Code code) {
  return code == Code::kBadData || code == Code::kRefused || code == Code::kLimit || code == Code::kGone || code == Code::kExists;
}

Context next_context(const Job& job, std::string uid, std::string to, const TagSet& tags) {
  return Context{std::move(uid), job.name.generation + 1, job.context.size, std::move(to), {}, tags};
}

// SEMANTICS section 4: min(retry_max_wait, retry_min_wait + retry_backoff * 2^(attempt-1)).
double retry_delay_s(const RetryPolicy& policy, std::uint64_t attempt) {
  const double grown = policy.backoff_s * std::exp2(static_cast<double>(std::min<std::uint64_t>(attempt, 64) - 1));
  return std::min(policy.max_wait_s, policy.min_wait_s + grown);
}

// A failed file that its failure policy cannot move: why it failed, and why it stays.
Error not_moved(const std::string& reason, const Error& error) {
  return Error{error.code, error.errnum, reason + "; failure_policy_move_dest_dir: " + error.text};
}

void note_trashed(const std::string& reason, End& end) {
  end.outcome = Outcome::kFailed;
  end.trashed = true;
  end.ended = false;
  end.outputs.clear();
  end.routed.clear();
  end.reason = reason;
}

// While one file does not fit: others would, in the spool and wherever this one goes.
bool has_room_for_others(const Spool& spool, const std::vector<StagedOutput>& staged) {
  if (spool.disk().nearly_full()) return false;
  return std::all_of(staged.begin(), staged.end(), [](const StagedOutput& output) {
    if (!output.far) return true;
    auto target = Disk::open(directory_of(output.path));
    return target && target->free_bytes() >= kRoomForOthers;
  });
}

// Which file it is, and how much room there is: what an operator has to know to make room for it.
std::string for_want_of_room(const Spool& spool, const Job& job, const Error& error) {
  const auto name = job.context.tags.get("first.core.original_basename");
  return error.text + "; the file \"" + printable(std::string(name.value_or("?")), 255) + "\" has " + std::to_string(job.status.st_size) +
         " bytes, and " + std::to_string(spool.disk().free_bytes()) + " are free in the spool";
}

bool moves_the_input(const std::vector<StagedOutput>& staged) {
  return staged.size() == 1 && staged[0].file->input >= 0 && staged[0].op == Op::kMove;
}

}  // namespace

std::int32_t meaning_of(std::int32_t rc) { return rc == MFDATA_E_IO || rc == MFDATA_E_NOMEM || rc == MFDATA_E_BUSY ? MFDATA_RETRY : rc; }
bool gives_back(std::int32_t rc) { return rc == MFDATA_CANCELLED || rc == MFDATA_YIELD; }

void note_given_back(std::int32_t rc, std::optional<std::int64_t> delay_ms, const std::string& reason, End& end) {
  constexpr std::int64_t kPause_ms = 1000, kLongest_ms = 3'600'000;
  end.outcome = rc == MFDATA_YIELD ? Outcome::kYielded : Outcome::kCancelled;
  if (rc != MFDATA_YIELD) return;
  end.pause_ms = static_cast<std::uint32_t>(std::clamp<std::int64_t>(delay_ms.value_or(kPause_ms), 1, kLongest_ms));
  end.reason = reason;
}

void EndingPolicy::trace(Planned before_commit) {
  before_commit_ = std::move(before_commit);
  delivered_.clear();
  spool_.observe_deliveries(before_commit_ ? [this](const std::string& uid, const std::string& path) { delivered_[uid] = path; }
                                           : Spool::DeliveryObserver());
}

std::string EndingPolicy::take_delivered(const std::string& uid) {
  const auto found = delivered_.find(uid);
  if (found == delivered_.end()) return "";
  const std::string path = std::move(found->second);
  delivered_.erase(found);
  return path;
}

void EndingPolicy::note_routes(const Job& job, const std::vector<StagedOutput>& staged, bool keeps_uid, End& end) const {
  end.ended = true;
  for (std::size_t i = 0; before_commit_ && i < staged.size(); ++i) {
    const bool delivered = staged[i].step.empty();
    wire::TracedOutput& output = end.outputs.emplace_back();
    output.uid = keeps_uid ? job.name.uid : child_uid(job.name.uid, job.name.generation + 1, i);
    output.anew = !staged[i].file->tags.get("first.core.original_uid");
    if (!delivered) output.target = staged[i].target;
    if (delivered) output.path = staged[i].path;
  }
  for (const StagedOutput& output : staged) {
    if (output.step.empty()) continue;
    end.ended = false;
    end.routed.push_back(output.target);
  }
}

TrashNote EndingPolicy::note_of(Treatment& treatment, std::size_t index, const std::string& reason,
                                const std::string& text) const {
  TrashNote note;
  note.reason = reason;
  note.text = text;
  note.plugin_version = settings_.plugin_version;
  note.tags = treatment.input(index)->tags;
  const auto attempt = treatment.jobs()[index].context.tags.get(
      "latest." + settings_.step.dotted() + "_reinject.attempt");
  unsigned retries = 0;
  if (attempt) std::from_chars(attempt->data(), attempt->data() + attempt->size(), retries);
  note.attempts = retries + 1;
  return note;
}

// ---- ends of one file

Result<void> EndingPolicy::run_transaction(const std::vector<Job*>& jobs, std::vector<Output>& outputs) {
  bool committed = false;
  auto done = transaction(spool_, slot_, jobs, outputs, committed);
  unpublished_.clear();
  if (committed && !done) {  // what is committed is done; publishing goes on when it can
    pending_ = true;
    next_pending_ns_ = monotonic_ns() + kPendingPause;
    pending_problem_ = unpublished_ = done.error().text;
    return {};
  }
  return done;
}

Result<void> EndingPolicy::end_job(Job& job) {
  if (!job.name.sidecar) return end(spool_, slot_, job);
  std::vector<Output> none;
  return run_transaction({&job}, none);
}

// The only output is the input itself.
Result<void> EndingPolicy::commit_input(const StagedOutput& staged, Job& job, End& end) {
  const TagSet& tags = staged.file->tags;
  std::vector<Output> outputs;
  const auto passed_on = [&](Context next) {
    auto passed = pass_on(spool_, slot_, job, std::move(next));
    if (passed && passed->trashed) note_trashed(passed->reason, end);
    return passed ? Result<void>() : Result<void>(passed.error());
  };
  if (!staged.step.empty()) {
    auto passed = passed_on(next_context(job, job.name.uid, layout::step_directory(staged.step), tags));
    if (!passed.is(Code::kAttribute)) return passed;
    MFDATA_TRY(add_outputs(job, staged, 0, true, outputs));  // it outgrew the attribute: its name gets the "c"
    return run_transaction({&job}, outputs);
  }
  Context next = next_context(job, job.name.uid, staged.path, tags);
  next.style = staged.style;
  if (!staged.far && !job.name.sidecar) {
    auto passed = passed_on(next);
    if (!passed.is(Code::kAttribute)) return passed;
  }
  MFDATA_TRY(plan_delivery(staged, job, outputs));
  return run_transaction({&job}, outputs);
}

// What goes to another filesystem is copied after the commit, and then there is no way back: it is looked at before.
Result<void> EndingPolicy::fits_elsewhere(const Job& job, const StagedOutput& staged) const {
  if (!staged.far) return {};
  if (staged.file->input >= 0) return room_for(directory_of(staged.path), job.status);
  auto status = spool_.disk().status(staged.file->path);
  return status ? room_for(directory_of(staged.path), *status) : Result<void>();
}

// The delivery of an input that needs a transaction: to another filesystem, or with a sidecar.
Result<void> EndingPolicy::plan_delivery(const StagedOutput& staged, Job& job, std::vector<Output>& outputs) const {
  MFDATA_TRY(fits_elsewhere(job, staged));
  const bool own_inode = job.status.st_nlink == 1;
  if (!staged.far && !(job.name.sidecar && own_inode)) return add_outputs(job, staged, 0, true, outputs);
  // No copy inside the spool: a second name of the inode.
  Context next = next_context(job, job.name.uid, staged.path, staged.file->tags);
  next.style = staged.style;
  if (!staged.far) MFDATA_TRY(tag_delivered(job.file.get(), next, job.path));
  outputs.push_back({Output::Content::kInput, job.path, "", kDeliver, job.name.uid, next});
  outputs.push_back({Output::Content::kText, "", encode(next), kDeliver, job.name.uid + ".context", {}});
  if (!staged.far && !next.style.tags_suffix.empty()) {
    outputs.push_back({Output::Content::kText, "", tags_file_text(staged.file->tags), kDeliver, job.name.uid + ".tags", {}});
  }
  return {};
}

// The outputs of one staged file, in a transaction with others.
Result<void> EndingPolicy::add_outputs(const Job& job, const StagedOutput& staged, std::size_t index, bool keeps_uid,
                                       std::vector<Output>& outputs) const {
  MFDATA_TRY(fits_elsewhere(job, staged));
  const bool is_input = staged.file->input >= 0;
  const bool delivered = staged.step.empty();
  const std::string uid =
      keeps_uid ? job.name.uid : child_uid(job.name.uid, job.name.generation + 1, index);
  Context context = next_context(job, uid, delivered ? staged.path : layout::step_directory(staged.step), staged.file->tags);
  context.style = staged.style;
  if (!context.tags.get("first.core.original_uid")) {  // of no input: it begins here
    const std::string named(context.tags.get("first.core.original_basename").value_or(uid));
    for (const auto& [name, value] : first_tags(settings_.step.dotted(), named, uid)) MFDATA_TRY(context.tags.set(name, value));
  }
  Output output;
  output.path = is_input ? job.path : staged.file->path;
  if (!is_input) {
    auto status = spool_.disk().status(staged.file->path);
    if (!status) return status.error();
    if (!S_ISREG(status->st_mode)) return Error{Code::kBadData, 0, "the step replaced its new file by something else"};
    if ((status->st_mode & 0600) != 0600) MFDATA_TRY(spool_.disk().make_writable(staged.file->path, status->st_mode));  // to tag it
    context.size = static_cast<std::uint64_t>(status->st_size);
    output.content = Output::Content::kNew;
  } else {
    output.content = delivered || staged.op == Op::kCopy ? Output::Content::kCopy : Output::Content::kInput;
  }
  output.directory = delivered ? kDeliver : context.to;
  SpoolName name{uid, context.generation, output.content == Output::Content::kInput, 0};
  output.filename = delivered ? uid : name.spell();
  output.context = std::move(context);
  outputs.push_back(std::move(output));
  if (delivered && !staged.style.tags_suffix.empty()) {
    outputs.push_back({Output::Content::kText, "", tags_file_text(outputs.back().context->tags), kDeliver, uid + ".tags", {}});
  }
  return {};
}

Result<void> EndingPolicy::commit(Treatment& treatment, End& end) {
  Job& job = treatment.jobs()[0];
  const std::vector<StagedOutput>& staged = treatment.staged();
  if (staged.empty()) return end_job(job);
  if (moves_the_input(staged)) return commit_input(staged[0], job, end);
  std::vector<Output> outputs;
  MFDATA_TRY(plan(treatment, outputs));
  return run_transaction({&job}, outputs);
}

// What a treatment that ends in a transaction puts into it.
Result<void> EndingPolicy::plan(Treatment& treatment, std::vector<Output>& outputs) const {
  Job& job = treatment.jobs()[0];
  const std::vector<StagedOutput>& staged = treatment.staged();
  if (moves_the_input(staged)) return plan_delivery(staged[0], job, outputs);
  for (std::size_t i = 0; i < staged.size(); ++i) MFDATA_TRY(add_outputs(job, staged[i], i, false, outputs));
  return {};
}

bool EndingPolicy::shares_commit(Treatment& treatment, std::int32_t rc) const {
  if (rc != MFDATA_OK) return false;
  const std::vector<StagedOutput>& staged = treatment.staged();
  const bool sidecar = treatment.jobs()[0].name.sidecar;
  // A slow or full disk elsewhere holds up nobody else's commit.
  if (std::any_of(staged.begin(), staged.end(), [](const StagedOutput& output) { return output.far; })) return false;
  return staged.empty() ? sidecar : !moves_the_input(staged) || (sidecar && staged[0].step.empty());
}

std::vector<End> EndingPolicy::finish_group(const std::vector<Treatment*>& treatments) {
  std::vector<End> ends(treatments.size());
  std::vector<Output> outputs;
  std::vector<Job*> jobs;
  Result<void> done;
  for (std::size_t i = 0; i < treatments.size() && done; ++i) {
    jobs.push_back(&treatments[i]->jobs()[0]);
    note_routes(*jobs.back(), treatments[i]->staged(), moves_the_input(treatments[i]->staged()), ends[i]);
    done = plan(*treatments[i], outputs);
  }
  for (std::size_t i = 0; i < ends.size() && done; ++i) plans(*jobs[i], ends[i]);
  if (done) done = run_transaction(jobs, outputs);
  for (std::size_t i = 0; i < ends.size() && done; ++i) ends[i].unpublished = unpublished_;
  if (done) return ends;
  End failed;
  failed.reason = done.error().text;
  failed.outcome = done.is(Code::kNoSpace) ? Outcome::kNoSpace : Outcome::kError;
  auto undone = abort_transaction(spool_, slot_);
  stuck_ = stuck_ || !undone;
  for (std::size_t i = 0; i < treatments.size(); ++i) {
    ends[i] = failed;
    if (done.is(Code::kNoSpace)) ends[i].reason = for_want_of_room(spool_, *jobs[i], done.error());
    give_back_from(*jobs[i], undone, ends[i]);
  }
  return ends;
}

std::optional<EndingPolicy::Waiting> EndingPolicy::next_attempt(const Treatment& treatment,
                                                                const Job& job) const {
  const std::string tag = "latest." + settings_.step.dotted() + "_reinject.attempt";
  const RetryPolicy& policy = settings_.step.retry;
  std::uint64_t attempt = 0;
  if (const auto done = job.context.tags.get(tag)) {
    std::from_chars(done->data(), done->data() + done->size(), attempt);
  }
  if (attempt >= policy.total) return std::nullopt;
  double delay_s = retry_delay_s(policy, attempt + 1);
  if (treatment.retry_delay_ms) {
    delay_s = std::clamp(static_cast<double>(*treatment.retry_delay_ms) / 1000, 0.0, policy.max_wait_s);
  }
  Waiting waiting{real_ms() + static_cast<std::int64_t>(delay_s * 1000), job.context.tags};
  if (!waiting.tags.set(tag, std::to_string(attempt + 1))) return std::nullopt;
  return waiting;
}

Context EndingPolicy::waiting_context(const Job& job, const Waiting& waiting) const {
  const std::string directory = layout::waiting_directory(settings_.step.dotted());
  return next_context(job, job.name.uid, directory + '/' + std::to_string(waiting.due_ms), waiting.tags);
}

// A file whose attribute cannot hold its context, or is not to be written (a batch), waits with a sidecar.
Output EndingPolicy::waiting_output(const Job& job, const Waiting& waiting) const {
  const WaitingName name{waiting.due_ms, {job.name.uid, job.name.generation + 1, true, 0}};
  return {Output::Content::kInput, job.path, "", layout::waiting_directory(settings_.step.dotted()), name.spell(), waiting_context(job, waiting)};
}

Result<void> EndingPolicy::fail(Treatment& treatment, const std::string& reason, End& end) {
  Job& job = treatment.jobs()[0];
  end.outcome = Outcome::kFailed;
  end.reason = treatment.reason;
  switch (settings_.step.failure_policy) {
    case FailurePolicy::kKeep:
      end.trashed = true;
      plans(job, end);
      return trash(spool_, slot_, job, note_of(treatment, 0, reason, treatment.reason));
    case FailurePolicy::kDelete:
      end.ended = true;
      plans(job, end);
      return end_job(job);
    case FailurePolicy::kMove: break;
  }
  treatment.staged().clear();
  const auto staged = stage_failure(treatment, 0);
  if (!staged && waits_for_the_system(staged.error())) return staged;
  if (!staged) {
    end.trashed = true;
    plans(job, end);
    return trash(spool_, slot_, job, note_of(treatment, 0, reason, staged.error().text));
  }
  note_routes(job, treatment.staged(), true, end);
  plans(job, end);
  auto moved = commit_input(treatment.staged()[0], job, end);
  if (moved && end.trashed) end.reason = not_moved(treatment.reason, Error{Code::kBadData, 0, end.reason}).text;
  return moved ? moved : not_moved(treatment.reason, moved.error());
}

// Of a directory where failed files go: any other file would meet the same there.
bool EndingPolicy::waits_for_the_system(const Error& error) { return error.code == Code::kDestination || error.code == Code::kNoSpace; }

// The input as the step got it goes where failed files go.
Result<void> EndingPolicy::stage_failure(Treatment& treatment, std::size_t index) const {
  mfdata_file* file = treatment.input(index);
  file->moved = false;
  file->tags = treatment.tags_at_begin(index);
  DeliveryStyle style;
  style.tags_suffix = ".tags";
  const std::string& target = settings_.step.failure_target;
  auto staged = target.starts_with('/') ? treatment.deliver(file, Op::kMove, target, "", style, MakeDirectories{true, 0})
                                        : treatment.emit(file, Op::kMove, target);
  return staged ? staged : not_moved(treatment.reason, staged.error());
}

// Something of the system went wrong while the treatment was ended: nothing of it was committed.
End EndingPolicy::recover_from(Treatment& treatment, const Error& error, bool lost_input) {
  End end;
  end.reason = error.text;
  end.outcome = error.code == Code::kNoSpace ? Outcome::kNoSpace : Outcome::kError;
  auto undone = abort_transaction(spool_, slot_);
  stuck_ = stuck_ || !undone;
  const bool single = treatment.jobs().size() == 1;
  const bool no_room = error.code == Code::kNoSpace;
  const bool gives_up = no_room && single && treatment.last_chance && undone;
  if (no_room) end.reason = for_want_of_room(spool_, treatment.jobs()[0], error);
  treatment.remove_new_files();  // also: they may be what fills the disk
  for (std::size_t index = 0; index < treatment.jobs().size(); ++index) {
    Job& job = treatment.jobs()[index];
    if (undone && (lost_input || error.code == Code::kGone) && !stands(spool_, job)) {
      bring_back(treatment, index, end);
      if (!stands(spool_, job)) continue;
    }
    const bool too_large = gives_up && has_room_for_others(spool_, treatment.staged());
    if (undone && single && (too_large || is_of_the_file(error.code)) && spool_.disk().exists(job.path)) {  // the operator looks at it
      auto kept = trash(spool_, slot_, job, note_of(treatment, 0, too_large ? "no room" : "failed", end.reason));
      if (kept) {
        end.outcome = Outcome::kFailed;
        end.trashed = true;
        continue;
      }
    }
    give_back_from(job, undone, end);
  }
  return end;
}

// An input that its step took away; as it was when it was taken. Until there is room for it, it stays open.
void EndingPolicy::bring_back(Treatment& treatment, std::size_t index, End& end) {
  Job& job = treatment.jobs()[index];
  if (job.context.generation != job.name.generation) {  // its next hop was announced already
    job.context = Context{job.name.uid, job.name.generation, job.context.size, layout::step_directory(settings_.step.dotted()), {}, treatment.tags_at_begin(index)};
  }
  auto restored = restore_input(spool_, slot_, job);
  end.reason = kRemovedInput;
  if (restored) return;
  end.reason += "; it cannot be made anew yet: " + restored.error().text;
  if (restored.is(Code::kNoSpace)) end.outcome = Outcome::kNoSpace;
  Job kept;
  kept.name = job.name;
  kept.path = job.path;
  kept.status = job.status;
  kept.context = job.context;
  kept.file = std::move(job.file);
  kept_open_.push_back(std::move(kept));
}

// After the transaction was undone, or not: what stays in the slot is settled when this worker is gone.
void EndingPolicy::give_back_from(const Job& job, const Result<void>& undone, End& end) {
  if (!undone) {
    end.reason += "; " + undone.error().text;
    return;
  }
  if (!stands(spool_, job)) return;
  auto back = give_back(spool_, slot_, job);
  if (back) return;
  stuck_ = true;
  end.reason += "; " + back.error().text;
}

bool EndingPolicy::met_full_disk(const Treatment& treatment) { return treatment.met && treatment.met->code == Code::kNoSpace; }

// A delivery was refused for what any file would have met, and the step could do nothing but fail: its file waits. A retry that
// it asks for, and has left, is its own answer.
std::optional<Error> EndingPolicy::refused_elsewhere(const Treatment& treatment, const Job& job, std::int32_t rc) const {
  if (rc == MFDATA_OK || rc == MFDATA_SKIP || gives_back(rc) || !treatment.met || met_full_disk(treatment)) return std::nullopt;
  if (rc == MFDATA_RETRY && next_attempt(treatment, job)) return std::nullopt;
  return treatment.met;
}

// Room may come between the failure of a step and the look that follows: after a full disk it is looked before as well.
void EndingPolicy::begin() {
  full_before_ = was_full_ && spool_.disk().nearly_full();
  was_full_ = full_before_;
}

// Before the failure policy is applied: a plugin says that it met a full disk, or writes by itself and says that the file
// failed. A retry that it asks for, and has left, is its own answer to that.
bool EndingPolicy::failed_for_room(const Treatment& treatment, const Job& job, std::int32_t rc) {
  if (rc == MFDATA_OK || rc == MFDATA_SKIP || gives_back(rc)) return false;
  if (rc == MFDATA_RETRY && next_attempt(treatment, job)) return false;
  const bool full = rc == MFDATA_E_FULL || met_full_disk(treatment) || full_before_ || spool_.disk().nearly_full();
  was_full_ = was_full_ || full;
  return full;
}

End EndingPolicy::finish(Treatment& treatment, std::int32_t returned) {
  End end;
  std::int32_t rc = meaning_of(returned);
  unpublished_.clear();
  Result<void> done;
  Job& job = treatment.jobs()[0];
  if (treatment.input_changed(0)) {
    rc = MFDATA_FAIL;
    treatment.reason = kChangedInput;
    auto restored = restore_input(spool_, slot_, job);
    if (!restored) return recover_from(treatment, restored.error(), true);
    if (*restored) treatment.reason = kRemovedInput;
  }
  if ((rc != MFDATA_OK && met_full_disk(treatment)) || failed_for_room(treatment, job, rc)) {
    done = Error{Code::kNoSpace, ENOSPC, "the disk is full: " + treatment.reason};
  } else if (const auto refused = refused_elsewhere(treatment, job, rc)) {
    done = *refused;
  } else if (rc == MFDATA_OK) {
    note_routes(job, treatment.staged(), moves_the_input(treatment.staged()), end);
    plans(job, end);
    done = commit(treatment, end);
  } else if (gives_back(rc)) {
    note_given_back(rc, treatment.retry_delay_ms, treatment.reason, end);
    done = give_back(spool_, slot_, job);
  } else if (rc == MFDATA_SKIP) {
    end.outcome = Outcome::kSkipped;
    end.reason = treatment.reason;
    end.trashed = settings_.step.keep_unmatched;
    end.ended = !end.trashed;
    plans(job, end);
    done = end.trashed ? trash(spool_, slot_, job, note_of(treatment, 0, "unmatched", treatment.reason)) : end_job(job);
  } else if (auto waiting = rc == MFDATA_RETRY ? next_attempt(treatment, job) : std::nullopt) {
    end.outcome = Outcome::kRetried;
    if (treatment.reason.empty() && returned != rc) treatment.reason = "the step returned " + std::to_string(returned);
    end.reason = treatment.reason;
    auto passed = pass_on(spool_, slot_, job, waiting_context(job, *waiting));
    if (!passed) done = passed.error();
    if (done.is(Code::kAttribute)) {
      std::vector<Output> outputs = {waiting_output(job, *waiting)};
      done = run_transaction({&job}, outputs);
    }
  } else {
    if (treatment.reason.empty()) treatment.reason = "the step returned " + std::to_string(returned);
    done = fail(treatment, "failed", end);
  }
  end.unpublished = unpublished_;
  if (!done) end = recover_from(treatment, done.error());
  return end;
}

End EndingPolicy::finish_loop(Treatment& treatment) {
  End end;
  end.outcome = Outcome::kFailed;
  end.trashed = true;
  end.reason = "it made more than " + std::to_string(settings_.step_limit) + " hops: the flow is a loop";
  plans(treatment.jobs()[0], end);
  auto done = trash(spool_, slot_, treatment.jobs()[0], note_of(treatment, 0, "loop", end.reason));
  return done ? end : recover_from(treatment, done.error());
}

Result<void> EndingPolicy::retry_pending() {
  while (!kept_open_.empty()) {
    auto restored = restore_input(spool_, slot_, kept_open_.back());
    if (!restored) return restored.error();
    MFDATA_TRY(give_back(spool_, slot_, kept_open_.back()));
    kept_open_.pop_back();
  }
  if (!pending_ || monotonic_ns() < next_pending_ns_) return pending_is_full_ ? Error{Code::kDestination, 0, pending_problem_} : Result<void>();
  auto rolled = roll_forward_all(spool_, slot_.commit_prefix());
  pending_ = !rolled;
  pending_is_full_ = false;
  next_pending_ns_ = monotonic_ns() + kPendingPause;
  pending_problem_ = rolled ? "" : rolled.error().text;
  if (rolled) return {};
  std::size_t pending = 0;
  auto counted = spool_.disk().visit(layout::kCommit, [&](const std::string& id) {
    pending += id.starts_with(slot_.commit_prefix());
    return pending < kMaxPending;
  });
  pending_is_full_ = !counted || pending >= kMaxPending;
  return pending_is_full_ ? rolled : Result<void>();
}

}  // namespace mfdata
