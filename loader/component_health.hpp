// How the components of each step fare, as their workers report it: report_health of the ABI. The worst of a step's workers counts.
// Pure.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "schedule.hpp"
#include "wire/worker_protocol.hpp"

namespace mfdata {

class ComponentHealth {
 public:
  struct Report {
    std::uint8_t state = 0;  // MFDATA_HEALTH_*
    std::string text;
    Nanoseconds since = 0;   // it has been in this state
  };

  // True when the state or the text of the worker is another one than before.
  bool report(std::size_t step, WorkerId worker, wire::Health health, Nanoseconds now);
  void forget(std::size_t step, WorkerId worker);  // it is gone
  std::optional<Report> of(std::size_t step) const;  // nothing: none of its workers has said anything

 private:
  std::map<std::size_t, std::map<WorkerId, Report>> reports_;
};

// "ok", "degraded" or "failed".
const char* health_word(std::uint8_t state);

}  // namespace mfdata
