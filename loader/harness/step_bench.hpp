// One step of a plugin in a test: claims the files that stand before it, calls the plugin, ends them by the policies of the
// step, as a worker does, and collects what came out. Used on one thread, but for `cancel`.
#pragma once

#include "harness/test_room.hpp"
#include "worker/ending_policy.hpp"
#include "worker/step_instance.hpp"

namespace mfdata {

class StepBench {
 public:
  StepBench(TestRoom& room, wire::WorkerSettings settings, const mfdata_step& step);
  StepBench(const StepBench&) = delete;
  StepBench& operator=(const StepBench&) = delete;

  const StepSettings& step() const { return settings_.step; }

  // Files that stand before the step, by uid. One end is added for each, and all that came out.
  void run(const std::vector<std::string>& uids, KeptResult& result);
  void tick(KeptResult& result);
  void drain(KeptResult& result);
  void cancel() { host_.cancel(); }  // on any thread

  // Of those that were run: the ones that wait before the step, for another attempt or since they were given back.
  const std::vector<std::string>& left() const { return left_; }

 private:
  Result<void> create();
  void run_taken(std::vector<Job> jobs, const std::vector<std::uint32_t>& inputs, KeptResult& result);
  std::vector<End> call(std::vector<std::int32_t>& codes, std::optional<DeliveryWatch>& watch, KeptResult& result);
  void add_end(std::uint32_t input, const std::string& uid, mfdata_rc code, const End& end);
  std::int64_t due_ms(const std::string& uid) const;

  TestRoom& room_;
  const wire::WorkerSettings settings_;
  const Slot slot_;
  PluginHost host_;
  StepInstance instance_;
  Treatment treatment_;
  EndingPolicy policy_;
  bool created_ = false;
  std::int64_t last_tick_ns_ = 0;
  std::vector<FileEnd> ends_;  // of the run under way
  std::vector<std::string> left_;
};

}  // namespace mfdata
