#include "worker/step_instance.hpp"

#include <algorithm>

#include "worker/callback.hpp"

namespace mfdata {

StepInstance::~StepInstance() {
  interrupter_.reset();
  if (!self_ || !step_.destroy) return;
  const Callback callback(host_, wire::Call::kDestroy);
  step_.destroy(self_, &host_);
}

Result<void> StepInstance::create() {
  if (!step_.create || (!step_.process && !step_.process_batch)) {
    return Error{Code::kRefused, 0, "the step has no create, or neither process nor process_batch"};
  }
  const mfdata_init* init = host_.init_for_create();
  mfdata_rc rc = MFDATA_FAIL;
  {
    const Callback callback(host_, wire::Call::kCreate);
    rc = step_.create(init, &self_);
  }
  if (rc == MFDATA_OK) {
    if (step_.interrupt) interrupter_ = std::make_unique<Interrupter>([this] {
      const ForkGuard guard("interrupt");
      step_.interrupt(self_);
    }, host_);
    return {};
  }
  self_ = nullptr;
  const std::string& why = host_.create_error();
  return Error{Code::kBadConfig, 0, "the plugin does not start: " + (why.empty() ? "create returned " + std::to_string(rc) : why)};
}

mfdata_rc StepInstance::process(Treatment& treatment, std::int64_t deadline_ns) {
  mfdata_rc rc = MFDATA_FAIL;
  {
    const Callback callback(host_, "process", &treatment, deadline_ns);
    rc = step_.process(self_, &host_, treatment.input(0));
  }
  return believed(rc, treatment.reason);
}

std::vector<std::int32_t> StepInstance::process_batch(Treatment& treatment, std::int64_t deadline_ns) {
  const std::size_t n = treatment.jobs().size();
  std::vector<mfdata_file*> files;
  for (std::size_t i = 0; i < n; ++i) files.push_back(treatment.input(i));
  std::vector<std::int32_t> each(n, MFDATA_FAIL);
  mfdata_rc rc = MFDATA_FAIL;
  {
    const Callback callback(host_, "process_batch", &treatment, deadline_ns);
    rc = step_.process_batch(self_, &host_, files.data(), static_cast<std::uint32_t>(n), each.data());
  }
  if (rc != MFDATA_OK) std::fill(each.begin(), each.end(), rc);
  for (std::size_t i = 0; i < n; ++i) each[i] = believed(each[i], treatment.input(i)->reason);
  return each;
}

// A file that goes back to its queue at once, as often as the step likes, would be treated for ever.
mfdata_rc StepInstance::believed(mfdata_rc rc, std::string& reason) const {
  if (rc != MFDATA_CANCELLED || host_.told_cancelled()) return rc;
  reason = "the step returned MFDATA_CANCELLED, although nobody has asked it to stop" + (reason.empty() ? "" : ": " + reason);
  return MFDATA_RETRY;
}

mfdata_rc StepInstance::tick(std::int64_t now_ns, std::int64_t last_ns, std::string& reason) {
  if (!step_.tick) return MFDATA_OK;
  const mfdata_tick* tick = host_.tick_at(now_ns, last_ns);
  return call_of_no_file(wire::Call::kTick, [&] { return step_.tick(self_, &host_, tick); }, reason);
}

mfdata_rc StepInstance::drain(std::string& reason) {
  if (!step_.drain) return MFDATA_OK;
  return call_of_no_file(wire::Call::kDrain, [&] { return step_.drain(self_, &host_); }, reason);
}

mfdata_rc StepInstance::call_of_no_file(wire::Call call, const std::function<mfdata_rc()>& callback, std::string& reason) {
  host_.create_error().clear();
  mfdata_rc rc = MFDATA_FAIL;
  {
    const Callback around(host_, call);
    rc = callback();
  }
  reason = std::exchange(host_.create_error(), "");
  return rc;
}

}  // namespace mfdata
