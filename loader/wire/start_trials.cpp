#include "wire/start_trials.hpp"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include <algorithm>
#include <boost/filesystem.hpp>
#include <cctype>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <variant>

#include "libmfdata/home.hpp"
#include "libmfdata/printable.hpp"

namespace mfdata {
namespace {

constexpr std::size_t kAtOnce = 4;
constexpr double kShare = 0.92;  // of start_timeout, after which it would be killed in earnest
constexpr std::int64_t kAllLimitNs = 120'000'000'000;
constexpr std::size_t kMaxLog = 256 * 1024;
constexpr std::string_view kError = "<3>";                     // sd-daemon(3)
constexpr std::string_view kLeftOut = "a rule is left out: ";  // what a routing plugin says, and the host for code rules

bool is_listener(const StartTrials::Candidate& candidate) { return candidate.settings.step.kind == WorkerKind::kListener; }

// In the directory for temporary files, or where that cannot be had (full, missing, of another user) in the home.
Result<std::string> empty_place(const std::string& home) {
  boost::system::error_code none;
  int errnum = 0;
  for (const boost::filesystem::path& base : {boost::filesystem::temp_directory_path(none), Home{home}.run()}) {
    std::string path = (base / "mfdata-start-XXXXXX").string();
    if (base.empty() || !::mkdtemp(path.data())) {
      errnum = base.empty() ? ENOENT : errno;
      continue;
    }
    return path;
  }
  return system_error(errnum, "there is no directory to try it in, neither in TMPDIR nor in " + Home{home}.run().string());
}

void remove(const std::string& place) {
  boost::system::error_code ignored;
  boost::filesystem::remove_all(place, ignored);
}

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
  for (const Running& trial : running_) {
    trial.process->kill();
    remove(trial.place);
  }
}

void StartTrials::tick(std::int64_t now_ns) {
  for (Running& trial : running_) {
    listen_to(trial);
    if (trial.overdue || now_ns < trial.overdue_at_ns) continue;
    trial.overdue = true;
    trial.process->kill();
  }
  for (; !waiting_.empty() && now_ns >= until_ns_; waiting_.pop_front()) {
    const StepSettings& late = waiting_.front().settings.step;
    warnings_.push_back({late.where, late.slashed() + " was not started on trial: the others took two minutes", "", Severity::kWarning});
  }
  while (!waiting_.empty() && running_.size() < kAtOnce && !has_to_wait(waiting_.front())) {
    Candidate next = std::move(waiting_.front());
    waiting_.pop_front();
    if (is_listener(next) && !problems_.empty()) continue;
    begin(std::move(next), now_ns);
  }
}

bool StartTrials::has_to_wait(const Candidate& next) const {
  return is_listener(next) && std::any_of(running_.begin(), running_.end(), [](const Running& trial) { return trial.step.kind == WorkerKind::kStep; });
}

// What it says, without waiting: of its log the end, where the reason stands.
void StartTrials::listen_to(Running& trial) {
  bool closed = false;
  trial.log += trial.process->read_output(closed);
  if (trial.log.size() > 2 * kMaxLog) trial.log.erase(0, trial.log.size() - kMaxLog);
  for (auto message = trial.process->receive(); message && *message; message = trial.process->receive()) {
    trial.ready = trial.ready || std::holds_alternative<wire::Ready>(**message);
  }
}

void StartTrials::begin(Candidate candidate, std::int64_t now_ns) {
  candidate.settings.task = wire::Task::kTryStart;
  auto place = empty_place(candidate.settings.home);
  if (!place) return add(candidate.settings.step, candidate.places, place.error().text);
  candidate.settings.data_dir = *place;
  auto process = WorkerProcess::start(program_, candidate.settings);
  if (!process) {
    remove(*place);
    return add(candidate.settings.step, candidate.places, process.error().text);
  }
  Running trial;
  trial.process = std::move(*process);
  trial.step = candidate.settings.step;
  trial.places = std::move(candidate.places);
  trial.place = std::move(*place);
  trial.overdue_at_ns = now_ns + static_cast<std::int64_t>(trial.step.start_timeout_s * kShare * 1e9);
  running_.push_back(std::move(trial));
}

bool StartTrials::child_died(pid_t pid, int status) {
  const auto dead = std::find_if(running_.begin(), running_.end(), [&](const Running& trial) { return trial.process->pid() == pid; });
  if (dead == running_.end()) return false;
  dead->process->kill();  // what it has started and left behind
  constexpr int kReads = 64;  // others may hold its output, and go on writing
  for (int i = 0; i < kReads; ++i) listen_to(*dead);
  judge(*dead, status);
  remove(dead->place);
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
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && trial.ready) return;
  if (trial.overdue) return add(trial.step, trial.places, "it does not come to an end within " + std::to_string(static_cast<long>(std::ceil(trial.step.start_timeout_s * kShare))) +
                                                               " s; one that takes its time has a longer start_timeout");
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
