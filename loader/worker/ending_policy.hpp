// What becomes of the files of a treatment: the result of the step, and the policies of its configuration, turned
// into one end each (libmfdata: ending, transaction, trash). SEMANTICS section 4, DESIGN section 3.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <vector>

#include "wire/worker_protocol.hpp"
#include "libmfdata/transaction.hpp"
#include "worker/treatment.hpp"

namespace mfdata {

struct End {
  wire::Outcome outcome = wire::Outcome::kOk;
  bool trashed = false;
  bool ended = false;
  std::uint32_t pause_ms = 0;  // kYielded
  std::vector<std::uint16_t> routed;
  std::vector<wire::TracedOutput> outputs;  // while they are traced
  std::string unpublished;                  // why what is committed waits to be delivered
  std::string reason;
};

// The step wants the file back in the queue, uncharged: cancelled, or it yields.
bool gives_back(std::int32_t rc);
void note_given_back(std::int32_t rc, std::optional<std::int64_t> delay_ms, const std::string& reason, End& end);

inline constexpr const char* kChangedInput = "the step changed the content of its input, which it may only read";
inline constexpr const char* kRemovedInput = "the step removed, moved or replaced its input, which it may only read";

// What a result of a step means: an error of the system that it hands on is a retry, as when plugin.hpp catches it.
std::int32_t meaning_of(std::int32_t rc);

class EndingPolicy {
 public:
  // Commits that an earlier worker of this slot left are published with the first call of retry_pending.
  EndingPolicy(const Spool& spool, const Slot& slot, const wire::WorkerSettings& settings)
      : spool_(spool), slot_(slot), settings_(settings), pending_(!spool.off(Protection::kRollAtDeath)) {}

  // Before a treatment.
  void begin();
  // Ends the only job of the treatment after the step returned `rc`.
  End finish(Treatment& treatment, std::int32_t rc);
  // True when the treatment of one job would end in a transaction of its own: `finish_group` ends several in one.
  bool shares_commit(Treatment& treatment, std::int32_t rc) const;
  // Ends such treatments, all or none: on an error each file is back before its step, to be treated again.
  std::vector<End> finish_group(const std::vector<Treatment*>& treatments);
  // Ends all jobs of a batch in one transaction; one result for each.
  std::vector<End> finish_batch(Treatment& treatment, std::vector<std::int32_t> results);
  // The loop guard: to trash.
  End finish_loop(Treatment& treatment);

  // A commit that could not be published yet (a full disk or a missing directory elsewhere), or an input that could not be made
  // anew, is tried again, about once a second. The error: nothing more may be processed until it could be done; a few commits
  // that wait hold up nobody.
  Result<void> retry_pending();
  // Why the last commit that waits does; empty: none.
  const std::string& pending_problem() const { return pending_problem_; }

  // From now on each End says under which uids its file goes on, and `before_commit` is told of each that is about to come.
  using Planned = std::function<void(const Job&, const End&)>;
  void trace(Planned before_commit);
  // Where an output stands that was delivered since it was traced, told once; empty: it was not.
  std::string take_delivered(const std::string& uid);

  // Files stand in the slot that could not be given back: they wait for the end of this worker.
  bool stuck() const { return stuck_; }
  // The only copy of a file is open here.
  bool keeps_open() const { return !kept_open_.empty(); }

 private:
  struct Waiting {
    std::int64_t due_ms = 0;
    TagSet tags;
  };

  // Where the outputs of the job go; without any to a step the file has ended.
  void note_routes(const Job& job, const std::vector<StagedOutput>& staged, bool keeps_uid, End& end) const;
  void plans(const Job& job, const End& end) const {
    if (before_commit_) before_commit_(job, end);
  }
  Result<void> commit(Treatment& treatment, End& end);
  Result<void> commit_input(const StagedOutput& output, Job& job, End& end);
  Result<void> plan(Treatment& treatment, std::vector<Output>& outputs) const;
  Result<void> plan_delivery(const StagedOutput& staged, Job& job, std::vector<Output>& outputs) const;
  Result<void> run_transaction(const std::vector<Job*>& jobs, std::vector<Output>& outputs);
  Result<void> add_outputs(const Job& job, const StagedOutput& staged, std::size_t index, bool keeps_uid,
                           std::vector<Output>& outputs) const;
  Context waiting_context(const Job& job, const Waiting& waiting) const;
  Output waiting_output(const Job& job, const Waiting& waiting) const;
  Result<void> fail(Treatment& treatment, const std::string& reason, End& end);
  Result<void> stage_failure(Treatment& treatment, std::size_t index) const;
  static bool waits_for_the_system(const Error& error);
  Result<void> end_job(Job& job);
  std::optional<Waiting> next_attempt(const Treatment& treatment, const Job& job) const;
  Result<void> plan_failure(Treatment& treatment, std::size_t index, End& end, std::vector<Output>& outputs) const;
  Result<std::vector<const char*>> fail_changed(Treatment& treatment, std::vector<std::int32_t>& results) const;
  Output back_before_step(const Job& job) const;
  Result<void> plan_trash(Treatment& treatment, std::size_t index, const std::string& reason, const std::string& text,
                          std::vector<Output>& outputs) const;
  // `lost_input`: an input may not stand where it did.
  End recover_from(Treatment& treatment, const Error& error, bool lost_input = false);
  void bring_back(Treatment& treatment, std::size_t index, End& end);
  void give_back_from(const Job& job, const Result<void>& undone, End& end);
  Result<void> fits_elsewhere(const Job& job, const StagedOutput& staged) const;
  static bool met_full_disk(const Treatment& treatment);
  std::optional<Error> refused_elsewhere(const Treatment& treatment, const Job& job, std::int32_t rc) const;
  bool failed_for_room(const Treatment& treatment, const Job& job, std::int32_t rc);
  TrashNote note_of(Treatment& treatment, std::size_t index, const std::string& reason, const std::string& text) const;

  const Spool& spool_;
  const Slot& slot_;
  const wire::WorkerSettings& settings_;
  bool pending_;
  bool pending_is_full_ = false;
  std::int64_t next_pending_ns_ = 0;
  std::string pending_problem_;
  bool stuck_ = false;
  bool was_full_ = false, full_before_ = false;  // the disk, when a step failed last; when the treatment began
  Planned before_commit_;  // empty: nothing is traced
  std::string unpublished_;                      // of the last transaction
  std::map<std::string, std::string> delivered_;  // uid, path
  std::vector<Job> kept_open_;             // of inputs that a step removed, and that cannot be made anew yet: their only copy
};

}  // namespace mfdata
