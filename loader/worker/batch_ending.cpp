// How a batch ends: all its files in one transaction, each by its own result.
#include <mfdata/plugin.h>

#include <algorithm>
#include <cerrno>

#include "libmfdata/ending.hpp"
#include "libmfdata/trash.hpp"
#include "worker/ending_policy.hpp"

namespace mfdata {
namespace {

using wire::Outcome;

// The reason of a file whose batch gives none.
std::string said_nothing(std::int32_t rc) {
  return rc == MFDATA_FAIL ? "the step failed this file of its batch" : "the step returned " + std::to_string(rc) + " for this file of its batch";
}

}  // namespace

Result<void> EndingPolicy::plan_trash(Treatment& treatment, std::size_t index, const std::string& reason, const std::string& text,
                                      std::vector<Output>& outputs) const {
  const Job& job = treatment.jobs()[index];
  const TrashNote note = note_of(treatment, index, reason, text);
  const std::string directory = layout::trash_directory(settings_.step.dotted());
  outputs.push_back({Output::Content::kText, "", trash_record(slot_, job, note), directory, job.name.uid + ".json", {}});
  outputs.push_back({Output::Content::kText, "", tags_file_text(*note.tags), directory, job.name.uid + ".tags", {}});
  outputs.push_back({Output::Content::kInput, job.path, "", directory, job.name.without_crashes().spell(), {}});
  return {};
}

// As it was, for another attempt.
Output EndingPolicy::back_before_step(const Job& job) const {
  return {Output::Content::kInput, job.path, "", layout::step_directory(settings_.step.dotted()), job.name.spell(), {}};
}

Result<void> EndingPolicy::plan_failure(Treatment& treatment, std::size_t index, End& end, std::vector<Output>& outputs) const {
  const Job& job = treatment.jobs()[index];
  end.outcome = Outcome::kFailed;
  end.reason = treatment.reason;
  if (settings_.step.failure_policy == FailurePolicy::kDelete) {
    end.ended = true;
    return {};
  }
  if (settings_.step.failure_policy == FailurePolicy::kMove) {
    const std::size_t before = treatment.staged().size();
    const auto staged = stage_failure(treatment, index);
    if (staged) {
      const StagedOutput output = treatment.staged().back();
      treatment.staged().resize(before);
      note_routes(job, {output}, true, end);
      return add_outputs(job, output, 0, true, outputs);
    }
    if (waits_for_the_system(staged.error())) {  // this file alone goes back before its step
      end.outcome = staged.is(Code::kNoSpace) ? Outcome::kNoSpace : Outcome::kError;
      end.reason = staged.error().text;
      outputs.push_back(back_before_step(job));
      return {};
    }
    end.reason = staged.error().text;
  }
  end.trashed = true;
  return plan_trash(treatment, index, "failed", end.reason, outputs);
}

// A file of the batch that the step changed or removed has failed, whatever it says. The new results, and the reason of each
// such file.
Result<std::vector<const char*>> EndingPolicy::fail_changed(Treatment& treatment, std::vector<std::int32_t>& results) const {
  std::vector<const char*> reasons(results.size(), nullptr);
  for (std::size_t i = 0; i < results.size(); ++i) {
    if (!treatment.input_changed(i)) continue;
    auto restored = restore_input(spool_, slot_, treatment.jobs()[i]);
    if (!restored) return restored.error();
    reasons[i] = *restored ? kRemovedInput : kChangedInput;
    results[i] = MFDATA_FAIL;
  }
  return reasons;
}

std::vector<End> EndingPolicy::finish_batch(Treatment& treatment, std::vector<std::int32_t> results) {
  std::vector<Job>& jobs = treatment.jobs();
  const std::vector<std::int32_t> returned = results;
  std::transform(results.begin(), results.end(), results.begin(), meaning_of);
  std::vector<End> ends(jobs.size());
  const auto changed = fail_changed(treatment, results);
  const std::size_t first_ok = static_cast<std::size_t>(std::find(results.begin(), results.end(), MFDATA_OK) - results.begin());
  std::vector<Output> outputs;
  const std::vector<StagedOutput> staged = treatment.staged();
  const std::string reason_of_all = treatment.reason;
  const std::optional<std::int64_t> delay_of_all = treatment.retry_delay_ms;
  Result<void> planned = changed ? Result<void>() : changed.error();
  for (std::size_t i = 0; i < jobs.size() && planned; ++i) {
    if (failed_for_room(treatment, jobs[i], results[i])) planned = Error{Code::kNoSpace, ENOSPC, "the disk is full: " + treatment.reason};
    if (const auto refused = refused_elsewhere(treatment, jobs[i], results[i]); refused && planned) planned = *refused;
  }
  for (std::size_t i = 0; i < jobs.size() && planned; ++i) {
    Job& job = jobs[i];
    const std::int32_t rc = results[i];
    const mfdata_file& file = *treatment.input(i);
    treatment.reason = (*changed)[i] ? (*changed)[i] : file.reason.empty() ? reason_of_all : file.reason;
    if (treatment.reason.empty() && returned[i] != rc) treatment.reason = said_nothing(returned[i]);
    treatment.retry_delay_ms = file.retry_delay_ms ? file.retry_delay_ms : delay_of_all;
    ends[i].reason = rc == MFDATA_OK ? "" : treatment.reason;
    if (rc == MFDATA_OK) {
      std::vector<StagedOutput> mine;
      std::copy_if(staged.begin(), staged.end(), std::back_inserter(mine),
                   [&](const StagedOutput& output) { return output.file->parent == i || (output.file->parent == kWholeBatch && i == first_ok); });
      const bool keeps_uid = mine.size() == 1 && mine[0].file->input >= 0 && mine[0].op == Op::kMove;
      note_routes(job, mine, keeps_uid, ends[i]);
      for (std::size_t k = 0; k < mine.size() && planned; ++k) planned = add_outputs(job, mine[k], k, keeps_uid, outputs);
    } else if (gives_back(rc)) {
      note_given_back(rc, treatment.retry_delay_ms, treatment.reason, ends[i]);
      outputs.push_back(back_before_step(job));
    } else if (rc == MFDATA_SKIP) {
      ends[i].outcome = Outcome::kSkipped;
      ends[i].trashed = settings_.step.keep_unmatched;
      ends[i].ended = !ends[i].trashed;
      if (ends[i].trashed) planned = plan_trash(treatment, i, "unmatched", treatment.reason, outputs);
    } else if (auto waiting = rc == MFDATA_RETRY ? next_attempt(treatment, job) : std::nullopt) {
      ends[i].outcome = Outcome::kRetried;
      outputs.push_back(waiting_output(job, *waiting));
    } else {
      if (treatment.reason.empty()) treatment.reason = said_nothing(returned[i]);
      planned = plan_failure(treatment, i, ends[i], outputs);
    }
  }
  std::vector<Job*> all;
  for (Job& job : jobs) all.push_back(&job);
  for (std::size_t i = 0; i < jobs.size() && planned; ++i) plans(jobs[i], ends[i]);
  if (planned) planned = run_transaction(all, outputs);
  for (std::size_t i = 0; i < ends.size() && planned; ++i) ends[i].unpublished = unpublished_;
  if (!planned) std::fill(ends.begin(), ends.end(), recover_from(treatment, planned.error(), !changed));
  return ends;
}

}  // namespace mfdata
