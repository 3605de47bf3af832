#include "worker/step_runner.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "libmfdata/arrival.hpp"
#include "libmfdata/clock.hpp"
#include "libmfdata/home.hpp"

namespace mfdata {
namespace {

using wire::Outcome;

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kGroupTimeNs = 5'000'000;  // DESIGN, Durability: up to 64 finished files, or what 5 ms brought
constexpr std::size_t kGroupSize = 64;
constexpr std::size_t kRememberedAlone = 10'000;
constexpr std::size_t kGroupOutputs = 512;  // a large fan-out waits for nobody


std::size_t open_descriptors() {
  auto disk = Disk::open("/proc/self");
  auto names = disk ? disk->list("fd") : Result<std::vector<std::string>>(disk.error());
  return names ? names->size() : 0;
}

}  // namespace

Outcome outcome_of(Code code) {
  switch (code) {
    case Code::kGone: return Outcome::kGone;
    case Code::kBusy: return Outcome::kBusy;
    case Code::kRefused: return Outcome::kRefused;
    case Code::kForeign: return Outcome::kForeign;
    case Code::kNoSpace: return Outcome::kNoSpace;
    default: return Outcome::kError;
  }
}

StepRunner::StepRunner(const Spool& spool, const Slot& slot, PluginHost& host, Channel& channel, const mfdata_step& step, const Soundness& soundness)
    : spool_(spool),
      slot_(slot),
      host_(host),
      settings_(host.settings()),
      channel_(channel),
      soundness_(soundness),
      instance_(host, step),
      treatment_(std::make_unique<Treatment>(spool, slot, settings_)),
      policy_(spool, slot, settings_) {
  rlimit limit;
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) open_files_limit_ = limit.rlim_cur;
  group_limit_ = std::clamp<std::size_t>(open_files_limit_ / 16, 1, kGroupSize);  // a file that waits is open
}

// A plugin that leaks is replaced before it hits a limit, while no file is in hand. Looking costs some microseconds: a
// generous limit on descriptors is looked at now and then.
bool StepRunner::leaks() {
  constexpr double kShare = 0.8;
  if (treated_ == leaks_looked_for_) return false;
  leaks_looked_for_ = treated_;
  if (descriptors_used_up_) {
    host_.write_log(MFDATA_LOG_WARNING, "descriptors leak: one call has left none of " + std::to_string(open_files_limit_) +
                                            " (rlimit_nofile); this worker is replaced");
    return true;
  }
  if (treated_ - descriptors_counted_ >= std::clamp<std::uint64_t>(open_files_limit_ / 64, 1, 32)) {
    descriptors_counted_ = treated_;
    const std::size_t open = open_descriptors();
    if (static_cast<double>(open) > kShare * static_cast<double>(open_files_limit_)) {
      host_.write_log(MFDATA_LOG_WARNING, "descriptors leak: " + std::to_string(open) + " of " + std::to_string(open_files_limit_) +
                                              " (rlimit_nofile) are open; this worker is replaced");
      return true;
    }
  }
  const std::uint64_t limit = settings_.step.limits.address_space;
  if (limit == 0) return false;
  const auto text = small_file("/proc/self/statm");
  const double bytes = text ? std::strtod(text->c_str(), nullptr) * static_cast<double>(::sysconf(_SC_PAGESIZE)) : 0;
  if (bytes <= kShare * static_cast<double>(limit)) return false;
  host_.write_log(MFDATA_LOG_WARNING, "memory leaks: " + std::to_string(static_cast<std::uint64_t>(bytes)) + " of " + std::to_string(limit) +
                                          " bytes (rlimit_as); this worker is replaced");
  return true;
}

// Right after a call, while its input is open: that one descriptor would be free later, and hide that there is no other.
void StepRunner::look_for_descriptors() {
  const FileDescriptor another(::fcntl(spool_.disk().descriptor(), F_DUPFD_CLOEXEC, 0));
  descriptors_used_up_ = descriptors_used_up_ || (!another && errno == EMFILE);
}

// This worker treats no more files, and has said why in the log.
bool StepRunner::is_used_up() {
  const bool treated = treated_ != leaks_looked_for_;
  if (leaks()) return true;
  if (policy_.stuck()) {
    host_.write_log(MFDATA_LOG_WARNING, "files could not be given back to the step: this worker is replaced, which settles them");
    return true;
  }
  const std::string limit = treated ? soundness_.lowered_limit() : "";
  if (!limit.empty()) host_.write_log(MFDATA_LOG_ERROR, limit + ": this worker is replaced");
  return !limit.empty();
}

