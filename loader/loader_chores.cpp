// The loader's children: their ends, orphans, and the chores that run in a process of their own.
#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdlib>

#include "libmfdata/child_process.hpp"
#include "libmfdata/clock.hpp"
#include "loader.hpp"

namespace mfdata {
namespace {

constexpr std::int64_t kCollectionInterval = 60 * kSecond;
constexpr std::int64_t kMaxBackoff = 60 * kSecond;
constexpr std::int64_t kMinRecount = 2 * kSecond;
constexpr const char* kTrashOfStep = "trash_files";  // gauge of a collection
constexpr std::int64_t kRecountShare = 50;  // of the time of a collection, between two
constexpr std::size_t kMaxForeign = 10'000;
constexpr std::int64_t kShortQuiet = 5 * kSecond;
constexpr std::int64_t kAcceptsAgain = 2 * kSecond;

}  // namespace

// One at a time; what is due first: a collection also when foreign files never cease to come.
void Loader::next_chore() {
  const std::int64_t now = EventLoop::now_ns();
  if (chore_) return chore_->check(now);
  if (stopping_) return;
  if (now >= next_collection_ns_) {  // each minute, sooner when something went to trash
    next_collection_ns_ = now + kCollectionInterval;
    collection_began_ns_ = now;
    trash_moved_ = trash_counted_ = false;
    trash_now_.clear();
    look_at_clock();
    start_chore(kNoStep, wire::Task::kCollect, {}, {});
  }
  if (!chore_ && std::exchange(strays_due_, false)) roll_stray_commits();
  if (!chore_ && accepts_left(now)) {
    chore_files_.clear();
    chore_arrivals_.clear();
    start_chore(steps_.size() - 1, wire::Task::kAcceptForeign, {}, {});
  }
  if (!chore_) check_foreign();
}

// Wall time that outran the time since the start of the machine makes no file old: what is collected by age waits. The collection
// looks at the same file.
void Loader::look_at_clock() {
  const auto now = sdk::ClockReading::now();
  const std::int64_t before = std::exchange(collection_waits_s_, clock_.wait_s(now));
  collection_waits_since_ns_ = EventLoop::now_ns();
  if (before == 0 && collection_waits_s_ > 0) {
    log_.write(Level::kWarning, "the clock went forward by " + std::to_string(clock_.ahead_s()) + " s more than time has passed: nothing is removed by its age for " +
                                    std::to_string((collection_waits_s_ + 59) / 60) + " minutes. Set the clock right if it is wrong");
  } else if (before > 0 && collection_waits_s_ == 0) {
    log_.write(Level::kInfo, "the clock is believed: what is too old is collected again");
  }
}

void Loader::start_chore(std::size_t step, wire::Task task, std::vector<std::string> directories, std::vector<std::string> names) {
  wire::WorkerSettings settings;
  if (step != kNoStep) settings = worker_settings(step);
  settings.task = task;
  settings.home = home_.root.string();
  settings.data_dir = settings_->general.data_dir;
  settings.durability = settings_->general.durability;
  settings.lifetimes = settings_->general.lifetimes;
  settings.arrival_directories = std::move(directories);
  settings.arrival_names = std::move(names);
  settings.traced = follow_.any();
  settings.age_is_believed = collection_waits_s_ == 0;
  settings.foreign_quiet_s = settings_->general.defaults.foreign_quiet_s;
  if (task == wire::Task::kAcceptForeign) settings.arrival_quiet = quiet_arrivals();
  for (std::size_t live = 0; live < steps_.size(); ++live) {
    for (unsigned number = 0; number < pool_->seats(live); ++number)
      settings.live_slots.push_back(Slot{steps_[live].settings->dotted(), number}.base());
  }
  Chore::Owner owner;
  owner.message = [this](const wire::Message& message) { take_from_chore(message); };
  owner.output = [this](const std::string& lines) { log_.write_output(chore_step_ == kNoStep ? "" : steps_[chore_step_].settings->dotted(), lines); };
  auto started = Chore::start(loop_, worker_program_, settings, std::move(owner));
  if (!started) {
    log_.write(Level::kWarning, started.error().text);
    keep_unanswered();
    return;
  }
  chore_ = std::move(*started);
  chore_step_ = step;
  chore_failed_ = false;
}

// Of those that the next process accepts: they have not changed for as long as makes them complete.
std::vector<std::uint32_t> Loader::quiet_arrivals() const {
  const std::int64_t now = EventLoop::now_ns();
  std::vector<std::uint32_t> quiet;
  for (std::size_t i = 0; i < chore_arrivals_.size(); ++i) {
    quiet.push_back(chore_arrivals_[i].quiet(now, foreign_quiet_ns(chore_files_[i].first)));
  }
  return quiet;
}

// Still: others may have taken the directory over.
bool Loader::takes(std::size_t step, const std::string& directory) const {
  return std::any_of(sources_.begin(), sources_.end(), [&](const Source& source) {
    return source.path == directory &&
           std::any_of(source.takers.begin(), source.takers.end(), [&](const Taker& taker) { return taker.first == step; });
  });
}

// Files that were taken, and whose accept ended in a full disk or with its process: nobody sees them where they stand now.
bool Loader::accepts_left(std::int64_t now) {
  if (!accepts_left_ || now < next_accepts_ns_ || steps_.empty()) return false;
  auto entries = spool_.disk().list(layout::kAccept);
  accepts_left_ = !entries || std::any_of(entries->begin(), entries->end(), [&](const std::string& entry) {
    auto status = spool_.disk().status(layout::accept(entry));
    return status && S_ISDIR(status->st_mode);
  });
  return accepts_left_;
}

// ---- files that we may not tag

void Loader::forget_opens(const std::string& directory, const std::string& name) {
  if (const std::size_t index = watched_source(directory); index < sources_.size()) watcher_->forget_opens(index, name);
}

void Loader::add_foreign(std::size_t step, const std::string& directory, const std::string& name) {
  if (name.empty() || !takes(step, directory)) return;
  if (foreign_.size() >= kMaxForeign) return keep(directory, name);
  ForeignArrival file;
  file.step = step;
  file.since_ns = EventLoop::now_ns();
  if (const std::size_t index = watched_source(directory); index < sources_.size()) watcher_->count_opens(index, name);
  foreign_.try_emplace({directory, name}, file);
}

std::int64_t Loader::foreign_quiet_ns(const std::string& directory) const {
  double quiet_s = settings_->general.defaults.foreign_quiet_s;
  for (std::size_t index = 0; index < sources_.size(); ++index) {
    if (sources_[index].path == directory) quiet_s = watcher_->source(index).foreign_quiet_s;
  }
  return static_cast<std::int64_t>(quiet_s * static_cast<double>(kSecond));
}

bool Loader::ForeignArrival::quiet(std::int64_t now_ns, std::int64_t most_ns) const {
  const bool complete = told_ns >= changed_ns && now_ns - std::max(since_ns, heard_at_ns) >= kShortQuiet;
  return complete || now_ns - since_ns >= most_ns;
}

// It is time to ask whether somebody has it open, or it has been quiet for long enough.
bool Loader::is_due(ForeignArrival& file, const struct stat& status, std::int64_t told_ns, std::int64_t most_ns, std::int64_t now) const {
  const std::int64_t changed = status.st_ctim.tv_sec * kSecond + status.st_ctim.tv_nsec;
  file.told_ns = told_ns;
  if (told_ns > file.heard_ns) {
    file.heard_ns = told_ns;
    file.heard_at_ns = now;
  }
  if (file.size != status.st_size || file.changed_ns != changed) {
    file.size = status.st_size;
    file.changed_ns = changed;
    file.since_ns = now;
    file.unknown = false;
  }
  if (now < file.not_before_ns) return false;
  if (file.unknown) return file.quiet(now, most_ns);
  return now - file.since_ns >= (may_lease_any_ ? 0 : std::min(kShortQuiet, most_ns));
}

// What is due of one step goes to one process.
void Loader::check_foreign() {
  constexpr std::size_t kAtOnce = 500;
  if (no_space_ || under_pressure_) return;
  const std::int64_t now = EventLoop::now_ns();
  std::vector<std::string> directories, names;
  std::string last;
  std::int64_t most_ns = 0;
  std::size_t step = 0, source = 0;
  chore_files_.clear();
  chore_arrivals_.clear();
  chore_answered_.clear();
  for (auto at = foreign_.begin(); at != foreign_.end() && names.size() < kAtOnce;) {
    const auto& [directory, name] = at->first;
    if (last != directory) {
      last = directory;
      most_ns = foreign_quiet_ns(directory);
      source = watched_source(directory);
    }
    const std::int64_t told_ns = source < sources_.size() ? watcher_->told_ns(source, name) : 0;
    auto status = spool_.disk().status(directory + '/' + name);
    if (status && (!is_due(at->second, *status, told_ns, most_ns, now) || (!names.empty() && at->second.step != step))) {
      ++at;
      continue;
    }
    if (status) {
      step = at->second.step;
      directories.push_back(directory);
      names.push_back(name);
      chore_files_.emplace_back(directory, name);
      chore_arrivals_.push_back(at->second);
      chore_answered_.push_back(false);
    } else {
      forget_opens(directory, name);
    }
    at = foreign_.erase(at);
  }
  if (!names.empty()) start_chore(step, wire::Task::kAcceptForeign, std::move(directories), std::move(names));
}

// Somebody writes it, or may do so: it waits on.
void Loader::keep_foreign(const wire::Done& done) {
  const auto& key = chore_files_[done.id];
  ForeignArrival& file = foreign_.try_emplace(key, chore_arrivals_[done.id]).first->second;
  file.unknown = done.outcome == wire::Outcome::kForeign;
  if (file.unknown) return;
  file.not_before_ns = EventLoop::now_ns() + kShortQuiet;
  accepts_left_ = true;  // it may have been taken before it was noticed
}

// Names that a process which died, or never began, said nothing of: they are tried again.
void Loader::keep_unanswered() {
  for (std::size_t i = 0; i < chore_files_.size(); ++i) {
    if (chore_answered_[i]) continue;
    ForeignArrival& file = foreign_.try_emplace(chore_files_[i], chore_arrivals_[i]).first->second;
    file.not_before_ns = EventLoop::now_ns() + kShortQuiet;  // what kills such a process is no reason for one after the other
  }
  chore_files_.clear();
  chore_arrivals_.clear();
  chore_answered_.clear();
}

void Loader::take_from_chore(const wire::Message& message) {
  if (const auto* metrics = std::get_if<wire::Metrics>(&message)) {
    for (const wire::MetricDelta& delta : metrics->deltas) {
      if (delta.name == kTrashOfStep && delta.labels.size() == 1) trash_now_[delta.labels[0].second] = static_cast<std::size_t>(delta.value);
    }
  }
  if (const auto* counted = std::get_if<wire::TrashCount>(&message)) take_trash_count(counted->files);
  if (const auto* accepted = std::get_if<wire::Accepted>(&message)) follow_.accepted(*accepted);
  const auto* results = std::get_if<wire::Results>(&message);
  if (!results || chore_step_ == kNoStep) return;
  for (const wire::Done& done : results->done) {
    if (done.id >= chore_files_.size()) continue;
    chore_answered_[done.id] = true;
    const auto& [directory, name] = chore_files_[done.id];
    const auto& sources = steps_[chore_step_].sources;
    const auto source = static_cast<std::uint16_t>(std::find(sources.begin(), sources.end(), directory) - sources.begin());
    if (done.outcome == wire::Outcome::kOk) metrics_.accepted(directory);
    if (done.outcome == wire::Outcome::kRefused) refuse(chore_step_, source, name, done.reason);
    if (done.outcome == wire::Outcome::kBusy || done.outcome == wire::Outcome::kForeign) {
      keep_foreign(done);
    } else {
      forget_opens(directory, name);
    }
    if (done.outcome != wire::Outcome::kError && done.outcome != wire::Outcome::kNoSpace) continue;
    chore_failed_ = true;
    keep(directory, name);
    log_.write(Level::kError, steps_[chore_step_].settings->slashed() + ": cannot accept " + directory + '/' + name + " yet: " + done.reason);
  }
}

// A count and the reports of what went to trash meanwhile, or was counted before its report, do not add up: after the
// last of them it is counted again.
void Loader::went_to_trash(const std::string& step) {
  ++trash_files_;
  ++trash_of_[step];
  trash_moved_ = true;
  next_collection_ns_ = std::min(next_collection_ns_, EventLoop::now_ns() + std::max(recount_after_ns_, kMinRecount));
}

// After that of each step.
void Loader::take_trash_count(std::size_t all) {
  trash_counted_ = true;
  const auto latest = [&](std::size_t known, std::size_t counted) { return trash_moved_ ? std::max(known, counted) : counted; };
  trash_files_ = latest(trash_files_, all);
  for (auto& [step, files] : trash_of_) files = latest(files, trash_now_.contains(step) ? trash_now_[step] : 0);
  for (const auto& [step, files] : trash_now_) trash_of_.try_emplace(step, files);
}

void Loader::finish_chore(int exit_status) {
  chore_->drain();
  const wire::Task task = chore_->task();
  chore_.reset();
  if (exit_status != 0 && !stopping_)
    log_.write(Level::kWarning, "a task of the loader ended with the status " + std::to_string(exit_status) + ": it is tried again");
  if (task == wire::Task::kCollect) {
    const std::int64_t now = EventLoop::now_ns();
    recount_after_ns_ = std::min(kRecountShare * (now - collection_began_ns_), kCollectionInterval);
    if (!trash_counted_) next_collection_ns_ = std::min(next_collection_ns_, now + std::max(recount_after_ns_, kMinRecount));
  }
  if (task == wire::Task::kAcceptForeign) keep_unanswered();
  if (task == wire::Task::kAcceptForeign) judge_accepts(chore_failed_ || exit_status != 0);
  next_chore();
}

void Loader::judge_accepts(bool failed) {
  accepts_backoff_ns_ = failed ? std::clamp(accepts_backoff_ns_ * 2, kSecond, kMaxBackoff) : 0;
  next_accepts_ns_ = EventLoop::now_ns() + std::max(accepts_backoff_ns_, kAcceptsAgain);  // some wait until they are quiet
  accepts_left_ = accepts_left_ || failed;
  strays_due_ = strays_due_ || failed;
  if (failed) watcher_->rescan();  // those that it was told of and did not come to
}

// Commits whose workers will not come back (their step is gone, or a full disk elsewhere kept them).
void Loader::roll_stray_commits() {
  constexpr std::size_t kAtOnce = 500;
  auto ids = spool_.disk().list(layout::kCommit);
  if (!ids) return log_.write(Level::kWarning, ids.error().text);
  std::erase_if(*ids, [&](const std::string& id) {
    for (std::size_t step = 0; step < steps_.size(); ++step) {
      const std::string prefix = steps_[step].settings->dotted() + '.';
      if (id.starts_with(prefix) && !id.starts_with(prefix + "accept.")) return pool_->owns(step, std::strtoul(id.c_str() + prefix.size(), nullptr, 10));
    }
    return false;
  });
  std::sort(ids->begin(), ids->end());
  std::rotate(ids->begin(), std::upper_bound(ids->begin(), ids->end(), last_rolled_), ids->end());  // one that stays hides no other
  ids->resize(std::min(ids->size(), kAtOnce));
  if (ids->empty()) return;
  last_rolled_ = ids->back();
  rolled_ = *ids;
  start_chore(kNoStep, wire::Task::kRollForward, {}, std::move(*ids));
}

// What rolls a commit forward must not meet the recovery of its slot.
bool Loader::rolls_commit_of(const Slot& slot) const {
  return chore_ && chore_->task() == wire::Task::kRollForward &&
         std::any_of(rolled_.begin(), rolled_.end(), [prefix = slot.commit_prefix()](const std::string& id) { return id.starts_with(prefix); });
}

// ---- children

void Loader::reap_children() {
  int status = 0;
  for (pid_t pid; (pid = ::waitpid(-1, &status, WNOHANG)) > 0;) {
    if (pool_->child_died(pid, status)) continue;
    if (chore_ && chore_->pid() == pid) {
      finish_chore(status);
    } else if (trials_ && trials_->child_died(pid, status)) {
      watch_trials();
    }
  }
  pool_->tick(EventLoop::now_ns());
  if (stopping_) tick();
}

// This process is the reaper of orphans: what a dead worker left behind in other sessions ends here.
bool Loader::kill_strangers() {
  bool found = false;
  for (const pid_t pid : children_of_this_process()) {
    if (pool_->knows(pid) || (chore_ && chore_->pid() == pid) || (trials_ && trials_->knows(pid))) continue;
    found = true;
    ::kill(pid, SIGKILL);
  }
  return found;
}

}  // namespace mfdata
