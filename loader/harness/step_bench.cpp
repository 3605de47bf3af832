#include "harness/step_bench.hpp"

#include "libmfdata/claim.hpp"
#include "libmfdata/clock.hpp"

namespace mfdata {
namespace {

using wire::Outcome;

std::string word_of(Outcome outcome) {
  if (const char* word = wire::result_word(outcome)) return word;
  if (outcome == Outcome::kYielded) return "yielded";
  return outcome == Outcome::kCancelled ? "cancelled" : outcome == Outcome::kNoSpace ? "full" : "error";
}

std::string fate_of(const End& end) {
  if (end.trashed) return "trash";
  switch (end.outcome) {
    case Outcome::kOk:
    case Outcome::kFailed:
    case Outcome::kSkipped:
    case Outcome::kSettled: return "done";
    case Outcome::kRetried: return "retry";
    default: return "queue";
  }
}

// They come about with the first file that succeeds, and are named after it (EndingPolicy::finish_batch).
void note_outputs_of_all(Treatment& treatment, const std::vector<SpoolName>& names, const std::vector<End>& ends, Offspring& offspring) {
  std::size_t first = 0, output = 0;
  while (first < ends.size() && ends[first].outcome != Outcome::kOk) ++first;
  for (const StagedOutput& staged : treatment.staged()) {
    if (first == ends.size() || (staged.file->parent != first && staged.file->parent != kWholeBatch)) continue;
    if (staged.file->parent == kWholeBatch) offspring.add_of_all(names[first], output);
    ++output;
  }
}

}  // namespace

StepBench::StepBench(TestRoom& room, wire::WorkerSettings settings, const mfdata_step& step)
    : room_(room),
      settings_(std::move(settings)),
      slot_{settings_.step.dotted(), settings_.slot},
      host_(room.spool(), settings_, room.page(), room.surroundings()),
      instance_(host_, step),
      treatment_(room.spool(), slot_, settings_),
      policy_(room.spool(), slot_, settings_) {}

Result<void> StepBench::create() {
  if (created_) return {};
  host_.create_error().clear();
  MFDATA_TRY(instance_.create());
  created_ = true;
  return {};
}

std::int64_t StepBench::due_ms(const std::string& uid) const {
  auto names = room_.spool().disk().list(layout::waiting_directory(slot_.step));
  for (const std::string& filename : names ? *names : std::vector<std::string>()) {
    const auto name = WaitingName::parse(filename);
    if (name && name->name.uid == uid) return name->due_ms;
  }
  return 0;
}

void StepBench::add_end(std::uint32_t input, const std::string& uid, mfdata_rc code, const End& end) {
  FileEnd& shown = ends_[input];
  shown = {code, word_of(end.outcome), end.reason, fate_of(end), 0};
  if (shown.fate == "retry") shown.retry_ms = std::max<std::int64_t>(0, due_ms(uid) - real_ms());
  if (shown.fate == "retry" || shown.fate == "queue") left_.push_back(uid);
}

void StepBench::run(const std::vector<std::string>& uids, KeptResult& result) {
  ends_.assign(uids.size(), {});
  left_.clear();
  std::vector<Job> jobs;
  std::vector<std::uint32_t> inputs;
  const auto created = create();
  if (!created) left_ = uids;
  for (std::uint32_t input = 0; input < uids.size(); ++input) {
    if (!created) {
      ends_[input] = {MFDATA_FAIL, "not started", created.error().text, "queue", 0};
      continue;
    }
    Result<Claim> claimed = Error{Code::kGone, 0, "the file is not there any more"};
    for (const SpoolName& name : room_.shelf().waiting(settings_.step.slashed())) {
      if (name.uid == uids[input]) claimed = claim(room_.spool(), slot_, name.spell());
    }
    if (!claimed || !claimed->job) {
      ends_[input] =
          claimed ? FileEnd{MFDATA_FAIL, "settled", claimed->settled, "trash", 0} : FileEnd{MFDATA_FAIL, "error", claimed.error().text, "queue", 0};
      continue;
    }
    jobs.push_back(std::move(*claimed->job));
    inputs.push_back(input);
    const bool waits = instance_.takes_batches() && jobs.size() < settings_.step.batch_max_size;
    if (!waits) run_taken(std::exchange(jobs, {}), std::exchange(inputs, {}), result);
  }
  if (!jobs.empty()) run_taken(std::move(jobs), inputs, result);
  for (const FileEnd& end : ends_) result.add(end);
  room_.finish(result, host_.take_metrics());
}

std::vector<End> StepBench::call(std::vector<std::int32_t>& codes, std::optional<DeliveryWatch>& watch, KeptResult& result) {
  const double timeout_s = room_.timeout_s(settings_.step.timeout_s);
  const std::int64_t began = monotonic_ns(), deadline = began + static_cast<std::int64_t>(timeout_s * 1e9);
  const bool batch = instance_.takes_batches();
  if (!batch && Treatment::next_hop(treatment_.jobs()[0].context.tags) > settings_.step_limit) {
    watch.emplace(room_.spool(), treatment_, settings_.step);
    return {policy_.finish_loop(treatment_)};
  }
  codes = batch ? instance_.process_batch(treatment_, deadline) : std::vector<std::int32_t>{instance_.process(treatment_, deadline)};
  const std::int64_t ended = monotonic_ns();
  result.add_duration(ended - began);
  if (ended > deadline) result.note_late();
  watch.emplace(room_.spool(), treatment_, settings_.step);
  if (batch) return policy_.finish_batch(treatment_, codes);
  return {policy_.finish(treatment_, codes[0])};
}

void StepBench::run_taken(std::vector<Job> jobs, const std::vector<std::uint32_t>& inputs, KeptResult& result) {
  std::vector<SpoolName> names;
  for (const Job& job : jobs) names.push_back(job.name);
  treatment_.begin(std::move(jobs), instance_.takes_batches() ? fresh_uid() : "");
  std::vector<std::int32_t> codes(names.size(), MFDATA_FAIL);
  std::optional<DeliveryWatch> watch;
  const std::vector<End> ends = call(codes, watch, result);
  Offspring offspring;
  for (std::size_t i = 0; i < names.size(); ++i) {
    add_end(inputs[i], names[i].uid, codes[i], ends[i]);
    if (ends_[inputs[i]].fate == "done") offspring.add(inputs[i], names[i], treatment_.staged().size());
  }
  if (names.size() > 1) note_outputs_of_all(treatment_, names, ends, offspring);
  std::vector<CollectedFile> files = room_.shelf().collect(settings_.targets, [&](const std::string& uid) { return offspring.knows(uid); });
  for (CollectedFile& file : files) offspring.place(file);
  for (CollectedFile& file : watch->delivered(offspring)) files.push_back(std::move(file));
  for (CollectedFile& file : files) {
    if (file.input == kNoInput && inputs.size() == 1) file.input = inputs[0];
  }
  sort(files);
  for (const CollectedFile& file : files) result.add(file);
  treatment_.reset();
}

void StepBench::tick(KeptResult& result) {
  const std::int64_t began = monotonic_ns();
  if (auto created = create(); !created) {
    result.set_outcome("not started", created.error().text);
  } else {
    std::string reason;
    const mfdata_rc rc = instance_.tick(began, std::exchange(last_tick_ns_, began), reason);
    if (rc != MFDATA_OK) result.set_outcome("failed", reason);
    result.add_duration(monotonic_ns() - began);
  }
  room_.finish(result, host_.take_metrics());
}

void StepBench::drain(KeptResult& result) {
  const std::int64_t began = monotonic_ns();
  std::string reason;
  if (created_ && instance_.drain(reason) != MFDATA_OK) result.set_outcome("failed", reason);
  result.add_duration(monotonic_ns() - began);
  room_.finish(result, host_.take_metrics());
}

}  // namespace mfdata