// After an error of the system. What a plugin has done to its process is no trouble of the file that meets it: nothing of it is
// kept, and the file in hand, if any, is what the plugin did it with.
void StepRunner::end_if_spoiled() {
  if (const std::string why = soundness_.trouble(); !why.empty()) end_as_spoiled(why);
}

void StepRunner::end_if_spoiled_at(const Job& job) {
  end_if_spoiled();
  struct stat now {};
  const bool same = ::fstat(job.file.get(), &now) == 0 && now.st_ino == job.status.st_ino && now.st_dev == job.status.st_dev;
  if (job.file && !same) end_as_spoiled("the plugin has closed a descriptor that is not its own, of the input");
}

void StepRunner::end_as_spoiled(const std::string& why) {
  if (!channel_.lost()) channel_.flush();
  host_.write_log(MFDATA_LOG_ERROR, why + ": this worker is replaced");
  auto& words = host_.progress().last_words;
  words[why.copy(words, sizeof words - 1)] = 0;
  ::_exit(wire::kSpoiledExit);
}

void StepRunner::say_result(const char* call, mfdata_rc rc, const std::string& reason) {
  host_.write_log(MFDATA_LOG_WARNING, std::string(call) + " returned " + std::to_string(rc) + (reason.empty() ? "" : ": " + reason));
}

