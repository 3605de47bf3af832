// The host side of the ABI for one component: what the functions of mfdata_host do. plugin.h is the specification.
//
// One PluginHost per worker process. Between `enter` and `leave` a call is under way and the functions marked [call]
// work, on that thread only; everywhere else they return E_STATE.
#pragma once

#include <mfdata/plugin.h>
#include <sys/stat.h>

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "libmfdata/listen_address.hpp"
#include "wire/plugin_metrics.hpp"
#include "wire/predicate_process.hpp"
#include "worker/deposit_committer.hpp"
#include "worker/live_deposits.hpp"
#include "worker/treatment.hpp"

namespace mfdata {
class CallFaults;
class Channel;
class OlderHost;
}

struct mfdata_ctx {};  // the base of PluginHost: a context pointer is a PluginHost

namespace mfdata {

// What a host stands in: as it is here, in a worker process that a loader has started.
struct Surroundings {
  std::function<void(int level, const std::string& line)> log;  // on any thread; empty: stderr, as the loader reads it
  CallFaults* faults = nullptr;                                 // calls of the plugin that are made to fail
  std::string predicate_program = "/proc/self/exe";             // mfdata-worker; empty: code rules are not evaluated
};

class PluginHost : public mfdata_ctx {
 public:
  PluginHost(const Spool& spool, const wire::WorkerSettings& settings, wire::ProgressPage& progress, Surroundings surroundings = {});
  ~PluginHost();

  static const mfdata_host* table();  // the constant functions
  static PluginHost& of(mfdata_ctx* ctx) { return *static_cast<PluginHost*>(ctx); }

  // What the plugin is given; each lives until the next time, the rules as long as this.
  const mfdata_init* init_for_create();
  const mfdata_tick* tick_at(std::int64_t now_ns, std::int64_t last_ns);
  const mfdata_rules* rules_shown() const;

  void enter(Treatment* treatment, std::int64_t deadline_ns);  // nullptr: create, tick, drain
  void leave();
  Treatment* treatment();  // of the call under way on this thread; nullptr otherwise
  bool in_callback() const { return thread_.load() == std::this_thread::get_id() || in_event(); }
  // A call on the other thread, that a listener hears of events on; `reason`: what set_error says in it.
  void enter_event(std::string& reason);
  void leave_event();
  bool in_event() const { return event_thread_.load() == std::this_thread::get_id(); }
  std::string& reason_of_call() { return in_event() ? *event_reason_ : create_error_; }
  void set_creating(bool creating) { creating_ = creating; }
  bool creating() const { return creating_ && thread_.load() == std::this_thread::get_id(); }
  bool being_created() const { return creating_; }  // on whichever thread

  // Where what concerns the loader goes; none: a host on its own.
  void connect(Channel& channel) { channel_ = &channel; }
  // Text that lives as long as the component.
  mfdata_str keep_for_life(std::string text);
  const std::vector<std::string>& watched_directories() const { return watched_directories_; }  // absolute, sorted
  Result<std::string> state_dir();
  void report_health(int state, std::string text);
  Result<FileDescriptor> listen_socket(const std::string& address, unsigned mode);
  struct WatchedPath {
    std::string path;
    struct stat first {};  // when it was named; all zero: nothing stood there
  };
  Result<void> watch_path(const std::string& path);
  std::vector<WatchedPath> watched_paths();

  void write_log(int level, std::string_view message) const;
  bool log_enabled(int level) const { return level >= log_level_; }
  // A text that lives until the callback returns.
  mfdata_str keep(std::string text);

  void cancel() { cancelled_ = true; }  // async-signal-safe
  bool cancelled() const { return cancelled_; }
  // Of a trial: the plugin is told so, but the worker goes on.
  void cancel_softly() { told_cancelled_ = true; }
  bool told_cancelled() const { return cancelled_ || told_cancelled_; }

  // The changes of the plugin's metrics since the last call.
  std::vector<wire::MetricDelta> take_metrics();

  const Spool& spool() const { return spool_; }
  const wire::WorkerSettings& settings() const { return settings_; }
  wire::ProgressPage& progress() { return progress_; }
  std::int64_t deadline_ns() const { return deadline_ns_; }
  std::string& create_error() { return create_error_; }
  CallFaults* faults() { return surroundings_.faults; }
  LiveDeposits& deposits() { return deposits_; }
  DepositCommitter& committer() { return committer_; }

  // A rule as the ABI shows it.
  struct Rule {
    const SwitchRule* rule;
    std::string where;
    std::vector<mfdata_str> targets;
  };
  const std::vector<Rule>& rules() const { return rules_; }
  PredicateProcess& predicates();  // of the code rules; started when it is asked for first

  // Its number; of one that is made again, the same. kBadData: another one has this name, or one of its series.
  Result<std::uint64_t> add_metric(wire::MetricDefinition metric);
  Result<void> change_metric(std::uint64_t id, double value, std::vector<std::string> labels);

 private:
  const Spool& spool_;
  const wire::WorkerSettings& settings_;
  wire::ProgressPage& progress_;
  const Surroundings surroundings_;
  const std::unique_ptr<OlderHost> older_;  // of a trial; otherwise none
  mfdata_init init_{};
  mfdata_tick tick_{};
  int log_level_;
  std::atomic<std::thread::id> thread_{};
  Treatment* treatment_ = nullptr;
  std::atomic<std::int64_t> deadline_ns_{0};
  std::atomic<bool> cancelled_{false};
  std::atomic<bool> told_cancelled_{false};
  std::deque<std::string> kept_, kept_of_event_;
  std::atomic<std::thread::id> event_thread_{};
  std::string* event_reason_ = nullptr;
  std::atomic<bool> creating_{false};
  Channel* channel_ = nullptr;
  std::vector<std::string> watched_directories_;
  std::mutex life_mutex_;
  std::deque<std::string> kept_for_life_;
  std::vector<WatchedPath> watched_paths_;
  std::vector<BoundSocket> sockets_;  // that no loader keeps
  std::string create_error_;
  std::vector<Rule> rules_;
  std::unique_ptr<PredicateProcess> predicates_;
  LiveDeposits deposits_;  // what is left of them goes away with this
  std::mutex metrics_mutex_;
  std::vector<wire::MetricDefinition> metrics_;
  std::vector<wire::MetricDelta> deltas_;
  DepositCommitter committer_;  // ends first: what it tells may count
};

}  // namespace mfdata
