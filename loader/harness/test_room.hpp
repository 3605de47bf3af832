// What all components of one plugin share in a test: the trial home, the library, and what is held against its calls.
#pragma once

#include <mfdata/harness.h>

#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "harness/collected_files.hpp"
#include "harness/kept_result.hpp"
#include "trial/trial_home.hpp"
#include "worker/call_faults.hpp"
#include "worker/plugin_host.hpp"

namespace mfdata {

// A file that is given to the plugin.
struct TestFile {
  std::string path;  // empty: `content`
  std::string content, name;
  TagSet tags;
};

struct RoomOptions {
  std::string plugin;  // a folder or a library; empty: none
  const mfdata_plugin* (*entry)(void) = nullptr;
  std::optional<std::string> manifest;
  std::string configuration;
  std::vector<std::string> targets;
  bool in_memory = false;
  bool keep = false;
};

class TestRoom {
 public:
  static Result<std::unique_ptr<TestRoom>> open(const RoomOptions& options);

  const TrialHome& trial() const { return trial_; }
  const Spool& spool() const { return spool_; }
  const mfdata_plugin* plugin() const { return plugin_; }
  FileShelf& shelf() { return shelf_; }
  wire::ProgressPage& page() { return page_; }
  CallFaults& faults() { return faults_; }
  Surroundings surroundings();

  // With the directories that it needs.
  Result<wire::WorkerSettings> settings_of(WorkerKind kind, const std::string& name);
  wire::WorkerSettings predicate_settings() const;
  double timeout_s(double configured) const { return deadline_s_.value_or(configured); }
  void set_deadline(std::optional<double> seconds) { deadline_s_ = seconds; }

  // A new file before a step, as a listener brings it; its uid.
  Result<std::string> place(const TestFile& file, const std::string& dotted_step);
  // Files that wait before a step, by uid: away, or (those that wait for another attempt) to where their turn is.
  void discard(const std::string& dotted_step, const std::vector<std::string>& uids);
  Result<void> bring_back(const std::string& dotted_step, const std::vector<std::string>& uids);
  // A copy on the shelf, which is of no step; its path.
  Result<std::string> copy(const TestFile& file);

  // Adds the log, the metrics and the calls since the last time.
  void finish(KeptResult& result, std::vector<wire::MetricDelta> metrics);

 private:
  TestRoom(TrialHome trial, Spool spool, const mfdata_plugin* plugin, std::string library)
      : trial_(std::move(trial)),
        spool_(std::move(spool)),
        plugin_(plugin),
        library_(std::move(library)),
        shelf_(spool_, (trial_.home().root / "shelf").string()) {}

  TrialHome trial_;
  const Spool spool_;
  const mfdata_plugin* plugin_;
  const std::string library_;  // empty: linked in
  FileShelf shelf_;
  wire::ProgressPage page_;
  CallFaults faults_;
  std::uint64_t calls_seen_ = 0, failures_seen_ = 0;
  std::optional<double> deadline_s_;
  std::mutex log_mutex_;
  std::vector<LogLine> log_;
};

}  // namespace mfdata
