#include "trial_run.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <boost/filesystem/operations.hpp>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>

#include "deposited_file.hpp"
#include "interrupts.hpp"
#include "libmfdata/child_process.hpp"
#include "libmfdata/clock.hpp"
#include "libmfdata/package.hpp"
#include "libmfdata/printable.hpp"
#include "libmfdata/tagged_file.hpp"
#include "trial/trial_home.hpp"
#include "wire/plugin_metrics.hpp"
#include "wire/predicate_process.hpp"
#include "wire/worker_process.hpp"

namespace fs = boost::filesystem;
using nlohmann::json;

namespace mfdata::tools {
namespace {

constexpr std::int64_t kReadyLimit_ns = 60'000'000'000;
constexpr double kStopLimit_s = 15;  // of a listener
constexpr double kPredicateLimit_s = 5;
constexpr const char* kStopped = "it stopped when it was told to";

// The plugin of a folder, or of the user's home with its override: "NAME/STEP" there may say which step.
Result<TrialPlan> plan_of(const std::string& home_option, const RunOptions& options, std::string& step) {
  TrialPlan plan;
  plan.keep = options.keep;
  plan.configuration = "[custom]\n";
  for (const std::string& line : options.custom) plan.configuration += line + '\n';
  boost::system::error_code code;
  const fs::path folder = fs::canonical(options.plugin, code);
  if (!options.installed && !code && fs::is_directory(folder, code)) {
    plan.folder = folder.string();
    return plan;
  }
  const std::string name = options.plugin.substr(0, options.plugin.find('/'));
  if (options.plugin.find('/') != std::string::npos) step = options.plugin.substr(options.plugin.find('/') + 1);
  auto home = find_home(home_option);
  if (!home) return Error{Code::kNotFound, 0, printable(options.plugin, 300) + " is no folder, and there is no home: " + home.error().text};
  const auto installed = installed_plugins(*home);
  if (std::find(installed.begin(), installed.end(), name) == installed.end()) {
    const auto near = near_miss(name, installed);
    return Error{Code::kNotFound, 0, "no plugin \"" + printable(name, 100) + "\" is installed" + (near ? ": did you mean \"" + *near + "\"?" : "")};
  }
  plan.folder = fs::canonical(home->current(name), code).string();
  if (code) return system_error(code.value(), "cannot find the plugin of " + home->current(name).string());
  plan.installed_as = name;
  if (fs::exists(home->override_of(name), code)) plan.override_file = home->override_of(name).string();
  return plan;
}

struct Treated {
  wire::Done done;
  std::string log;
  std::vector<wire::MetricDelta> metrics;
  std::string death;  // why there is no result
};

Error interrupted() { return Error{Code::kGone, EINTR, "interrupted"}; }

// Talks to the worker until it has ended. Without a name: a listener, which is told to stop once it runs.
Treated treat(WorkerProcess& worker, const std::string& name, double timeout_s, const std::function<void(double, double)>& waiting = {}) {
  Treated treated;
  bool sent = false, stopped = false, output_closed = false;
  std::int64_t sent_ns = 0;
  std::int64_t until = monotonic_ns() + kReadyLimit_ns;
  while (!output_closed) {
    pollfd both[] = {{worker.channel(), POLLIN, 0}, {output_closed ? -1 : worker.output(), POLLIN, 0}};
    (void)::poll(both, 2, 100);
    for (auto message = worker.receive(); message && message->has_value(); message = worker.receive()) {
      if (std::get_if<wire::Ready>(&**message)) {
        sent = name.empty() ? worker.send(wire::Stop{}) : worker.send(wire::Jobs{{{1, wire::kStepSource, name}}});
        sent_ns = monotonic_ns();
        until = sent_ns + static_cast<std::int64_t>(timeout_s * 1e9);
      } else if (auto* results = std::get_if<wire::Results>(&**message); results && !results->done.empty()) {
        treated.done = results->done.front();
        stopped = true;
        worker.send(wire::Stop{});
        worker.terminate();
      } else if (auto* metrics = std::get_if<wire::Metrics>(&**message)) {
        treated.metrics.insert(treated.metrics.end(), metrics->deltas.begin(), metrics->deltas.end());
      }
    }
    treated.log += worker.read_output(output_closed);
    const bool gives_up = InterruptsNoted::any() && until != INT64_MAX;
    if (sent && !stopped && waiting) waiting(static_cast<double>(monotonic_ns() - sent_ns) / 1e9, timeout_s);
    if (monotonic_ns() < until && !gives_up) continue;
    treated.death = gives_up ? "interrupted"
                    : sent   ? "it took longer than " + std::to_string(static_cast<int>(timeout_s)) + " s"
                             : "it was not ready after 60 s";
    worker.kill();
    until = INT64_MAX;
  }
  int status = 0;
  ::waitpid(worker.pid(), &status, 0);
  worker.kill();  // what it left behind
  if (!stopped && treated.death.empty()) {
    const bool ended = name.empty() && sent && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    treated.death = ended                 ? kStopped
                    : WIFSIGNALED(status) ? "it died of signal " + std::to_string(WTERMSIG(status))
                                          : "it ended with exit code " + std::to_string(WEXITSTATUS(status)) + (sent ? "" : " before it was ready");
  }
  return treated;
}

json tags_of(const TagSet& tags) {
  json out = json::object();
  for (const auto& [name, value] : tags) out[std::string(name)] = value;
  return out;
}

// What came out: in the spool by step, and what was delivered into the trial home.
json outputs_of(const Spool& spool, const Home& home, const std::vector<std::string>& targets) {
  json out = json::array();
  for (const std::string& target : targets) {
    std::string dotted = target;
    dotted[dotted.find('/')] = '.';
    auto names = spool.disk().list(layout::step_directory(dotted));
    for (const std::string& filename : names ? *names : std::vector<std::string>()) {
      const std::string path = layout::step_directory(dotted) + '/' + filename;
      const auto name = SpoolName::parse(filename);
      auto file = spool.disk().open_file(path);
      if (!name || !file) continue;
      struct stat st {};
      ::fstat(file->get(), &st);
      auto context = spool.context_of(file->get(), *name, path);
      out.push_back(
          {{"to", target}, {"uid", name->uid}, {"path", spool.disk().absolute(path)}, {"size", st.st_size}, {"tags", context ? tags_of(context->tags) : json()}});
    }
  }
  boost::system::error_code code;
  for (fs::recursive_directory_iterator at(home.root, code), end; !code && at != end; at.increment(code)) {
    const std::string path = at->path().lexically_relative(home.root).string();
    if (path == "var/in" || path == "plugins" || path == "etc" || path == "run" || path == "log") at.disable_recursion_pending();
    if (!fs::is_regular_file(at->symlink_status())) continue;
    auto tagged = TaggedFile::open(at->path().string());
    auto context = tagged ? tagged->context() : Result<Context>(tagged.error());
    out.push_back({{"to", "{home}/" + path},
                   {"uid", context ? context->uid : ""},
                   {"path", at->path().string()},
                   {"size", fs::file_size(at->path(), code)},
                   {"tags", context ? tags_of(context->tags) : json()}});
  }
  return out;
}

// What was delivered elsewhere: there the worker alone knows where.
json delivered_outside(const Home& home, const std::string& log) {
  constexpr std::string_view kSays = "<7>to be delivered: ";
  json out = json::array();
  for (std::size_t at = 0; (at = log.find(kSays, at)) != std::string::npos;) {
    at += kSays.size();
    const std::string path = log.substr(at, log.find('\n', at) - at);
    if (path.starts_with(home.root.string() + '/')) continue;
    boost::system::error_code code;
    auto tagged = TaggedFile::open(path);
    auto context = tagged ? tagged->context() : Result<Context>(tagged.error());
    const auto size = fs::file_size(path, code);
    out.push_back({{"to", path}, {"uid", context ? context->uid : ""}, {"path", path}, {"size", code ? 0 : size}, {"tags", context ? tags_of(context->tags) : json()}});
  }
  return out;
}

// As the step handed them out: the uid of an output says which one of its input it is. What carries none comes last.
void sort_outputs(json& outputs, const std::string& input) {
  const auto name = SpoolName::parse(input);
  std::map<std::string, std::size_t> places;
  constexpr std::size_t kMaxOutputs = 10'000;  // of one call
  for (std::size_t i = 0; name && i < kMaxOutputs; ++i) places[child_uid(name->uid, name->generation + 1, i)] = i;
  const auto place = [&](const json& output) {
    const auto found = places.find(output["uid"].get<std::string>());
    return found == places.end() ? places.size() : found->second;
  };
  std::stable_sort(outputs.begin(), outputs.end(), [&](const json& a, const json& b) { return place(a) < place(b); });
}

json note_in_trash(const Spool& spool, const std::string& dotted) {
  auto names = spool.disk().list(layout::trash_directory(dotted));
  for (const std::string& name : names ? *names : std::vector<std::string>()) {
    if (!name.ends_with(".json")) continue;
    return json::parse(small_file(spool.disk().absolute(layout::trash_directory(dotted) + '/' + name)).value_or(""), nullptr, false);
  }
  return json();
}

json described(const std::string& plugin, const Treated& treated, const json& outputs, const json& note) {
  json out;
  const char* word = wire::result_word(treated.done.outcome);
  out["result"] = !treated.death.empty() ? "died" : word ? word : "not treated";
  out["reason"] = treated.death.empty() ? treated.done.reason : treated.death;
  out["milliseconds"] = static_cast<double>(treated.done.duration_ns) / 1e6;
  out["outputs"] = outputs;
  out["trash"] = note;
  out["log"] = treated.log;
  out["metrics"] = json::array();
  for (const wire::MetricDelta& delta : treated.metrics) {
    json labels = json::object();
    for (const auto& [name, value] : delta.labels) labels[name] = value;
    out["metrics"].push_back({{"name", wire::exported_name(plugin, delta.name)}, {"labels", labels}, {"value", delta.value}});
  }
  return out;
}

// What this process and what it starts print as errors goes to a memory file as long as it is there: code rules inherit stderr.
class CapturedErrors {
 public:
  CapturedErrors() : stderr_(::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10)), text_(::memfd_create("mfdata-errors", MFD_CLOEXEC)) {
    if (stderr_ && text_) ::dup2(text_.get(), STDERR_FILENO);
  }
  CapturedErrors(const CapturedErrors&) = delete;
  CapturedErrors& operator=(const CapturedErrors&) = delete;
  ~CapturedErrors() {
    if (stderr_) ::dup2(stderr_.get(), STDERR_FILENO);
  }
  std::string text() const {
    ::lseek(text_.get(), 0, SEEK_SET);
    const auto text = read_all(text_.get(), std::size_t{64} << 20, "what a predicate prints");
    return text ? *text : "";
  }

