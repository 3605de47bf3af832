// The loader's policy: what its parts tell each other. Owns the parts, in dependency order; makes no system call on
// files but the moves of the waiting room.
#pragma once

#include <mfdata/wall_clock.hpp>

#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "chore.hpp"
#include "component_health.hpp"
#include "configuration.hpp"
#include "control_server.hpp"
#include "event_loop.hpp"
#include "follow_table.hpp"
#include "libmfdata/settings.hpp"
#include "listening_sockets.hpp"
#include "loader_log.hpp"
#include "loader_metrics.hpp"
#include "refused_arrivals.hpp"
#include "schedule.hpp"
#include "spool_watcher.hpp"
#include "waiting_room.hpp"
#include "wire/start_trials.hpp"
#include "worker_pool.hpp"

namespace mfdata {

// The directories that must be there before anything runs; senders write into watched ones.
Result<void> prepare_directories(const Spool& spool, const Settings& settings);

class Loader {
 public:
  // `recover_first`: the recovery at the start met problems; slots are recovered again before they are used. `recovered`: uids
  // of files that were in hand when the loader ended: one of them may be the reason, so each runs alone.
  Loader(EventLoop& loop, const Home& home, std::shared_ptr<const Configuration> configuration, const Spool& spool, LoaderLog& log, LoaderMetrics& metrics,
         ListeningSockets& sockets, std::string worker_program, bool recover_first, std::set<std::string> recovered);

  // `generation`: how often a configuration was taken up; `problem`: what was not.
  Result<void> start(unsigned generation, const std::string& problem);
  unsigned generation() const { return generation_; }
  const std::shared_ptr<const Configuration>& configuration() const { return configuration_; }  // in force
  // After the loop has ended: the configuration that the next loader runs with, when it ended for one; else nullptr.
  std::shared_ptr<const Configuration> take_next_configuration() { return std::exchange(next_, nullptr); }
  bool next_is_outdated() const { return next_is_outdated_; }  // a reload was asked for when it was on its way
  // Of all steps there were since it started.
  std::vector<std::pair<std::string, std::string>> plugins_and_steps() const;
  void stop();                                     // finish what is in hand, then end the loop
  void answer(const std::string& request, const ControlServer::Reply& reply);  // of the control socket

 private:
  static constexpr std::size_t kNoStep = static_cast<std::size_t>(-1);  // of a chore for all of them
  enum class SourceKind { kStep, kWaiting, kWatched };
  using Taker = std::pair<std::size_t, std::uint16_t>;  // a step, and the number that the source has in its workers' list
  struct Source {
    SourceKind kind = SourceKind::kStep;
    std::string path;
    std::vector<Taker> takers;               // the steps that take its files
    std::optional<std::vector<Taker>> next;  // that take them once those that left have finished what they hold
    std::vector<Taker> left;
  };
  struct Step {
    std::shared_ptr<const Settings> of;  // where the two are
    const StepSettings* settings = nullptr;
    const PluginSettings* plugin = nullptr;
    const wire::WorkerSettings* told = nullptr;  // without sources and targets
    std::vector<std::string> sources;  // as its workers know them; only ever more
    bool retired = false;              // it is in the configuration no more
    std::uint64_t deposits = 0;        // of a listener
    std::uint64_t skipped = 0;         // files to which its unmatched_policy was applied
  };
  // A file that we may not tag. It is asked by a process of its own whether somebody has it open for writing; where
  // nobody knows, it is taken when it has been quiet.
  struct ForeignArrival {
    std::size_t step = 0;
    std::int64_t size = -1, changed_ns = 0;
    std::int64_t since_ns = 0;       // it has not changed
    std::int64_t told_ns = 0;        // SpoolWatcher::told_ns, when it was last asked
    std::int64_t heard_ns = 0;       // the latest of those
    std::int64_t heard_at_ns = 0;    // when that was noticed
    bool unknown = false;            // nobody can tell whether it is written
    std::int64_t not_before_ns = 0;  // it was being written

    // It has been quiet for as long as makes it complete: a short time if it was told to be complete, is not open, and has not
    // changed since; `most_ns` in any case, so that somebody who has it open for ever does not hold it for ever.
    bool quiet(std::int64_t now_ns, std::int64_t most_ns) const;
  };