int StepRunner::wait_ms() const {
  std::int64_t wait_ns = instance_.ticks() ? kSecond : 10 * kSecond;
  if (!batch_.empty()) wait_ns = std::min(wait_ns, std::max<std::int64_t>(0, batch_due_ns_ - monotonic_ns()));
  return static_cast<int>((wait_ns + 999'999) / 1'000'000);
}

void StepRunner::run() {
  bool used_up = false;
  while (true) {
    if (names_.empty()) {
      end_group();  // nothing more is at hand: nobody waits for 5 ms
      if (channel_.flush_when_quiet() == 0) host_.progress().unreported = 0;
    }
    if (is_used_up()) {  // looked for while nobody waits, where that can be
      used_up = true;
      break;
    }
    // With names at hand the channel is looked at now and then: a stop also comes as a signal.
    const bool idle = names_.empty();
    if (idle || names_.size() % 16 == 0) stopping_ = channel_.receive(names_, idle ? std::max(wait_ms(), 1) : 0) || stopping_;
    if (channel_.lost()) end_as_spoiled(*channel_.lost());
    if (stopping_ || host_.cancelled()) break;
    tick();
    if (!names_.empty()) {
      const wire::JobName name = std::move(names_.front());
      names_.pop_front();
      treat(name);
    }
    if (batch_is_due()) treat_batch();
  }
  end_group();
  if (!batch_.empty()) treat_batch();
  std::string reason;
  if (const mfdata_rc rc = instance_.drain(reason); rc != MFDATA_OK) say_result("drain", rc, reason);
  channel_.flush();
  while (policy_.keeps_open() && !policy_.retry_pending()) ::usleep(100'000);  // what is open here stands nowhere else
  host_.progress().farewell = static_cast<std::uint32_t>(used_up ? wire::Farewell::kReplaced : wire::Farewell::kAsked);
}

void StepRunner::tick() {
  const std::int64_t now = monotonic_ns();
  (void)policy_.retry_pending();
  if (policy_.pending_problem() != pending_told_) {
    pending_told_ = policy_.pending_problem();
    host_.write_log(MFDATA_LOG_WARNING, pending_told_.empty() ? "what had waited to be delivered is delivered" : "a delivery waits: " + pending_told_);
  }
  if (!instance_.ticks() || now - last_tick_ns_ < kSecond) return;
  std::string reason;
  const mfdata_rc rc = instance_.tick(now, last_tick_ns_, reason);
  last_tick_ns_ = now;
  const std::string told = rc == MFDATA_OK ? "" : std::to_string(rc) + reason;
  if (rc != MFDATA_OK && told != tick_told_) say_result("tick", rc, reason);  // each second it says the same
  if (rc == MFDATA_OK && !tick_told_.empty()) host_.write_log(MFDATA_LOG_INFO, "tick returned MFDATA_OK again");
  tick_told_ = told;
}

StepRunner::Taken StepRunner::take(const wire::JobName& name) {
  Taken taken;
  taken.done.id = name.id;
  const auto failed = [&](const Error& error) {
    taken.done.outcome = outcome_of(error.code);
    taken.done.reason = error.text;
  };
  if (name.source >= settings_.sources.size()) {
    taken.done.outcome = Outcome::kGone;
    return taken;
  }
  const std::string& directory = settings_.sources[name.source];
  if (name.source != wire::kStepSource || is_arrival(spool_, directory, name.name)) {
    auto job = accept(spool_, slot_, directory, name.name, ArrivalRules{settings_.max_file_size});
    if (job) {
      taken.job = std::move(*job);
    } else {
      failed(job.error());
    }
    return taken;
  }
  auto claimed = claim(spool_, slot_, name.name);
  if (!claimed) {
    failed(claimed.error());
  } else if (claimed->job) {
    taken.job = std::move(*claimed->job);
  } else {
    taken.done.outcome = Outcome::kSettled;
    taken.done.trashed = claimed->settled != "finished" && claimed->settled != "returned";
    taken.done.reason = claimed->settled;
    if (traced_) trace_settled(name.name, *claimed);
  }
  return taken;
}

void StepRunner::begin_file(std::uint32_t id, std::int64_t now_ns) {
  wire::ProgressPage& page = host_.progress();
  page.job = id;
  page.started_ns = static_cast<std::uint64_t>(now_ns);
}

// Whom the loader charges when this process dies now: Crash::in_hand.
void StepRunner::note_in_hand(const std::string& file) {
  auto& in_hand = host_.progress().in_hand;
  const std::size_t length = file.copy(in_hand, sizeof in_hand - 1);
  in_hand[length] = 0;
}

void StepRunner::report(wire::Done done) {
  const bool treated = done.duration_ns > 0;
  const std::size_t waiting = channel_.report(std::move(done));
  wire::ProgressPage& page = host_.progress();
  page.unreported = waiting == 0 ? 0 : page.unreported + treated;
}

// Which uid an arrival became. Also when it comes from before the step: who accepted it may have died before it said so.
void StepRunner::announce(const Job& job) {
  if (job.context.tags.get("first.core.original_uid") != job.name.uid) return;
  channel_.send(wire::Accepted{job.name.uid, job.status.st_dev, job.status.st_ino, true});
}

// An earlier worker has treated it: it ended when it was claimed.
void StepRunner::trace_settled(const std::string& filename, const Claim& claim) {
  const auto name = SpoolName::parse(filename);
  const bool trashed = claim.settled != "finished" && claim.settled != "returned";
  if (!name || (!trashed && claim.delivered.empty())) return;
  wire::Trace trace;
  trace.uid = name->uid;
  trace.trashed = trashed;
  if (trashed) trace.reason = claim.settled;
  if (trashed) trace.outcome = Outcome::kFailed;
  wire::TracedOutput delivered;
  delivered.uid = name->uid;
  delivered.path = claim.delivered;
  if (!trashed) trace.outputs.push_back(std::move(delivered));
  channel_.send(trace);
}

// Before the result, and at once: what is made of the file may be treated before the results of this worker are sent.
void StepRunner::trace(const Job& job, const End& end, bool planned) {
  wire::Trace trace;
  trace.uid = job.name.uid;
  trace.origin = std::string(job.context.tags.get("first.core.original_uid").value_or(job.name.uid));
  trace.planned = planned;
  trace.outcome = end.outcome;
  trace.trashed = end.trashed;
  trace.reason = end.outcome == Outcome::kOk ? end.unpublished : end.reason;
  std::size_t sent = 0;
  do {
    const std::size_t part = std::min(end.outputs.size() - sent, wire::kMaxTracedOutputs);
    trace.outputs.assign(end.outputs.begin() + static_cast<std::ptrdiff_t>(sent), end.outputs.begin() + static_cast<std::ptrdiff_t>(sent + part));
    for (wire::TracedOutput& output : trace.outputs) {
      if (planned || output.path.empty()) continue;
      if (std::string path = policy_.take_delivered(output.uid); !path.empty()) output.path = std::move(path);
    }
    sent += part;
    trace.more = sent < end.outputs.size();
    channel_.send(trace);
  } while (trace.more);
}

wire::Done StepRunner::done_of(std::uint32_t id, const Job& job, End end, std::int64_t duration_ns) {
  if (traced_) trace(job, end, false);
  wire::Done done;
  done.id = id;
  done.outcome = end.outcome;
  done.trashed = end.trashed;
  done.ended = end.ended;
  done.bytes = static_cast<std::uint64_t>(job.status.st_size);
  done.duration_ns = static_cast<std::uint64_t>(duration_ns);
  const std::int64_t age = clock_ns(CLOCK_REALTIME) / 1'000'000 - uid_time_ms(job.name.uid);
  done.age_ms = static_cast<std::uint64_t>(std::max<std::int64_t>(0, age));
  done.pause_ms = end.pause_ms;
  if (end.outcome == Outcome::kYielded) rests_until_ns_ = std::max(rests_until_ns_, monotonic_ns() + std::int64_t{end.pause_ms} * 1'000'000);
  done.routed = std::move(end.routed);
  done.reason = std::move(end.reason);
  if (end.outcome == Outcome::kNoSpace || end.outcome == Outcome::kError) done.waits_as = job.name.spell();
  return done;
}

void StepRunner::treat(const wire::JobName& name) {
  const bool due = !group_.empty() && monotonic_ns() - group_.front().began_ns >= kGroupTimeNs;
  if (due || name.alone) end_group();  // nobody waits for a file that may crash again
  if (auto published = policy_.retry_pending(); !published) {
    wire::Done waits;
    waits.id = name.id;
    waits.outcome = published.is(Code::kNoSpace) ? Outcome::kNoSpace : Outcome::kError;
    waits.reason = "an earlier file cannot be delivered yet: " + published.error().text;
    if (!policy_.keeps_open()) end_if_spoiled();
    return report(std::move(waits));
  }
  const std::int64_t began = monotonic_ns();
  begin_file(name.id, began);
  if (traced_ != name.traced) {
    traced_ = name.traced;
    policy_.trace(traced_ ? [this](const Job& job, const End& end) { trace(job, end, true); } : EndingPolicy::Planned());
  }
  if (name.id <= host_.progress().revoked_up_to || began < rests_until_ns_) {
    host_.progress().started_ns = 0;
    wire::Done revoked;
    revoked.id = name.id;
    revoked.outcome = Outcome::kRevoked;
    return report(std::move(revoked));
  }
  note_in_hand(name.source == wire::kStepSource && SpoolName::parse(name.name) ? name.name : "");
  Taken taken = take(name);
  if (taken.job) {
    if (traced_) announce(*taken.job);
    treat_taken(name, std::move(*taken.job), began);
  } else {
    const bool strange = taken.done.outcome == Outcome::kError || (treated_ > 0 && taken.done.outcome == Outcome::kGone);
    if (strange) {
      note_in_hand("");  // an earlier call has done it, and this file is where it was
      host_.progress().started_ns = 0;
      end_if_spoiled();
    }
    report(std::move(taken.done));
  }
  note_in_hand("");
  host_.progress().started_ns = 0;
}

void StepRunner::treat_taken(const wire::JobName& name, Job job, std::int64_t began) {
  note_in_hand(job.name.spell());
  if (Treatment::next_hop(job.context.tags) > settings_.step_limit) return end_loop(name.id, std::move(job), began);
  const bool alone = name.alone || job.name.crashes > 0;  // a batch that crashed is tried again one file at a time
  if (!instance_.takes_batches()) return treat_one(name, std::move(job), began, alone);
  host_.progress().started_ns = 0;
  if (batch_.empty()) batch_due_ns_ = began + static_cast<std::int64_t>(settings_.step.batch_max_wait_s * 1e9);
  if (alone && !batch_.empty()) treat_batch();
  batch_.push_back(std::move(job));
  batch_ids_.push_back(name.id);
  batch_last_chance_ = alone && name.last_chance;
  if (alone) treat_batch();
}

std::int64_t StepRunner::deadline(std::int64_t began) const {
  return settings_.trial.deadline_passed ? began : began + static_cast<std::int64_t>(settings_.step.timeout_s * 1e9);
}

void StepRunner::treat_one(const wire::JobName& name, Job job, std::int64_t began, bool alone) {
  alone = alone_.erase(job.name.uid) > 0 || alone;
  std::vector<Job> jobs;
  jobs.push_back(std::move(job));
  treatment_->begin(std::move(jobs), "");
  treatment_->last_chance = name.last_chance;
  policy_.begin();
  const mfdata_rc rc = instance_.process(*treatment_, deadline(began));
  look_for_descriptors();
  channel_.send_metrics(host_.take_metrics());  // before the result: whoever sees that sees them
  if (!alone && policy_.shares_commit(*treatment_, rc)) {
    end_if_spoiled();  // while it is known whose call it was
    host_.progress().started_ns = 0;  // the time of a common commit is nobody's alone
    join_group(name.id, began);
  } else {
    End end = policy_.finish(*treatment_, rc);
    if (end.outcome == Outcome::kError) end_if_spoiled_at(treatment_->jobs()[0]);
    report(done_of(name.id, treatment_->jobs()[0], std::move(end), monotonic_ns() - began));
    treatment_->reset();
  }
  ++treated_;
}

// A file that ends in a transaction waits for others that do, so that they share its system calls and its fsyncs.
void StepRunner::join_group(std::uint32_t id, std::int64_t began) {
  treatment_->clear_scratch();
  ++host_.progress().unreported;
  const std::int64_t now = monotonic_ns();
  group_outputs_ += treatment_->staged().size();
  group_.push_back({std::move(treatment_), id, began, now});
  if (spare_.empty()) {
    treatment_ = std::make_unique<Treatment>(spool_, slot_, settings_);
  } else {
    treatment_ = std::move(spare_.back());
    spare_.pop_back();
  }
  if (group_.size() >= group_limit_ || group_outputs_ >= kGroupOutputs || now - group_.front().began_ns >= kGroupTimeNs) end_group();
}

void StepRunner::end_group() {
  std::vector<Finished> group = std::exchange(group_, {});
  group_outputs_ = 0;
  // One whose input was changed while it waited ends by itself, with that reason.
  const auto changed = group.size() == 1 ? group.begin() : std::stable_partition(group.begin(), group.end(), [](const Finished& finished) {
    return !finished.treatment->input_changed(0);
  });
  const std::int64_t began = monotonic_ns();
  std::vector<Treatment*> treatments;
  for (auto finished = group.begin(); finished != changed; ++finished) treatments.push_back(finished->treatment.get());
  std::vector<End> ends;
  if (treatments.size() > 1) {
    note_in_hand(kEveryFile);
    ends = policy_.finish_group(treatments);
    if (ends[0].outcome != Outcome::kOk) {  // one of them may be the reason
      if (ends[0].outcome == Outcome::kError) end_if_spoiled();
      for (Treatment* treatment : treatments) alone_.insert(treatment->jobs()[0].name.uid);
    }
  }
  for (std::size_t i = ends.size(); i < group.size(); ++i) {
    note_in_hand(group[i].treatment->jobs()[0].name.spell());
    ends.push_back(policy_.finish(*group[i].treatment, MFDATA_OK));
  }
  note_in_hand("");
  for (std::size_t i = 0; i < group.size(); ++i) {
    Finished& finished = group[i];
    // The common end is a part of the time of each.
    const std::int64_t share = (monotonic_ns() - began) / static_cast<std::int64_t>(group.size());
    report(done_of(finished.id, finished.treatment->jobs()[0], std::move(ends[i]), finished.ended_ns - finished.began_ns + share));
    finished.treatment->reset();
    spare_.push_back(std::move(finished.treatment));
  }
  if (alone_.size() > kRememberedAlone) alone_.clear();
}

// The loop guard: a file that has made too many hops is not treated.
void StepRunner::end_loop(std::uint32_t id, Job job, std::int64_t began) {
  std::vector<Job> jobs;
  jobs.push_back(std::move(job));
  treatment_->begin(std::move(jobs), "");
  End end = policy_.finish_loop(*treatment_);
  report(done_of(id, treatment_->jobs()[0], std::move(end), monotonic_ns() - began));
  treatment_->reset();
}

bool StepRunner::batch_is_due() const {
  return !batch_.empty() && (batch_.size() >= settings_.step.batch_max_size || monotonic_ns() >= batch_due_ns_);
}

void StepRunner::treat_batch() {
  const std::int64_t began = monotonic_ns();
  begin_file(batch_ids_.back(), began);  // none of the batch can be taken back
  note_in_hand(batch_.size() == 1 ? batch_.front().name.spell() : kEveryFile);
  std::vector<std::uint32_t> ids = std::exchange(batch_ids_, {});
  treatment_->begin(std::exchange(batch_, {}), fresh_uid());
  treatment_->last_chance = std::exchange(batch_last_chance_, false);
  policy_.begin();
  const std::vector<std::int32_t> results = instance_.process_batch(*treatment_, deadline(began));
  look_for_descriptors();
  channel_.send_metrics(host_.take_metrics());
  std::vector<End> ends = policy_.finish_batch(*treatment_, results);
  for (std::size_t i = 0; i < ends.size(); ++i) {
    if (ends[i].outcome == Outcome::kError) end_if_spoiled_at(treatment_->jobs()[i]);
  }
  ++treated_;
  for (std::size_t i = 0; i < ids.size(); ++i) report(done_of(ids[i], treatment_->jobs()[i], std::move(ends[i]), monotonic_ns() - began));
  treatment_->reset();
  note_in_hand("");
  host_.progress().started_ns = 0;
}

}  // namespace mfdata
