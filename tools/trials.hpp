// One component of a plugin tried again and again: what becomes of a small file, or of a question, under one variation after another.
//
// Each trial is a home and a worker of its own. An exception that left the plugin is told apart from every other death: it is kept here,
// for the rule that forbids it.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "trial_run.hpp"

namespace mfdata::tools {

struct ReleasedSizes {
  const char* version;
  wire::TableSizes sizes;
};
inline constexpr ReleasedSizes kReleasedSizes[] = {{"1.0-rc2", {376, 72, 24, 32}}};  // each release adds its own

struct Outcome {
  std::string death;    // why it died of itself or had to be killed; empty: it answered, it refused, or an exception killed it
  std::string refusal;  // why it did not begin, or ended by itself
  bool overdue = false; // it was killed for its time
  std::string log;
  double milliseconds = 0;
  bool changed = false;  // of a question: the file is not what it was
};

class Trials {
 public:
  Trials(const std::string& folder, const StepSettings& component, const std::vector<std::string>& custom);
  ~Trials();
  Trials(const Trials&) = delete;
  Trials& operator=(const Trials&) = delete;

  // `file`: "sample", of one line, or "empty"; `what` was varied is for the text of an exception. A listener gets no file: it is told to
  // stop.
  Outcome run(const char* file, const std::string& what = "", Variation variation = {});
  Outcome ask(const std::string& pattern, const char* file, const std::string& what = "", std::uint64_t grown_to = 0,
              const wire::TrialSettings& host = {});

  // The first exception that left the plugin, and when; empty: none.
  const std::string& escaped() const { return escaped_; }

 private:
  void note_escape(Outcome& outcome, const std::string& what);

  WorkerKind kind_;
  RunOptions options_;
  std::string place_;
  std::string escaped_;
};

// Each host call fails in turn, as long as there are more: every one of the first 200, then now and then. `trial` is told the number of the
// one that fails. What is wrong; empty: nothing.
std::string failing_calls(const Trials& trials, const std::function<Outcome(const std::string& what, std::uint32_t call)>& trial);
// On a host of each release.
std::string older_hosts(const std::function<Outcome(const std::string& what, const wire::TableSizes& sizes)>& trial);

inline constexpr const char* kCallsMayFail = "each host call may fail";
inline constexpr const char* kReadsNothingBehind = "reads nothing behind the end of what a released host hands out";
inline constexpr const char* kNothingEscapes = "no exception and no panic leaves it";

}  // namespace mfdata::tools