 private:
  FileDescriptor stderr_, text_;
};

// A home with the plugin in it, and what its worker is told.
struct Trial {
  TrialHome at;
  wire::WorkerSettings worker;
  Spool spool;

  static Result<Trial> prepare(const std::string& home_option, const RunOptions& options, const Variation& variation, WorkerKind kind) {
    std::string step = options.step;
    auto plan = plan_of(home_option, options, step);
    if (!plan) return plan.error();
    auto trial = TrialHome::make(std::move(*plan));
    if (!trial) return trial.error();
    auto found = trial->find(kind, step);
    if (!found) return found.error();
    auto worker = trial->worker_settings(**found);
    if (!worker) return worker.error();
    worker->trial = variation.host;
    if (variation.delivers_inside) worker->trial.deliver_below = (trial->home().root / "deliveries").string();
    if (variation.custom) variation.custom(worker->custom);
    auto spool = trial->open_spool();
    if (!spool) return spool.error();
    MFDATA_TRY(mfdata::prepare(*spool, *worker));
    return Trial{std::move(*trial), std::move(*worker), std::move(*spool)};
  }
};

Result<std::unique_ptr<WorkerProcess>> start_worker(const wire::WorkerSettings& settings) {
  auto program = find_program("mfdata-worker");
  if (!program) return program.error();
  return WorkerProcess::start(*program, settings);
}

}  // namespace

