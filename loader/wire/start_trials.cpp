#include "wire/start_trials.hpp"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include <algorithm>
#include <cctype>

#include "libmfdata/printable.hpp"

namespace mfdata {
namespace {

constexpr std::size_t kAtOnce = 4;
constexpr std::int64_t kLimitNs = 55'000'000'000;     // in earnest a worker has to be ready after 60 s
constexpr std::int64_t kAllLimitNs = 120'000'000'000;
constexpr std::size_t kMaxLog = 256 * 1024;
constexpr std::string_view kError = "<3>";                     // sd-daemon(3)
constexpr std::string_view kLeftOut = "a rule is left out: ";  // what a routing plugin says, and the host for code rules

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

// Where the text names it, as a word; npos: nowhere.
std::size_t place_in(const std::string& text, const std::string& key) {
  for (std::size_t at = text.find(key); at != std::string::npos; at = text.find(key, at + 1)) {
    const std::size_t end = at + key.size();
    if ((at == 0 || !is_word(text[at - 1])) && (end == text.size() || !is_word(text[end]))) return at;
  }
  return std::string::npos;
}

std::vector<std::string> errors_in(const std::string& log) {
  std::vector<std::string> all;
  for (std::size_t at = 0; at < log.size();) {
    const std::size_t end = std::min(log.find('\n', at), log.size());
    if (log.compare(at, kError.size(), kError) == 0) all.push_back(log.substr(at + kError.size(), end - at - kError.size()));
    at = end + 1;
  }
  return all;
}

}  // namespace

KeyPlaces key_places(const PluginSettings& plugin) {
  KeyPlaces places;
  for (const auto& [key, value] : plugin.custom.table()) places.emplace_back(key, value.where());
  return places;
}

StartTrials::StartTrials(std::string program, std::vector<Candidate> candidates, std::int64_t now_ns)
    : program_(std::move(program)),
      until_ns_(now_ns + kAllLimitNs),
      waiting_(std::make_move_iterator(candidates.begin()), std::make_move_iterator(candidates.end())) {
  tick(now_ns);
}

StartTrials::~StartTrials() {
  for (const Running& trial : running_) trial.process->kill();
}

void StartTrials::tick(std::int64_t now_ns) {
  for (Running& trial : running_) {
    bool closed = false;
    const std::string lines = trial.process->read_output(closed);
    if (trial.log.size() < kMaxLog) trial.log += lines;
    if (trial.overdue || now_ns < std::min(trial.overdue_at_ns, until_ns_)) continue;
    trial.overdue = true;
    trial.process->kill();
  }
  for (; !waiting_.empty() && now_ns >= until_ns_; waiting_.pop_front()) {
    const Candidate& late = waiting_.front();
    add(late.settings.step, late.places, "it was not tried: the others took two minutes");
  }
  while (!waiting_.empty() && running_.size() < kAtOnce) {
    Candidate next = std::move(waiting_.front());
    waiting_.pop_front();
    begin(std::move(next), now_ns);
  }
}

void StartTrials::begin(Candidate candidate, std::int64_t now_ns) {
  candidate.settings.task = wire::Task::kTryStart;
  auto process = WorkerProcess::start(program_, candidate.settings);
  if (!process) return add(candidate.settings.step, candidate.places, process.error().text);
  running_.push_back({std::move(*process), candidate.settings.step, std::move(candidate.places), now_ns + kLimitNs, false, ""});
}

bool StartTrials::child_died(pid_t pid, int status) {
  const auto dead = std::find_if(running_.begin(), running_.end(), [&](const Running& trial) { return trial.process->pid() == pid; });
  if (dead == running_.end()) return false;
  bool closed = false;
  for (std::string lines; !(lines = dead->process->read_output(closed)).empty();) dead->log += lines;
  dead->process->kill();  // what it has started and left behind
  judge(*dead, status);
  running_.erase(dead);
  return true;
}

bool StartTrials::knows(pid_t pid) const {
  return std::any_of(running_.begin(), running_.end(), [&](const Running& trial) { return trial.process->pid() == pid; });
}

std::vector<pid_t> StartTrials::running() const {
  std::vector<pid_t> all;
  for (const Running& trial : running_) all.push_back(trial.process->pid());
  return all;
}

void StartTrials::judge(const Running& trial, int status) {
  const std::vector<std::string> errors = errors_in(trial.log);
  for (const std::string& error : errors) {
    if (error.starts_with(kLeftOut)) problems_.push_back({Location{}, "[[switch_rules]]: " + error.substr(kLeftOut.size()), ""});
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return;
  if (trial.overdue) return add(trial.step, trial.places, "it does not come to an end");
  if (!errors.empty() && WIFEXITED(status)) return add(trial.step, trial.places, errors.back());
  const std::string said = errors.empty() ? "" : ": " + errors.back();
  add(trial.step, trial.places,
      (WIFSIGNALED(status) ? std::string("its process is killed by a signal, ") + ::strsignal(WTERMSIG(status))
                           : "its process ends with the status " + std::to_string(WEXITSTATUS(status))) + said);
}

// At the key that the text names first; else at the step.
void StartTrials::add(const StepSettings& step, const KeyPlaces& places, const std::string& why) {
  Location where = step.where;
  std::size_t first = std::string::npos;
  for (const auto& [key, place] : places) {
    const std::size_t at = place_in(why, key);
    if (at >= first) continue;
    first = at;
    where = place;
  }
  const std::string prefix = "the plugin does not start: ";
  problems_.push_back({where, step.slashed() + " does not start: " + printable(why.starts_with(prefix) ? why.substr(prefix.size()) : why, 1500), ""});
}

}  // namespace mfdata
