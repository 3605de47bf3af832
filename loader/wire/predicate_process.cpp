#include "wire/predicate_process.hpp"

#include <mfdata/plugin.h>
#include <poll.h>
#include <sys/wait.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>

#include "libmfdata/clock.hpp"
#include "libmfdata/context.hpp"
#include "libmfdata/switch_rules.hpp"

namespace mfdata {
namespace {

constexpr unsigned kFailuresInARow = 3;
constexpr std::int64_t kSecondNs = 1'000'000'000;
constexpr std::int64_t kSuspensionNs = 60 * kSecondNs;
constexpr std::int64_t kStartNs = 20 * kSecondNs;  // below the time in which a worker has to become ready
constexpr std::int64_t kForEver = std::numeric_limits<std::int64_t>::max();
constexpr const char* kNobody = "00000000000000000000000000000000";

int milliseconds_until(std::int64_t due_ns) { return static_cast<int>(std::clamp<std::int64_t>((due_ns - monotonic_ns()) / 1'000'000 + 1, 0, 60'000)); }

void pause_a_moment() {
  const timespec moment{0, 1'000'000};
  ::nanosleep(&moment, nullptr);
}

std::string place_of(const SwitchRule& rule) { return rule.where.file + ':' + std::to_string(rule.where.line); }

}  // namespace

PredicateProcess::PredicateProcess(std::string program, const wire::WorkerSettings& settings, Log log)
    : program_(std::move(program)), settings_(settings), log_(std::move(log)) {
  settings_.task = wire::Task::kPredicates;
}

// What does not end by itself within a second is killed.
PredicateProcess::~PredicateProcess() {
  if (!process_) return;
  (void)process_->send(wire::Stop{});
  siginfo_t info{};
  for (int i = 0; i < 1000 && info.si_pid == 0; ++i) {
    pause_a_moment();
    ::waitid(P_PID, static_cast<id_t>(process_->pid()), &info, WEXITED | WNOHANG | WNOWAIT);
  }
  end();
}

std::string PredicateProcess::predicate_of(std::uint32_t rule) const {
  const SwitchRule& known = settings_.rules[rule];
  const auto call = parse_predicate_call(known.pattern);
  return known.plugin + '/' + (call ? call->predicate : "");
}

bool PredicateProcess::left_out(std::uint32_t rule) const {
  const auto until = left_out_until_ns_.find(rule);
  return until != left_out_until_ns_.end() && monotonic_ns() < until->second;
}

void PredicateProcess::leave_out(std::uint32_t rule, std::int64_t until_ns, const std::string& why) {
  left_out_until_ns_[rule] = until_ns;
  log_(true, "a rule is left out: " + place_of(settings_.rules[rule]) + ": " + why);
}

void PredicateProcess::start() { start_until(monotonic_ns() + kStartNs); }

// Each round compiles all of them, or leaves out the predicate that ended the process.
void PredicateProcess::start_until(std::int64_t due_ns) {
  while (!start_round(due_ns)) {
  }
}

bool PredicateProcess::start_round(std::int64_t due_ns) {
  settings_.code_rules.clear();
  for (std::uint32_t rule = 0; rule < settings_.rules.size(); ++rule) {
    if (settings_.rules[rule].type == "plugin" && !left_out(rule)) settings_.code_rules.push_back(rule);
  }
  if (settings_.code_rules.empty()) return true;
  auto started = WorkerProcess::start(program_, settings_, WorkerProcess::Output::kInherited);
  if (!started) {
    log_(true, "no code rule can be evaluated: " + started.error().text);
    return true;
  }
  process_ = std::move(*started);
  known_context_.clear();
  for (const std::uint32_t rule : settings_.code_rules) {
    std::string why;
    const auto answer = receive(due_ns, why);
    if (answer && answer->rule == rule) {
      left_out_until_ns_.erase(rule);
      if (answer->code != MFDATA_OK) leave_out(rule, kForEver, answer->reason);
      continue;
    }
    if (process_) end();
    for (const std::uint32_t other : settings_.code_rules) {
      if (predicate_of(other) == predicate_of(rule)) leave_out(other, monotonic_ns() + kSuspensionNs, answer ? "its process talks nonsense" : why);
    }
    return false;
  }
  return true;
}

std::string PredicateProcess::end() {
  process_->kill();
  int status = 0;
  while (::waitpid(process_->pid(), &status, 0) < 0 && errno == EINTR) {
  }
  process_.reset();
  if (WIFSIGNALED(status)) return std::string("signal ") + std::to_string(WTERMSIG(status)) + " (" + ::strsignal(WTERMSIG(status)) + ')';
  return "exit code " + std::to_string(WEXITSTATUS(status));
}

std::optional<wire::Answer> PredicateProcess::receive(std::int64_t due_ns, std::string& why) {
  while (true) {
    pollfd readable{process_->channel(), POLLIN, 0};
    const int ready = ::poll(&readable, 1, milliseconds_until(due_ns));
    if (ready < 0 && errno == EINTR) continue;
    if (ready == 0 && monotonic_ns() < due_ns) continue;
    if (ready == 0) {
      end();
      why = "it did not answer in time";
      return std::nullopt;
    }
    auto message = process_->receive();
    const auto* answer = message && message->has_value() ? std::get_if<wire::Answer>(&**message) : nullptr;
    if (answer) return *answer;
    // It has closed its end: it is dying, of something that waitpid tells; or it talks nonsense.
    siginfo_t info{};
    for (int i = 0; i < 200 && info.si_pid == 0; ++i) {
      pause_a_moment();
      ::waitid(P_PID, static_cast<id_t>(process_->pid()), &info, WEXITED | WNOHANG | WNOWAIT);
    }
    why = "its process died: " + end();
    return std::nullopt;
  }
}

// A large context waits until there is room in the channel. False: the process is gone, or does not read.
bool PredicateProcess::send(const wire::Message& message, std::int64_t due_ns) {
  while (!process_->send(message)) {
    if (errno != EAGAIN && errno != EINTR && errno != ENOBUFS) return false;
    pollfd writable{process_->channel(), POLLOUT, 0};
    ::poll(&writable, 1, std::min(milliseconds_until(due_ns), 100));
    if ((writable.revents & (POLLHUP | POLLERR)) != 0 || monotonic_ns() >= due_ns) return false;
  }
  return true;
}

bool PredicateProcess::send_context(const TagSet& tags, std::int64_t due_ns) {
  const std::string text = encode(Context{kNobody, 0, 0, "", {}, tags});
  if (text == known_context_) return true;
  for (std::size_t at = 0; at < text.size(); at += wire::kMaxContextPart) {
    if (!send(wire::ContextPart{at == 0, text.substr(at, wire::kMaxContextPart)}, due_ns)) return false;
  }
  known_context_ = text;
  return true;
}

PredicateProcess::Asked PredicateProcess::ask(std::uint32_t rule, const std::string& path, const TagSet& tags, std::int64_t due_ns,
                                              wire::Answer& answer, std::string& why) {
  if (!send_context(tags, due_ns) || !send(wire::Question{++serial_, rule, path}, due_ns)) {
    why = "its process died: " + end();
    return Asked::kNotAsked;
  }
  auto received = receive(due_ns, why);
  if (!received) return Asked::kFailed;
  if (received->serial != serial_ || received->rule != rule) {
    end();
    why = "its process answers what nobody asked";
    return Asked::kFailed;
  }
  answer = std::move(*received);
  return Asked::kAnswered;
}

wire::Answer PredicateProcess::failed(std::uint32_t rule, Predicate& predicate, const std::string& why) {
  const std::string name = settings_.rules[rule].plugin + "'s predicate of " + place_of(settings_.rules[rule]);
  log_(false, name + " cannot tell: " + why);
  predicate.failed_rule = rule;
  if (++predicate.failures >= kFailuresInARow) {
    predicate.suspended_until_ns = monotonic_ns() + kSuspensionNs;
    log_(true, name + " is suspended for 60 s: it failed " + std::to_string(predicate.failures) + " times in a row. Its rules count as no match");
  }
  return {0, rule, MFDATA_E_IO, why};
}

wire::Answer PredicateProcess::test(std::uint32_t rule, const std::string& path, const TagSet& tags, std::int64_t deadline_ns) {
  if (rule >= settings_.rules.size() || settings_.rules[rule].type != "plugin") return {0, rule, MFDATA_E_NOTFOUND, "no such rule"};
  const std::int64_t now = monotonic_ns();
  Predicate& predicate = predicates_[predicate_of(rule)];
  if (predicate.failures >= kFailuresInARow && now < predicate.suspended_until_ns) return {0, rule, MFDATA_E_STATE, "it is suspended"};
  if (left_out(rule)) return {0, rule, MFDATA_E_NOTFOUND, "it is left out"};
  const std::int64_t half = deadline_ns == 0 ? kForEver : now + (deadline_ns - now) / 2;
  if (half <= now) return {0, rule, MFDATA_E_IO, "there is no time left for it"};
  if (left_out_until_ns_.contains(rule) && process_) end();  // it is tried again with the others
  std::string why;
  wire::Answer answer;
  for (int attempt = 0;; ++attempt) {  // one that has died between two questions has failed nobody
    if (!process_) start_until(std::min(half, monotonic_ns() + kStartNs));
    if (!process_ || left_out(rule)) return {0, rule, MFDATA_E_NOTFOUND, "it is left out"};
    const std::int64_t due_ns = std::min(half, monotonic_ns() + static_cast<std::int64_t>(settings_.predicate_timeout_s * 1e9));
    const Asked asked = ask(rule, path, tags, due_ns, answer, why);
    if (asked == Asked::kNotAsked && attempt == 0) continue;
    if (asked != Asked::kAnswered) return failed(rule, predicate, why);
    if (predicate.failed_rule == rule) predicate.failures = 0;
    return answer;
  }
}

}  // namespace mfdata
