// SIGINT, SIGTERM and SIGHUP for a command that has something to end or to take back before it ends itself.
#pragma once

#include <signal.h>

#include <array>

namespace mfdata::tools {

// As long as it is there, an interrupt is noted and no more. One may stand in another.
class InterruptsNoted {
 public:
  InterruptsNoted();
  ~InterruptsNoted();
  InterruptsNoted(const InterruptsNoted&) = delete;
  InterruptsNoted& operator=(const InterruptsNoted&) = delete;

  static bool any();  // since the program began

 private:
  static constexpr std::array<int, 3> kSignals = {SIGINT, SIGTERM, SIGHUP};
  std::array<struct sigaction, 3> before_{};
};

}  // namespace mfdata::tools
