// One instance of a step, and the calls to it: each between `enter` and `leave` of its host. Shared by the worker and the test
// harness. Used on one thread; destroyed with the object.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "worker/interrupter.hpp"
#include "worker/plugin_host.hpp"

namespace mfdata {

class StepInstance {
 public:
  StepInstance(PluginHost& host, const mfdata_step& step) : host_(host), step_(step) {}
  StepInstance(const StepInstance&) = delete;
  StepInstance& operator=(const StepInstance&) = delete;
  ~StepInstance();

  Result<void> create();  // before everything else
  bool takes_batches() const { return step_.process_batch != nullptr; }
  bool ticks() const { return step_.tick != nullptr; }

  // CLOCK_MONOTONIC ns, of the deadline as of the ticks.
  mfdata_rc process(Treatment& treatment, std::int64_t deadline_ns);
  std::vector<std::int32_t> process_batch(Treatment& treatment, std::int64_t deadline_ns);  // a result for each file
  // MFDATA_OK, or the plugin's result; the reason that it gives with it.
  mfdata_rc tick(std::int64_t now_ns, std::int64_t last_ns, std::string& reason);
  mfdata_rc drain(std::string& reason);

 private:
  mfdata_rc believed(mfdata_rc rc, std::string& reason) const;
  mfdata_rc call_of_no_file(wire::Call call, const std::function<mfdata_rc()>& callback, std::string& reason);

  PluginHost& host_;
  mfdata_step step_;
  void* self_ = nullptr;
  std::unique_ptr<Interrupter> interrupter_;
};

}  // namespace mfdata
