// Runs one step: takes names from the channel, claims or accepts each file when its treatment starts, calls the
// plugin, ends the treatment, reports. One thread; stops after the file in hand.
#pragma once

#include <deque>
#include <memory>
#include <set>

#include "libmfdata/claim.hpp"
#include "worker/channel.hpp"
#include "worker/ending_policy.hpp"
#include "worker/soundness.hpp"
#include "worker/step_instance.hpp"

namespace mfdata {

// How a name ends that could not be taken for this reason.
wire::Outcome outcome_of(Code code);

class StepRunner {
 public:
  StepRunner(const Spool& spool, const Slot& slot, PluginHost& host, Channel& channel, const mfdata_step& step, const Soundness& soundness);

  Result<void> create() { return instance_.create(); }
  void run();  // until stopped; then drains and returns

 private:
  struct Taken {
    std::optional<Job> job;
    wire::Done done;  // when there is no job: how the name ended
  };

  // A treatment that was run: its files wait for the commit of others.
  struct Finished {
    std::unique_ptr<Treatment> treatment;
    std::uint32_t id = 0;
    std::int64_t began_ns = 0;
    std::int64_t ended_ns = 0;
  };

  Taken take(const wire::JobName& name);
  void treat(const wire::JobName& name);
  void treat_taken(const wire::JobName& name, Job job, std::int64_t began);
  std::int64_t deadline(std::int64_t began) const;
  void treat_one(const wire::JobName& name, Job job, std::int64_t began, bool alone);
  void join_group(std::uint32_t id, std::int64_t began);
  void end_group();
  void treat_batch();
  void end_loop(std::uint32_t id, Job job, std::int64_t began);
  bool batch_is_due() const;
  bool leaks();
  void look_for_descriptors();
  bool is_used_up();
  void end_if_spoiled();
  void end_if_spoiled_at(const Job& job);
  [[noreturn]] void end_as_spoiled(const std::string& why);
  void say_result(const char* call, mfdata_rc rc, const std::string& reason);
  void report(wire::Done done);
  int wait_ms() const;
  void tick();
  wire::Done done_of(std::uint32_t id, const Job& job, End end, std::int64_t duration_ns);
  void announce(const Job& job);
  void trace_settled(const std::string& filename, const Claim& claim);
  void trace(const Job& job, const End& end, bool planned);
  void begin_file(std::uint32_t id, std::int64_t now_ns);
  void note_in_hand(const std::string& file);

  const Spool& spool_;
  const Slot& slot_;
  PluginHost& host_;
  const wire::WorkerSettings& settings_;
  Channel& channel_;
  const Soundness& soundness_;
  StepInstance instance_;
  std::unique_ptr<Treatment> treatment_;
  EndingPolicy policy_;
  std::vector<Finished> group_;  // of one file each, to be committed together
  std::vector<std::unique_ptr<Treatment>> spare_;
  std::size_t group_limit_ = 64;
  std::size_t group_outputs_ = 0;
  std::set<std::string> alone_;  // uids of a group that could not be committed: the next time each ends by itself
  std::deque<wire::JobName> names_;
  std::vector<Job> batch_;  // claimed, waiting for more
  std::vector<std::uint32_t> batch_ids_;
  bool batch_last_chance_ = false;  // of a batch of one
  std::int64_t batch_due_ns_ = 0;
  std::int64_t last_tick_ns_ = 0;
  std::int64_t rests_until_ns_ = 0;  // the step has yielded
  std::string pending_told_, tick_told_;
  std::uint64_t treated_ = 0, leaks_looked_for_ = 0, descriptors_counted_ = 0;  // treatments, and how many when
  std::uint64_t open_files_limit_ = 1024;
  bool descriptors_used_up_ = false;
  bool traced_ = false;  // names come in the order in which they are sent: nobody follows what comes after one that is not
  bool stopping_ = false;
};

}  // namespace mfdata
