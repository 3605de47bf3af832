#include "harness/kept_result.hpp"

#include <algorithm>

#include "wire/plugin_metrics.hpp"

namespace mfdata {

mfdata_str KeptResult::keep(const std::string& text) {
  const std::string& kept = texts_.emplace_back(text);
  return {kept.c_str(), kept.size()};
}

template <class Set>
const mfdata_harness_pair* KeptResult::keep_pairs(const Set& set) {
  auto& pairs = pairs_.emplace_back();
  for (const auto& [name, value] : set) pairs.push_back({keep(std::string(name)), keep(std::string(value))});
  return pairs.data();
}

void KeptResult::add(const FileEnd& end) {
  ends_.push_back({sizeof(mfdata_harness_end), end.code, keep(end.outcome), keep(end.reason), keep(end.fate), end.retry_ms});
}

void KeptResult::add(const CollectedFile& file) {
  mfdata_harness_output output{};
  output.struct_size = sizeof output;
  output.input = file.input;
  output.to = keep(file.to);
  output.name = keep(file.name);
  output.path = keep(file.path);
  output.content = keep(file.content);
  output.size = file.size;
  output.tags = keep_pairs(file.tags);
  output.n_tags = static_cast<std::uint32_t>(file.tags.size());
  outputs_.push_back(output);
}

void KeptResult::add(const LogLine& line) { logs_.push_back({sizeof(mfdata_harness_log), line.level, keep(line.text)}); }

void KeptResult::add(const std::string& plugin, const wire::MetricDelta& delta) {
  const auto known =
      std::find_if(series_.begin(), series_.end(), [&](const auto& one) { return one.name == delta.name && one.labels == delta.labels; });
  if (known == series_.end()) {
    series_.push_back(delta);
    metrics_.push_back({sizeof(mfdata_harness_metric), delta.kind, keep(wire::exported_name(plugin, delta.name)), keep_pairs(delta.labels),
                        static_cast<std::uint32_t>(delta.labels.size()), 1, delta.value});
    return;
  }
  mfdata_harness_metric& metric = metrics_[static_cast<std::size_t>(known - series_.begin())];
  ++metric.changes;
  metric.value = delta.kind == MFDATA_GAUGE ? delta.value : metric.value + delta.value;
}

void KeptResult::note_calls(std::uint64_t calls, std::uint64_t failed) {
  shown_.calls += calls;
  shown_.failed_calls += failed;
}

void KeptResult::set_outcome(const std::string& outcome, const std::string& reason) {
  shown_.outcome = keep(outcome);
  shown_.reason = keep(reason);
}

template <class T>
static void list(const std::deque<T>& all, std::vector<const T*>& pointers, const T* const*& shown, std::uint32_t& n) {
  for (const T& one : all) pointers.push_back(&one);
  shown = pointers.data();
  n = static_cast<std::uint32_t>(pointers.size());
}

const mfdata_harness_result* KeptResult::show() {
  shown_.struct_size = sizeof shown_;
  list(ends_, end_list_, shown_.ends, shown_.n_ends);
  list(outputs_, output_list_, shown_.outputs, shown_.n_outputs);
  list(logs_, log_list_, shown_.logs, shown_.n_logs);
  list(metrics_, metric_list_, shown_.metrics, shown_.n_metrics);
  if (!shown_.outcome.p && !ends_.empty()) {
    shown_.outcome = ends_.front().outcome;
    shown_.reason = ends_.front().reason;
  }
  if (!shown_.outcome.p) set_outcome("ok", "");
  return &shown_;
}

}  // namespace mfdata
