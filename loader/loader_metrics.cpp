#include "loader_metrics.hpp"

#include <mfdata/plugin.h>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "libmfdata/clock.hpp"
#include "libmfdata/printable.hpp"
#include "wire/plugin_metrics.hpp"

namespace mfdata {
namespace {

using prometheus::BuildCounter;
using prometheus::BuildGauge;
using prometheus::BuildHistogram;

constexpr std::size_t kMaxPluginSeries = 1000;
constexpr std::int64_t kHung_ns = 30'000'000'000;

const prometheus::Histogram::BucketBoundaries kProcessingBuckets = {0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60, 600};
const prometheus::Histogram::BucketBoundaries kEndToEndBuckets = {0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60, 600, 3600, 86400};

}  // namespace

struct LoaderMetrics::PluginFamily {
  int kind = 0;
  prometheus::Family<prometheus::Counter>* counters = nullptr;
  prometheus::Family<prometheus::Gauge>* gauges = nullptr;
  prometheus::Family<prometheus::Histogram>* histograms = nullptr;
  std::set<std::map<std::string, std::string>> series;
};

struct LoaderMetrics::Families {
  prometheus::Registry registry;
  prometheus::Family<prometheus::Counter>& files = BuildCounter().Name("mfdata_files_total").Help("Files treated by a step, by result").Register(registry);
  prometheus::Family<prometheus::Counter>& bytes = BuildCounter().Name("mfdata_bytes_total").Help("Bytes of the files treated by a step").Register(registry);
  prometheus::Family<prometheus::Histogram>& seconds = BuildHistogram().Name("mfdata_processing_seconds").Help("Time of one treatment").Register(registry);
  prometheus::Family<prometheus::Gauge>& queue = BuildGauge().Name("mfdata_queue_files").Help("Files known to wait for a step").Register(registry);
  prometheus::Family<prometheus::Counter>& accepted = BuildCounter().Name("mfdata_accepted_files_total").Help("Files accepted from a watched directory, or deposited by a listener").Register(registry);
  prometheus::Family<prometheus::Counter>& refused = BuildCounter().Name("mfdata_refused_files_total").Help("Arrivals refused, by reason").Register(registry);
  prometheus::Family<prometheus::Counter>& routed = BuildCounter().Name("mfdata_routed_files_total").Help("Files passed from one step to another").Register(registry);
  prometheus::Family<prometheus::Counter>& retries = BuildCounter().Name("mfdata_retries_total").Help("Treatments put off to another attempt").Register(registry);
  prometheus::Family<prometheus::Gauge>& workers = BuildGauge().Name("mfdata_workers").Help("Worker processes by state").Register(registry);
  prometheus::Family<prometheus::Counter>& exits = BuildCounter().Name("mfdata_worker_exits_total").Help("Ends of worker processes, by reason").Register(registry);
  prometheus::Family<prometheus::Counter>& quarantined = BuildCounter().Name("mfdata_quarantined_files_total").Help("Files moved to trash").Register(registry);
  prometheus::Family<prometheus::Gauge>& oldest = BuildGauge().Name("mfdata_queue_oldest_seconds").Help("Since the arrival of the file that has waited longest for a step").Register(registry);
  prometheus::Gauge& trash = BuildGauge().Name("mfdata_trash_files").Help("Files in trash").Register(registry).Add({});
  prometheus::Family<prometheus::Gauge>& step_trash = BuildGauge().Name("mfdata_step_trash_files").Help("Files in trash by the step that put them there").Register(registry);
  prometheus::Family<prometheus::Gauge>& health = BuildGauge().Name("mfdata_component_health").Help("What a component says of itself: 0 ok, 1 degraded, 2 failed").Register(registry);
  std::set<std::pair<std::string, std::string>> with_health;
  prometheus::Family<prometheus::Gauge>& suspended = BuildGauge().Name("mfdata_step_suspended").Help("1: the step is suspended after crashes, and probed with one file at a time").Register(registry);
  prometheus::Family<prometheus::Counter>& deposited_bytes = BuildCounter().Name("mfdata_deposited_bytes_total").Help("Bytes that a listener has deposited").Register(registry);
  prometheus::Family<prometheus::Counter>& repeats = BuildCounter().Name("mfdata_repeated_deposits_total").Help("Deposits with an idempotency key that had come before").Register(registry);
  prometheus::Gauge& entrances = BuildGauge().Name("mfdata_entrances_open").Help("1: arrivals are accepted").Register(registry).Add({});
  prometheus::Gauge& free_bytes = BuildGauge().Name("mfdata_filesystem_free_bytes").Help("Free space of the data directory's filesystem").Register(registry).Add({});
  prometheus::Gauge& free_inodes = BuildGauge().Name("mfdata_filesystem_free_inodes").Help("Free inodes of the data directory's filesystem").Register(registry).Add({});
  prometheus::Gauge& log_problems = BuildGauge().Name("mfdata_log_files_unwritable").Help("Log files that cannot be written now: their lines go to stderr").Register(registry).Add({});
  prometheus::Counter& overflows = BuildCounter().Name("mfdata_inotify_overflows_total").Help("Overflows of the event queue of the kernel").Register(registry).Add({});
  prometheus::Gauge& generation = BuildGauge().Name("mfdata_config_generation").Help("Number of the configuration in force").Register(registry).Add({});
  prometheus::Counter& config_errors = BuildCounter().Name("mfdata_config_errors_total").Help("Configurations that were refused").Register(registry).Add({});
  prometheus::Histogram& end_to_end = BuildHistogram().Name("mfdata_end_to_end_seconds").Help("From the arrival of a file to its end").Register(registry).Add({}, kEndToEndBuckets);
  prometheus::Counter& dropped_series = BuildCounter().Name("mfdata_plugin_series_dropped_total").Help("Changes of plugin metrics dropped: too many series, or a name that is taken").Register(registry).Add({});

