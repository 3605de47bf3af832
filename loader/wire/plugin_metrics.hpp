// The metrics of plugins: what they may be called, and how they are exported. Shared by the worker, which refuses what a plugin
// asks for, by the loader, which trusts no worker, and by the test harness. Pure.
//
// A metric NAME of the plugin that is installed as PLUGIN is exported as mfdata_plugin_PLUGIN_NAME, with the label plugin="PLUGIN":
// plugins have no names in common, so that none can spoil or hide what another counts. A library that is installed under two
// names is two plugins.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "libmfdata/result.hpp"
#include "wire/worker_protocol.hpp"

namespace mfdata::wire {

struct MetricDefinition {
  int kind = 0;  // MFDATA_COUNTER, MFDATA_GAUGE, MFDATA_HISTOGRAM
  std::string name, help;
  std::vector<std::string> label_keys;
  std::vector<double> buckets;

  // Whether a metric that is made again is the same one; the help text may differ.
  bool same_as(const MetricDefinition& other) const;
};

// kBadData, with what is wrong.
Result<void> check_metric(const MetricDefinition& metric);
// The names of its series: more than one of a histogram.
std::vector<std::string> series_names(int kind, const std::string& name);
// Two metrics of different names that have a series in common: a histogram "x" and a counter "x_count".
bool share_series(const MetricDefinition& one, const MetricDefinition& other);

std::string exported_name(const std::string& plugin, const std::string& name);
// UTF-8 without control characters: at most 200 bytes are taken, and what is no such byte stands as \xNN.
std::string label_value(std::string_view value);
// As the format of /metrics has it: one line, "\" as "\\".
std::string help_text(std::string_view help);

// Of a message of a worker: all that a well-formed /metrics needs.
bool well_formed(const MetricDelta& delta);

}  // namespace mfdata::wire
