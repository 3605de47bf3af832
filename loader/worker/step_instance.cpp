#include "worker/step_instance.hpp"

#include <algorithm>

namespace mfdata {

StepInstance::~StepInstance() {
  interrupter_.reset();
  if (self_ && step_.destroy) step_.destroy(self_, &host_);
}

Result<void> StepInstance::create() {
  if (!step_.create || (!step_.process && !step_.process_batch)) {
    return Error{Code::kRefused, 0, "the step has no create, or neither process nor process_batch"};
  }
  const mfdata_init* init = host_.init_for_create();
  host_.enter(nullptr, 0);
  const mfdata_rc rc = step_.create(init, &self_);
  host_.leave();
  if (rc == MFDATA_OK) {
    if (step_.interrupt) interrupter_ = std::make_unique<Interrupter>([this] { step_.interrupt(self_); }, host_);
    return {};
  }
  self_ = nullptr;
  const std::string& why = host_.create_error();
  return Error{Code::kBadConfig, 0, "the plugin does not start: " + (why.empty() ? "create returned " + std::to_string(rc) : why)};
}

mfdata_rc StepInstance::process(Treatment& treatment, std::int64_t deadline_ns) {
  host_.enter(&treatment, deadline_ns);
  const mfdata_rc rc = step_.process(self_, &host_, treatment.input(0));
  host_.leave();
  return rc;
}

std::vector<std::int32_t> StepInstance::process_batch(Treatment& treatment, std::int64_t deadline_ns) {
  const std::size_t n = treatment.jobs().size();
  std::vector<mfdata_file*> files;
  for (std::size_t i = 0; i < n; ++i) files.push_back(treatment.input(i));
  std::vector<std::int32_t> each(n, MFDATA_FAIL);
  host_.enter(&treatment, deadline_ns);
  const mfdata_rc rc = step_.process_batch(self_, &host_, files.data(), static_cast<std::uint32_t>(n), each.data());
  host_.leave();
  if (rc != MFDATA_OK) std::fill(each.begin(), each.end(), rc);
  return each;
}

void StepInstance::tick(std::int64_t now_ns, std::int64_t last_ns) {
  if (!step_.tick) return;
  const mfdata_tick* tick = host_.tick_at(now_ns, last_ns);
  host_.enter(nullptr, 0);
  step_.tick(self_, &host_, tick);
  host_.leave();
}

void StepInstance::drain() {
  if (!step_.drain) return;
  host_.enter(nullptr, 0);
  step_.drain(self_, &host_);
  host_.leave();
}

}  // namespace mfdata
