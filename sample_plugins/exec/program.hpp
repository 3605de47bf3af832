// The program of exec: one process that stays, its handshake, and what it says besides answers. Log lines and metrics end
// here; answers and deposits are for the component that uses it. One thread.
//
// A program that ended, or whose lines cannot be trusted any more, is ended by `end`; `make_ready` starts it again.
#pragma once

#include <map>
#include <memory>
#include <mfdata/coprocess.hpp>
#include <optional>
#include <string>

#include "messages.hpp"

namespace exec_protocol {

class Program {
 public:
  enum class What { kMessage, kTooLate, kWoken, kEnded, kBroken };
  struct Event {
    What what = What::kMessage;
    Message message;
    std::string why;         // of kEnded and kBroken: "ended with exit code 3: its last words"
    bool willingly = false;  // of kEnded: with exit code 0
  };

  // `kind` is what the program is told: "step", "batch" or "listener"; `features` what this host does for it. Reads the keys
  // of [custom] and starts the program: one that cannot run stops the component, not its files. Throws sdk::Error.
  Program(const mfdata::sdk::Context& component, const char* kind, const std::vector<std::string>& features,
          const std::string& more_hello = "");

  // Sees to it that a program runs that has nothing left to say. Empty, or why there is none.
  std::string make_ready(const mfdata::sdk::Context& call);
  void say(const std::string& line) { process_->say(line); }
  // The next message that is neither a log line nor a metric. Until `deadline_ns` (CLOCK_MONOTONIC; 0: for ever).
  Event next(std::int64_t deadline_ns, int wake = -1);
  void close_input() { process_->close_input(); }
  // Kills it with all that it started; how it ended.
  std::string end();
  // Takes what it has logged, so that it never waits for somebody to read.
  void take_logs();

  bool runs() const { return process_ != nullptr; }
  bool has(const char* feature) const { return hello_.features.contains(feature); }
  Encoding encoding() const { return hello_.encoding; }

 private:
  void start(const mfdata::sdk::Context& call);
  Event heard(mfdata::sdk::Coprocess::Reply reply);
  bool handled(const Message& message);
  void declare_metrics();
  void count(const MetricValue& value);
  std::string unexpected();
  std::string log_errors();

  const mfdata::sdk::Context component_;
  mfdata::sdk::Command command_;
  std::string host_hello_;
  double start_timeout_s_;
  std::unique_ptr<mfdata::sdk::Coprocess> process_;
  Hello hello_;
  struct Metric {
    std::uint64_t id = 0;
    std::size_t labels = 0;
  };
  std::optional<std::map<std::string, Metric>> metrics_;  // once they are declared
};

}  // namespace exec_protocol