  // The configuration as it is on disk now, read beside the loop; each component that it changes is started on trial (`tries`).
  // With any problem the old one stays in force. Steps that it touches begin anew, the others do not notice; workers that were
  // tried go on with their files until the next ones are ready, and who asks is answered then. What concerns the loader itself ends the loop, for one that is made anew. Who asks while one is read is answered after
  // the next one, which sees all that stood on disk when they asked.
  void reload(bool tries, ControlServer::Reply reply);
  void begin_reload();
  struct Asker {
    bool tries = true;
    ControlServer::Reply reply;  // may be empty
  };
  bool asked_for_trial() const;
  static void answer_askers(std::vector<Asker>& askers, const std::string& answer);
  void take_configuration(std::shared_ptr<const Configuration> fresh);
  std::vector<StartTrials::Candidate> changed_components(const Configuration& fresh) const;
  void watch_trials();
  void finish_reload(const std::string& answer);
  void answer_replaced();
  std::string refuse_configuration(const std::string& why, const Problems& problems);
  std::string apply(std::shared_ptr<const Configuration> fresh);
  bool reloads() const { return reader_.busy() || trials_; }
  void watch_developed();

  Result<void> listen_to_commands();
  // At the start and at each reload; an error: nothing has changed.
  Result<void> take_up(std::shared_ptr<const Configuration> configuration, bool beside);
  void take_up_steps();
  void take_up_watches();
  void retire(std::size_t step);
  bool changes_a_kind(const Settings& fresh) const;
  std::size_t set_source(SourceKind kind, WatchedSource watched, const std::vector<std::size_t>& steps);
  void leave_source(std::size_t source);
  bool takes(std::size_t step, const std::string& directory) const;
  void list_waiting(std::size_t step);
  void enter_sources();
  std::uint16_t source_number(std::size_t step, const std::string& directory);
  wire::WorkerSettings worker_settings(std::size_t step) const;
  WorkerPool::Owner pool_owner();
  SpoolWatcher::Taker taker();

  bool offer(std::size_t source, std::string name, Found found);
  void forget_opens(const std::string& directory, const std::string& name);
  void add_foreign(std::size_t step, const std::string& directory, const std::string& name);
  bool is_due(ForeignArrival& file, const struct stat& status, std::int64_t told_ns, std::int64_t most_ns, std::int64_t now) const;
  std::int64_t foreign_quiet_ns(const std::string& directory) const;
  using Targets = std::vector<std::string>;  // of the worker that says so
  void take_results(WorkerId worker, std::size_t step, const wire::Results& results, const Targets& targets);
  void take_done(std::size_t step, const wire::Done& done, const Targets& targets, const std::string& name, std::uint16_t source, bool was_paused);
  void skipped(std::size_t step, const wire::Done& done, const std::string& name);
  void log_done(const StepSettings& settings, const wire::Done& done, const Targets& targets, const std::string& name);
  void refuse(std::size_t step, std::uint16_t source, const std::string& name, const std::string& reason);
  void settled(std::size_t step, const std::string& version, const std::vector<wire::SettledFile>& files);
  bool refused_before(const std::string& path);
  void heed_attributes();
  std::size_t watched_source(const std::string& directory) const;
  void keep(const std::string& directory, const std::string& name);
  void await_single_link(const std::string& directory, const std::string& name);
  void forget_refusals();
  void dispatch();
  void tick();
  void check_pressure();
  void check_foreign();
  void keep_foreign(const wire::Done& done);
  void keep_unanswered();
  std::vector<std::uint32_t> quiet_arrivals() const;
  void reap_children();
  bool kill_strangers();  // true: there were some
  void next_chore();  // about each second
  void look_at_clock();  // before each collection
  void start_chore(std::size_t step, wire::Task task, std::vector<std::string> directories, std::vector<std::string> names);
  void take_from_chore(const wire::Message& message);
  void finish_chore(int exit_status);  // of waitpid(2)
  void judge_accepts(bool failed);
  void roll_stray_commits();
  bool rolls_commit_of(const Slot& slot) const;
  bool accepts_left(std::int64_t now);
  void note_health(WorkerId worker, std::size_t step, const wire::Health& health);
  std::vector<std::string> unready() const;
  void went_to_trash(const std::string& step);
  void take_trash_count(std::size_t all);
  void rearm(std::int64_t now);
  std::string answer_at_once(const std::string& command, const nlohmann::json& request);
  // `all_refused`: not only the first hundred refusals.
  std::string status(bool all_refused) const;
  nlohmann::json held_back(std::size_t step) const;
  nlohmann::json described(std::size_t step, const WorkerPool::InHand& in_hand) const;
  bool watches(const std::string& directory) const;
  std::string follow(const nlohmann::json& asked);
  std::string followed(const nlohmann::json& asked);
  std::string unfollow(const nlohmann::json& asked);
  std::string pause(const std::string& step, bool paused);
  std::string start_plugin(const std::string& plugin, bool starts);
  void recall();  // what was paused and stopped before
  void hold_as_before(std::size_t step);
  void take_back(std::size_t step);
  std::string kill_treatments(const std::string& step, bool all, bool charge);
  std::string name_in_hand(std::size_t step, const WorkerPool::InHand& in_hand, std::size_t& files) const;
  bool stands_there(std::size_t step, const Schedule::Finished& name) const;