Result<json> run_trial(const std::string& home_option, const RunOptions& options, const Variation& variation) {
  const InterruptsNoted noted;
  if (InterruptsNoted::any()) return interrupted();
  auto trial = Trial::prepare(home_option, options, variation, WorkerKind::kStep);
  if (!trial) return trial.error();
  auto tags = parse_assignments(options.tags);
  if (!tags) return tags.error();
  const StepSettings& step = trial->worker.step;
  const std::string name = variation.name.empty() ? fs::path(options.file).filename().string() : variation.name;
  DepositOptions placed;
  placed.grown_to = variation.grown_to;
  placed.directory = variation.directory;
  MFDATA_TRY(deposit(trial->spool, options.file, step.slashed(), name, *tags, placed));
  const auto waiting = trial->spool.disk().list(layout::step_directory(step.dotted()));
  if (!waiting || waiting->empty()) return Error{Code::kIo, 0, "the file cannot be placed"};
  ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  const auto before = children_of_this_process();
  auto worker = start_worker(trial->worker);
  if (!worker) return worker.error();
  const Treated treated = treat(**worker, waiting->front(), variation.limit_s > 0 ? std::min(variation.limit_s, step.timeout_s) : step.timeout_s,
                                variation.waiting);
  end_children_but(before);  // what the step started, in whatever session
  if (InterruptsNoted::any()) return interrupted();
  std::vector<std::string> others = trial->worker.targets;
  const bool ended = treated.done.outcome == wire::Outcome::kOk || treated.done.outcome == wire::Outcome::kFailed;
  if (!treated.death.empty() || !ended) std::erase(others, step.slashed());  // the input still stands there
  json outputs = outputs_of(trial->spool, trial->at.home(), others);
  const bool ended_well = treated.death.empty() && treated.done.outcome == wire::Outcome::kOk;
  for (json& output : ended_well ? delivered_outside(trial->at.home(), treated.log) : json::array()) outputs.push_back(std::move(output));
  sort_outputs(outputs, waiting->front());
  json out = described(step.plugin, treated, outputs, note_in_trash(trial->spool, step.dotted()));
  out["kept"] = trial->at.keep() ? trial->at.home().root.string() : "";
  return out;
}

