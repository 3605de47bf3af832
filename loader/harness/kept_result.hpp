// The memory of one mfdata_harness_result: takes the parts, then shows them in the form of the C header. Texts are kept with
// a zero byte behind their end. Never changes once it is shown; owned by its harness.
#pragma once

#include <mfdata/harness.h>

#include <deque>
#include <string>
#include <vector>

#include "harness/collected_files.hpp"
#include "wire/worker_protocol.hpp"

namespace mfdata {

struct LogLine {
  int level;
  std::string text;
};

struct FileEnd {
  mfdata_rc code = MFDATA_FAIL;
  std::string outcome, reason, fate;
  std::int64_t retry_ms = 0;
};

class KeptResult {
 public:
  KeptResult() = default;
  KeptResult(const KeptResult&) = delete;
  KeptResult& operator=(const KeptResult&) = delete;

  void add(const FileEnd& end);
  void add(const CollectedFile& file);
  void add(const LogLine& line);
  void add(const std::string& plugin, const wire::MetricDelta& delta);
  void add_duration(std::int64_t ns) { shown_.duration_ns += ns; }
  void note_late() { shown_.flags |= MFDATA_HARNESS_LATE; }
  void note_calls(std::uint64_t calls, std::uint64_t failed);
  void set_outcome(const std::string& outcome, const std::string& reason);

  const mfdata_harness_result* show();  // nothing is added from then on

 private:
  mfdata_str keep(const std::string& text);
  template <class Set>
  const mfdata_harness_pair* keep_pairs(const Set& set);

  mfdata_harness_result shown_{};
  std::deque<std::string> texts_;
  std::deque<std::vector<mfdata_harness_pair>> pairs_;
  std::deque<mfdata_harness_end> ends_;
  std::deque<mfdata_harness_output> outputs_;
  std::deque<mfdata_harness_log> logs_;
  std::deque<mfdata_harness_metric> metrics_;
  std::vector<wire::MetricDelta> series_;  // of metrics_
  std::vector<const mfdata_harness_end*> end_list_;
  std::vector<const mfdata_harness_output*> output_list_;
  std::vector<const mfdata_harness_log*> log_list_;
  std::vector<const mfdata_harness_metric*> metric_list_;
};

}  // namespace mfdata
