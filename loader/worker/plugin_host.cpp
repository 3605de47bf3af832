#include "worker/plugin_host.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/filesystem/operations.hpp>
#include <cerrno>

#include "libmfdata/home.hpp"
#include "libmfdata/listen_address.hpp"
#include "libmfdata/printable.hpp"
#include "worker/call_faults.hpp"
#include "worker/channel.hpp"
#include "worker/rules_table.hpp"
#include "worker/trial_host.hpp"

namespace mfdata {
namespace {

constexpr std::size_t kMaxLogLine = 4096;
constexpr std::size_t kMaxMetrics = 1000;
constexpr std::size_t kMaxPendingDeltas = 1024;

int level_of(const std::string& name) {
  if (name == "debug") return MFDATA_LOG_DEBUG;
  if (name == "warning") return MFDATA_LOG_WARNING;
  if (name == "error") return MFDATA_LOG_ERROR;
  return MFDATA_LOG_INFO;
}

mfdata_str str(const std::string& text) { return {text.data(), text.size()}; }

const mfdata_host* table_of(const Surroundings& surroundings) { return surroundings.faults ? failing_table() : PluginHost::table(); }

}  // namespace

PluginHost::PluginHost(const Spool& spool, const wire::WorkerSettings& settings, wire::ProgressPage& progress, Surroundings surroundings)
    : spool_(spool),
      settings_(settings),
      progress_(progress),
      surroundings_(std::move(surroundings)),
      older_(settings.trial.sizes.host > 0 ? std::make_unique<OlderHost>(settings.trial.sizes, *table_of(surroundings_), *rules_table()) : nullptr),
      log_level_(level_of(settings.log_level)),
      committer_(spool) {
  rules_.reserve(settings.rules.size());
  for (const std::string& directory : settings.watched_directories) watched_directories_.push_back(spool.disk().absolute(directory));
  std::sort(watched_directories_.begin(), watched_directories_.end());
  for (const SwitchRule& rule : settings.rules) {
    Rule& shown = rules_.emplace_back(Rule{&rule, rule.where.file + ':' + std::to_string(rule.where.line), {}});
    for (const std::string& target : rule.targets) shown.targets.push_back(str(target));
  }
}

PredicateProcess& PluginHost::predicates() {
  if (!predicates_) {
    predicates_ = std::make_unique<PredicateProcess>(surroundings_.predicate_program, settings_, [this](bool is_error, const std::string& text) {
      write_log(is_error ? MFDATA_LOG_ERROR : MFDATA_LOG_WARNING, text);
    });
    predicates_->start();
  }
  return *predicates_;
}

PluginHost::~PluginHost() = default;

const mfdata_init* PluginHost::init_for_create() {
  init_.struct_size = sizeof init_;
  init_.host = older_ ? older_->host() : table_of(surroundings_);
  init_.ctx = this;
  init_.plugin_name = str(settings_.step.plugin);
  init_.step_name = str(settings_.step.name);
  init_.plugin_dir = str(settings_.plugin_dir);
  return older_ ? older_->shown(init_) : &init_;
}

const mfdata_tick* PluginHost::tick_at(std::int64_t now_ns, std::int64_t last_ns) {
  tick_.struct_size = sizeof tick_;
  tick_.now_ns = now_ns;
  tick_.last_ns = last_ns;
  return older_ ? older_->shown(tick_) : &tick_;
}

const mfdata_rules* PluginHost::rules_shown() const { return older_ ? older_->rules() : rules_table(); }

void PluginHost::enter(Treatment* treatment, std::int64_t deadline_ns) {
  kept_.clear();
  treatment_ = treatment;
  deadline_ns_ = deadline_ns;
  thread_ = std::this_thread::get_id();
  if (treatment && settings_.trial.interrupted) cancel_softly();
}

void PluginHost::leave() {
  thread_ = std::thread::id();
  treatment_ = nullptr;
  deadline_ns_ = 0;
}

void PluginHost::enter_event(std::string& reason) {
  kept_of_event_.clear();
  reason.clear();
  event_reason_ = &reason;
  event_thread_ = std::this_thread::get_id();
}

void PluginHost::leave_event() { event_thread_ = std::thread::id(); }

Treatment* PluginHost::treatment() { return thread_.load() == std::this_thread::get_id() ? treatment_ : nullptr; }

// One line, one write: "<priority>text" as sd-daemon(3) has it; the loader adds time and step.
void PluginHost::write_log(int level, std::string_view message) const {
  static constexpr std::array<const char*, 4> kPriorities = {"<7>", "<6>", "<4>", "<3>"};
  if (!log_enabled(level)) return;
  if (surroundings_.log) return surroundings_.log(level, printable(message, kMaxLogLine));
  std::string line = kPriorities[static_cast<std::size_t>(std::min(std::max(level, 0), 3))] + printable(message, kMaxLogLine);
  line += '\n';
  if (::write(STDERR_FILENO, line.data(), line.size()) < 0) return;  // a full pipe: the line is lost, the file is not
}

mfdata_str PluginHost::keep(std::string text) {
  const std::string& kept = (in_event() ? kept_of_event_ : kept_).emplace_back(std::move(text));
  return str(kept);
}

mfdata_str PluginHost::keep_for_life(std::string text) {
  const std::lock_guard lock(life_mutex_);
  const auto known = std::find(kept_for_life_.begin(), kept_for_life_.end(), text);
  return str(known != kept_for_life_.end() ? *known : kept_for_life_.emplace_back(std::move(text)));
}

Result<std::string> PluginHost::state_dir() {
  // On trial beside the component itself: a place of its own.
  const boost::filesystem::path path = settings_.task == wire::Task::kTryStart ? boost::filesystem::path(settings_.data_dir) / "state" / settings_.step.name
                                                                               : Home{settings_.home}.state_of(settings_.step.plugin, settings_.step.name);
  boost::system::error_code failed;
  boost::filesystem::create_directories(path.parent_path(), failed);
  if (!failed && ::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return system_error(errno, "cannot make " + path.string());
  if (failed) return system_error(failed.value(), "cannot make " + path.parent_path().string());
  return path.string();
}

void PluginHost::report_health(int state, std::string text) {
  if (channel_) channel_->send(wire::Health{static_cast<std::uint8_t>(state), std::move(text)});
}

Result<FileDescriptor> PluginHost::listen_socket(const std::string& address, unsigned mode) {
  if (settings_.sockets_from_loader && channel_) return channel_->ask_socket(address, mode);
  // On trial: the loader that asks, or that is asked about, may have it itself, and nobody shall connect.
  if (settings_.task == wire::Task::kTryStart) {
    const auto possible = can_bind(address);
    return possible ? listening_socket("127.0.0.1:0") : Result<FileDescriptor>(possible.error());
  }
  auto bound = BoundSocket::bind(address, mode);
  if (!bound) return bound.error();
  FileDescriptor given(::fcntl(bound->descriptor(), F_DUPFD_CLOEXEC, 0));
  if (!given) return system_error(errno, "no descriptor for a socket");
  const std::lock_guard lock(life_mutex_);
  sockets_.push_back(std::move(*bound));
  return given;
}

Result<void> PluginHost::watch_path(const std::string& path) {
  constexpr std::size_t kMaxWatched = 64;
  const std::lock_guard lock(life_mutex_);
  const auto known = std::find_if(watched_paths_.begin(), watched_paths_.end(), [&](const WatchedPath& one) { return one.path == path; });
  if (known != watched_paths_.end()) return {};
  if (watched_paths_.size() >= kMaxWatched) return Error{Code::kLimit, 0, "more than 64 watched paths"};
  WatchedPath watched{path, {}};
  if (::stat(path.c_str(), &watched.first) != 0) watched.first = {};
  watched_paths_.push_back(std::move(watched));
  return {};
}

std::vector<PluginHost::WatchedPath> PluginHost::watched_paths() {
  const std::lock_guard lock(life_mutex_);
  return watched_paths_;
}

Result<std::uint64_t> PluginHost::add_metric(wire::MetricDefinition metric) {
  const std::lock_guard lock(metrics_mutex_);
  for (const wire::MetricDefinition& known : metrics_) {
    if (known.same_as(metric)) return static_cast<std::uint64_t>(&known - metrics_.data() + 1);
    if (!wire::share_series(known, metric)) continue;
    return Error{Code::kBadData, 0, "the metric \"" + metric.name + "\" is in conflict with the metric \"" + known.name +
                                        "\" of another kind, other labels or other buckets, which this component has made before"};
  }
  if (metrics_.size() >= kMaxMetrics) return Error{Code::kLimit, 0, "more than 1000 metrics"};
  metrics_.push_back(std::move(metric));
  return static_cast<std::uint64_t>(metrics_.size());
}

Result<void> PluginHost::change_metric(std::uint64_t id, double value, std::vector<std::string> labels) {
  const std::lock_guard lock(metrics_mutex_);
  if (id == 0 || id > metrics_.size()) return Error{Code::kNotFound, 0, "no such metric"};
  const wire::MetricDefinition& metric = metrics_[id - 1];
  if (metric.kind == MFDATA_COUNTER && value < 0) return Error{Code::kBadData, 0, "a counter only rises"};
  if (labels.size() != metric.label_keys.size()) return Error{Code::kBadData, 0, "the number of labels is not that of the metric"};
  if (deltas_.size() >= kMaxPendingDeltas) return Error{Code::kLimit, 0, "too many changes of metrics in one call"};
  wire::MetricDelta delta{static_cast<std::uint8_t>(metric.kind), metric.name, metric.help, {}, metric.buckets, value};
  for (std::size_t i = 0; i < labels.size(); ++i) delta.labels.emplace_back(metric.label_keys[i], std::move(labels[i]));
  if (metric.kind == MFDATA_COUNTER) {  // the same series once
    for (wire::MetricDelta& pending : deltas_) {
      if (pending.name != delta.name || pending.labels != delta.labels) continue;
      pending.value += value;
      return {};
    }
  }
  deltas_.push_back(std::move(delta));
  return {};
}

std::vector<wire::MetricDelta> PluginHost::take_metrics() {
  const std::lock_guard lock(metrics_mutex_);
  return std::exchange(deltas_, {});
}

}  // namespace mfdata