Result<json> listen_trial(const std::string& home_option, const RunOptions& options, const Variation& variation) {
  const InterruptsNoted noted;
  if (InterruptsNoted::any()) return interrupted();
  auto trial = Trial::prepare(home_option, options, variation, WorkerKind::kListener);
  if (!trial) return trial.error();
  auto worker = start_worker(trial->worker);
  if (!worker) return worker.error();
  const std::int64_t began = monotonic_ns();
  const Treated treated = treat(**worker, "", kStopLimit_s);
  if (InterruptsNoted::any()) return interrupted();
  Treated shown = treated;
  if (treated.death == kStopped) shown.death.clear();
  json out = described(trial->worker.step.plugin, shown, json::array(), json());
  out["result"] = treated.death == kStopped ? "ok" : "died";
  out["milliseconds"] = static_cast<double>(monotonic_ns() - began) / 1e6;
  out["kept"] = "";
  return out;
}

Result<json> predicate_trial(const std::string& home_option, const RunOptions& options, const std::string& pattern, std::uint64_t grown_to,
                             const wire::TrialSettings& host) {
  const InterruptsNoted noted;
  if (InterruptsNoted::any()) return interrupted();
  std::string none;
  auto plan = plan_of(home_option, options, none);
  if (!plan) return plan.error();
  auto trial = TrialHome::make(std::move(*plan));
  if (!trial) return trial.error();
  boost::system::error_code code;
  Problems problems;
  const PluginSettings& plugin = trial->plugin();
  const Home& home = trial->home();
  wire::WorkerSettings worker;
  worker.home = home.root.string();
  worker.data_dir = trial->settings().general.data_dir;
  worker.predicate_timeout_s = kPredicateLimit_s;
  worker.trial = host;
  worker.rules = {SwitchRule{{}, "switch", {}, plugin.name, "plugin", "", pattern, {}}};
  worker.predicates = {{plugin.name, plugin.library, plugin.directory, resolved_custom(plugin, trial->settings(), home, "", problems)}};
  if (!problems.empty()) return Error{Code::kBadConfig, 0, problems.front().spell()};
  auto spool = trial->open_spool();
  if (!spool) return spool.error();
  const std::string file = (home.root / "file").string();
  MFDATA_TRY(copy_plain_file(options.file, file));
  if (grown_to > 0) fs::resize_file(file, grown_to, code);
  if (code) return system_error(code.value(), "cannot grow a copy of " + options.file);
  const auto before = sha256_of(file);
  auto program = find_program("mfdata-worker");
  if (!program) return program.error();
  std::string log;
  TagSet tags;
  MFDATA_TRY(tags.set("first.core.original_basename", "file"));
  wire::Answer answer;
  const CapturedErrors errors;
  {
    PredicateProcess process(*program, worker, [&](bool, const std::string& text) { log += text + '\n'; });
    process.start();
    answer = process.test(0, file, tags, 0);
  }
  if (InterruptsNoted::any()) return interrupted();
  log += errors.text();
  const auto after = sha256_of(file);
  return json{{"result", answer.code == 1   ? "yes"
                         : answer.code == 0 ? "no"
                                            : "error"},
              {"reason", answer.reason},
              {"log", log},
              {"changed", !before || !after || *before != *after}};
}

}  // namespace mfdata::tools
