#include "wire/plugin_metrics.hpp"

#include <mfdata/plugin.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "libmfdata/printable.hpp"

namespace mfdata::wire {
namespace {

constexpr std::size_t kMaxLabels = 8;
constexpr std::size_t kMaxBuckets = 32;
constexpr std::size_t kMaxHelp = 1000;
constexpr std::size_t kMaxLabelValue = 200;

Error wrong(std::string text) { return Error{Code::kBadData, 0, std::move(text)}; }
std::string quoted(const std::string& text) { return '"' + printable(text, 100) + '"'; }

bool is_word(std::string_view text) {
  return !text.empty() && text.size() <= 100 && (text[0] < '0' || text[0] > '9') &&
         std::all_of(text.begin(), text.end(), [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; });
}

// Labels that Prometheus, or the export of histograms and summaries, makes by itself; and ours.
bool is_taken(std::string_view key) { return key.starts_with("__") || key == "le" || key == "quantile" || key == "plugin"; }

bool rises(const std::vector<double>& buckets) {
  return std::all_of(buckets.begin(), buckets.end(), [](double bound) { return std::isfinite(bound); }) &&
         std::adjacent_find(buckets.begin(), buckets.end(), std::greater_equal<>()) == buckets.end();
}

bool is_utf8_text(std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    const auto first = static_cast<unsigned char>(text[0]);
    if (length == 0 || first < 0x20 || first == 0x7f) return false;
    text.remove_prefix(length);
  }
  return true;
}

Result<void> check_labels(const std::vector<std::string>& keys) {
  if (keys.size() > kMaxLabels) return wrong("it has more than 8 labels");
  for (const std::string& key : keys) {
    if (!is_word(key)) return wrong("the label " + quoted(key) + " is not of the form [a-z_][a-z0-9_]{0,99}");
    if (is_taken(key)) return wrong("the label " + quoted(key) + " is made by the host or by Prometheus");
  }
  const std::set<std::string> different(keys.begin(), keys.end());
  return different.size() == keys.size() ? Result<void>() : wrong("a label stands there twice");
}

}  // namespace

bool MetricDefinition::same_as(const MetricDefinition& other) const {
  return kind == other.kind && name == other.name && label_keys == other.label_keys && buckets == other.buckets;
}

Result<void> check_metric(const MetricDefinition& metric) {
  if (metric.kind < MFDATA_COUNTER || metric.kind > MFDATA_HISTOGRAM) return wrong("there is no metric of the kind " + std::to_string(metric.kind));
  if (!is_word(metric.name)) return wrong("the name of the metric " + quoted(metric.name) + " is not of the form [a-z_][a-z0-9_]{0,99}");
  const std::string which = "the metric " + quoted(metric.name) + ": ";
  if (metric.help.size() > kMaxHelp || !is_utf8_text(metric.help)) {
    return wrong(which + "its help text is one line of UTF-8, of at most 1000 bytes");
  }
  if (auto labels = check_labels(metric.label_keys); !labels) return wrong(which + labels.error().text);
  if (metric.kind != MFDATA_HISTOGRAM && !metric.buckets.empty()) return wrong(which + "only a histogram has buckets");
  if (metric.buckets.size() > kMaxBuckets || !rises(metric.buckets)) return wrong(which + "its buckets are at most 32 finite bounds, each above the one before");
  return {};
}

std::vector<std::string> series_names(int kind, const std::string& name) {
  std::vector<std::string> names = {name};
  if (kind != MFDATA_HISTOGRAM) return names;
  for (const char* suffix : {"_bucket", "_sum", "_count"}) names.push_back(name + suffix);
  return names;
}

bool share_series(const MetricDefinition& one, const MetricDefinition& other) {
  const auto mine = series_names(one.kind, one.name), others = series_names(other.kind, other.name);
  return std::find_first_of(mine.begin(), mine.end(), others.begin(), others.end()) != mine.end();
}

std::string exported_name(const std::string& plugin, const std::string& name) {
  std::string prefix = "mfdata_plugin_" + plugin + '_';
  std::replace(prefix.begin(), prefix.end(), '-', '_');
  return prefix + name;
}

std::string label_value(std::string_view value) {
  std::size_t end = std::min(value.size(), kMaxLabelValue);
  while (end < value.size() && end > kMaxLabelValue - 4 && (static_cast<unsigned char>(value[end]) & 0xc0) == 0x80) --end;  // no half character
  return printable(value.substr(0, end));
}

std::string help_text(std::string_view help) {
  std::string text;
  for (const char c : printable(help, kMaxHelp)) text += c == '\\' ? "\\\\" : std::string(1, c);
  return text;
}

bool well_formed(const MetricDelta& delta) {
  MetricDefinition metric{delta.kind, delta.name, "", {}, delta.buckets};
  for (const auto& label : delta.labels) metric.label_keys.push_back(label.first);
  return std::isfinite(delta.value) && check_metric(metric);
}

}  // namespace mfdata::wire
