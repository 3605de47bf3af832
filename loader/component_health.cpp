#include "component_health.hpp"

#include <mfdata/plugin.h>

#include <algorithm>

namespace mfdata {

bool ComponentHealth::report(std::size_t step, WorkerId worker, wire::Health health, Nanoseconds now) {
  const auto [known, fresh] = reports_[step].try_emplace(worker, Report{health.state, health.text, now});
  if (fresh) return true;
  Report& report = known->second;
  if (report.state == health.state && report.text == health.text) return false;
  if (report.state != health.state) report.since = now;
  report.state = health.state;
  report.text = std::move(health.text);
  return true;
}

void ComponentHealth::forget(std::size_t step, WorkerId worker) {
  const auto known = reports_.find(step);
  if (known == reports_.end()) return;
  known->second.erase(worker);
  if (known->second.empty()) reports_.erase(known);
}

std::optional<ComponentHealth::Report> ComponentHealth::of(std::size_t step) const {
  const auto known = reports_.find(step);
  if (known == reports_.end()) return std::nullopt;
  const auto worst = std::max_element(known->second.begin(), known->second.end(),
                                      [](const auto& a, const auto& b) { return a.second.state < b.second.state; });
  return worst->second;
}

const char* health_word(std::uint8_t state) {
  return state == MFDATA_HEALTH_OK ? "ok" : state == MFDATA_HEALTH_DEGRADED ? "degraded" : "failed";
}

}  // namespace mfdata