  EventLoop& loop_;
  const Home& home_;
  std::shared_ptr<const Configuration> configuration_;
  std::shared_ptr<const Settings> settings_;  // of it
  const Spool& spool_;
  LoaderLog& log_;
  LoaderMetrics& metrics_;
  ListeningSockets& sockets_;
  ComponentHealth health_;
  std::string worker_program_;
  std::vector<Step> steps_;
  std::vector<Source> sources_;       // with the watcher's numbers
  std::vector<std::string> targets_;  // sorted "plugin/step"
  std::unique_ptr<Schedule> schedule_;
  std::unique_ptr<WaitingRoom> waiting_;
  std::unique_ptr<SpoolWatcher> watcher_;
  std::unique_ptr<WorkerPool> pool_;
  std::unique_ptr<ControlServer> control_;
  RefusedArrivals refusals_;
  FollowTable follow_;  // the files that commands wait for
  std::map<std::pair<std::string, std::string>, ForeignArrival> foreign_;  // by directory and name
  bool may_lease_any_ = false;
  std::unique_ptr<Chore> chore_;  // one at a time
  std::size_t chore_step_ = kNoStep;
  bool chore_failed_ = false;
  std::vector<std::pair<std::string, std::string>> chore_files_;  // directory and name, by the id of their result
  std::vector<ForeignArrival> chore_arrivals_;                    // the same
  std::vector<bool> chore_answered_;                              // the same
  bool strays_due_ = false;
  std::vector<std::string> rolled_;  // commits that the chore rolls forward
  std::string last_rolled_;
  bool accepts_left_ = false;
  std::int64_t next_accepts_ns_ = 0, accepts_backoff_ns_ = 0;
  EventLoop::Handle on_child_, on_term_, on_int_, on_hangup_, tick_timer_;
  std::int64_t armed_ns_ = 0;  // when the next tick is; 0: at no time
  std::int64_t next_second_ns_ = 0, next_rescan_ns_ = 0, next_collection_ns_ = 0;
  std::int64_t started_ns_ = 0;
  std::uint64_t files_done_ = 0;  // without any trouble
  std::uint64_t results_ = 0;     // of any kind
  std::size_t trash_files_ = 0;
  std::map<std::string, std::size_t> trash_of_;  // of each step that ever had some, dotted
  std::map<std::string, std::size_t> trash_now_;  // as the collection counts it
  bool trash_moved_ = false;    // since the collection that counts it began
  bool trash_counted_ = false;  // by that collection
  std::int64_t collection_began_ns_ = 0, recount_after_ns_ = 0;
  sdk::WallClock clock_;
  std::int64_t collection_waits_s_ = 0, collection_waits_since_ns_ = 0;  // for the clock; 0: it does not
  bool under_pressure_ = false;
  bool no_space_ = false;
  bool recover_first_ = false;
  std::set<std::string> recovered_;
  bool running_ = false;
  bool stopping_ = false;
  std::shared_ptr<const Configuration> next_;  // of the loader after this one
  bool next_is_outdated_ = false;              // a reload was asked for meanwhile
  ConfigurationReader reader_;
  std::vector<Asker> asked_, asked_meanwhile_;    // for what is being read, and for what is read after that
  std::vector<Asker> asked_before_;               // for what is taken up: workers still go on until others are ready
  std::shared_ptr<const Configuration> on_trial_;
  std::unique_ptr<StartTrials> trials_;           // of its components
  EventLoop::Handle trial_timer_;
  std::string configuration_problem_;  // of the last reload; empty: none
  unsigned generation_ = 1;
  struct BuiltLibrary {
    std::string path;          // absolute; of a plugin that has a base, its folder
    std::int64_t time_ns = 0;  // of its last change
    bool changed = false;
  };
  std::vector<BuiltLibrary> developed_;  // of plugins that are linked to the folder where they are built
  std::set<std::string> paused_;         // "plugin/step", also of plugins that are not there now
  std::set<std::string> stopped_;        // plugins
};

}  // namespace mfdata