  // One lookup for a step instead of a hash of labels for each file.
  struct StepCells {
    std::map<std::string, prometheus::Counter*> files;
    prometheus::Counter* bytes = nullptr;
    prometheus::Histogram* seconds = nullptr;
  };
  std::map<std::pair<std::string, std::string>, StepCells> steps;
  std::map<std::string, prometheus::Counter*> accepted_by_source;
  std::map<std::pair<std::string, std::string>, prometheus::Counter*> routes;
  std::map<std::string, std::size_t> plugin_series;
  std::map<std::string, PluginFamily> plugin_families;
  std::set<std::string> plugin_names = {"mfdata_plugin_series_dropped_total"};  // of all their series
  std::set<std::string> plugin_complaints;                                      // each is told once
};

LoaderMetrics::LoaderMetrics() : families_(std::make_unique<Families>()) {}
LoaderMetrics::~LoaderMetrics() = default;

Result<void> LoaderMetrics::serve(const std::string& listen) {
  if (listen == listen_ && !listen.ends_with(":0")) return {};
  listen_ = listen;
  server_.reset();
  if (listen.empty()) return {};
  auto server = HttpServer::listen(listen, [this](const std::string& path) { return answer(path); });
  if (!server) {
    listen_.clear();
    return Error{Code::kIo, 0, "cannot serve metrics on " + listen + ": " + server.error().text + ". Set [metrics] listen to a free address, or to \"\""};
  }
  server_ = std::move(*server);
  return {};
}

// On the server's thread.
HttpServer::Reply LoaderMetrics::answer(const std::string& path) const {
  if (path == "/metrics") return {200, prometheus::TextSerializer().Serialize(families_->registry.Collect())};
  const std::int64_t last = last_turn_ns_;
  const bool healthy = last > 0 && monotonic_ns() - last < kHung_ns;
  if (path == "/healthz") return healthy ? HttpServer::Reply{200, "ok\n"} : HttpServer::Reply{503, "not healthy\n"};
  if (path != "/readyz") return {404, "not found: /metrics, /healthz and /readyz are served here\n"};
  if (!healthy) return {503, last > 0 ? "the loader does not turn\n" : "the loader is starting\n"};
  const std::lock_guard<std::mutex> lock(unready_mutex_);
  return unready_.empty() ? HttpServer::Reply{200, "ready\n"} : HttpServer::Reply{503, unready_};
}

void LoaderMetrics::set_unready(const std::vector<std::string>& reasons) {
  std::string text;
  for (const std::string& reason : reasons) text += reason + '\n';
  const std::lock_guard<std::mutex> lock(unready_mutex_);
  unready_ = std::move(text);
}

int LoaderMetrics::port() const { return server_ ? server_->port() : 0; }

void LoaderMetrics::file_done(const std::string& plugin, const std::string& step, const wire::Done& done, bool arrived,
                              const std::string& source) {
  const char* result = wire::result_word(done.outcome);
  if (!result) return;
  const prometheus::Labels labels = {{"plugin", plugin}, {"step", step}};
  Families::StepCells& cells = families_->steps[{plugin, step}];
  prometheus::Counter*& counter = cells.files[result];
  if (!counter) counter = &families_->files.Add({{"plugin", plugin}, {"step", step}, {"result", result}});
  if (!cells.bytes) cells.bytes = &families_->bytes.Add(labels);
  if (!cells.seconds) cells.seconds = &families_->seconds.Add(labels, kProcessingBuckets);
  counter->Increment();
  cells.bytes->Increment(static_cast<double>(done.bytes));
  cells.seconds->Observe(static_cast<double>(done.duration_ns) * 1e-9);
  if (done.outcome == wire::Outcome::kRetried) families_->retries.Add(labels).Increment();
  if (done.trashed) families_->quarantined.Add(labels).Increment();
  if (done.ended) families_->end_to_end.Observe(static_cast<double>(done.age_ms) * 1e-3);
  if (arrived) accepted(source);
}

void LoaderMetrics::deposited(const std::string& source, std::uint64_t files, std::uint64_t bytes, std::uint64_t repeats) {
  families_->accepted.Add({{"source", source}}).Increment(static_cast<double>(files));
  families_->deposited_bytes.Add({{"source", source}}).Increment(static_cast<double>(bytes));
  families_->repeats.Add({{"source", source}}).Increment(static_cast<double>(repeats));
}

void LoaderMetrics::accepted(const std::string& source) {
  prometheus::Counter*& accepted = families_->accepted_by_source[source];
  if (!accepted) accepted = &families_->accepted.Add({{"source", source}});
  accepted->Increment();
}

void LoaderMetrics::routed(const std::string& from, const std::string& to) {
  prometheus::Counter*& routed = families_->routes[{from, to}];
  if (!routed) routed = &families_->routed.Add({{"from", from}, {"to", to}});
  routed->Increment();
}
void LoaderMetrics::refused(const std::string& source, const std::string& reason) { families_->refused.Add({{"source", source}, {"reason", reason}}).Increment(); }
void LoaderMetrics::worker_exit(const std::string& plugin, const std::string& step, const std::string& reason) {
  families_->exits.Add({{"plugin", plugin}, {"step", step}, {"reason", reason}}).Increment();
}
void LoaderMetrics::overflow() { families_->overflows.Increment(); }
void LoaderMetrics::set_queue(const std::string& plugin, const std::string& step, double files) { families_->queue.Add({{"plugin", plugin}, {"step", step}}).Set(files); }
void LoaderMetrics::set_workers(const std::string& plugin, const std::string& step, const std::string& state, double number) {
  families_->workers.Add({{"plugin", plugin}, {"step", step}, {"state", state}}).Set(number);
}
void LoaderMetrics::set_oldest(const std::string& plugin, const std::string& step, double seconds) { families_->oldest.Add({{"plugin", plugin}, {"step", step}}).Set(seconds); }
void LoaderMetrics::set_trash_files(double files) { families_->trash.Set(files); }
void LoaderMetrics::set_step_trash(const std::map<std::string, std::size_t>& files) {
  for (const auto& [dotted, number] : files) {
    const std::size_t dot = std::min(dotted.find('.'), dotted.size());
    families_->step_trash.Add({{"plugin", dotted.substr(0, dot)}, {"step", dotted.substr(std::min(dot + 1, dotted.size()))}}).Set(static_cast<double>(number));
  }
}
void LoaderMetrics::set_health(const std::string& plugin, const std::string& step, std::optional<std::uint8_t> state) {
  if (state) families_->with_health.emplace(plugin, step);
  if (families_->with_health.contains({plugin, step})) families_->health.Add({{"plugin", plugin}, {"step", step}}).Set(state.value_or(MFDATA_HEALTH_OK));
}

void LoaderMetrics::set_suspended(const std::string& plugin, const std::string& step, bool suspended) {
  families_->suspended.Add({{"plugin", plugin}, {"step", step}}).Set(suspended ? 1 : 0);
}
void LoaderMetrics::set_room(bool entrances_open, double free_bytes, double free_inodes) {
  families_->entrances.Set(entrances_open ? 1 : 0);
  families_->free_bytes.Set(free_bytes);
  families_->free_inodes.Set(free_inodes);
}
void LoaderMetrics::set_log_problems(std::size_t files) { families_->log_problems.Set(static_cast<double>(files)); }
void LoaderMetrics::set_config_generation(double generation) { families_->generation.Set(generation); }
void LoaderMetrics::config_error() { families_->config_errors.Increment(); }

// The family of a metric, made when it is new; nullptr: its name, or that of one of its series, is another one's.
LoaderMetrics::PluginFamily* LoaderMetrics::plugin_family(const std::string& name, int kind) {
  const auto known = families_->plugin_families.find(name);
  if (known != families_->plugin_families.end()) return known->second.kind == kind ? &known->second : nullptr;
  const std::vector<std::string> series = wire::series_names(kind, name);
  const auto taken = [this](const std::string& one) { return families_->plugin_names.contains(one); };
  if (std::any_of(series.begin(), series.end(), taken)) return nullptr;
  families_->plugin_names.insert(series.begin(), series.end());
  PluginFamily& family = families_->plugin_families[name];
  family.kind = kind;
  return &family;
}

std::string LoaderMetrics::plugin_metric(const std::string& plugin, const wire::MetricDelta& delta) {
  const auto dropped = [&](const std::string& why) {
    families_->dropped_series.Increment();
    const bool told = families_->plugin_complaints.size() >= kMaxPluginSeries || !families_->plugin_complaints.insert(plugin + ' ' + why).second;
    return told ? std::string() : why;
  };
  if (!wire::well_formed(delta)) return dropped("a metric of the plugin that is not well formed is dropped");
  const std::string name = wire::exported_name(plugin, delta.name);
  std::map<std::string, std::string> labels = {{"plugin", plugin}};
  for (const auto& [key, value] : delta.labels) labels[key] = printable(value);
  std::size_t& series = families_->plugin_series[plugin];
  const auto known = families_->plugin_families.find(name);
  const bool fresh = known == families_->plugin_families.end() || !known->second.series.contains(labels);
  if (fresh && series >= kMaxPluginSeries) return dropped("the plugin has more than 1000 series of metrics: the others are dropped");
  PluginFamily* family = plugin_family(name, delta.kind);
  if (!family) {
    return dropped("the metric \"" + delta.name + "\" of the plugin is dropped: " + name + " is of another kind, or belongs to another metric, since the loader started");
  }
  series += family->series.insert(labels).second;
  const std::string help = delta.help.empty() ? "Of the plugin " + plugin : wire::help_text(delta.help);
  try {
    if (delta.kind == MFDATA_COUNTER) {
      if (!family->counters) family->counters = &BuildCounter().Name(name).Help(help).Register(families_->registry);
      family->counters->Add(labels).Increment(delta.value);
    } else if (delta.kind == MFDATA_GAUGE) {
      if (!family->gauges) family->gauges = &BuildGauge().Name(name).Help(help).Register(families_->registry);
      family->gauges->Add(labels).Set(delta.value);
    } else {
      if (!family->histograms) family->histograms = &BuildHistogram().Name(name).Help(help).Register(families_->registry);
      family->histograms->Add(labels, delta.buckets.empty() ? kProcessingBuckets : delta.buckets).Observe(delta.value);
    }
  } catch (const std::invalid_argument& error) {  // a name or label that Prometheus does not take
    return dropped("the metric \"" + delta.name + "\" of the plugin is dropped: " + error.what());
  }
  return "";
}

void LoaderMetrics::forget_step(const std::string& plugin, const std::string& step) {
  set_queue(plugin, step, 0);
  set_oldest(plugin, step, 0);
  set_suspended(plugin, step, false);
  set_health(plugin, step, std::nullopt);
  for (const char* state : {"starting", "ready", "stopping", "reaping"}) set_workers(plugin, step, state, 0);
}

}  // namespace mfdata
