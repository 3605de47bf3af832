// A home as the commands see it that look at files of the spool, or change them, while a loader may run.
#pragma once

#include <string>

#include "libmfdata/settings.hpp"

namespace mfdata::tools {

struct Operated {
  Home home;
  Settings settings;
  Spool spool;
};

// The files of plugins may hold many thousand rules: who looks at the spool alone reads nothing of them, and `settings` has no plugins.
enum class Reads { kGeneral, kEverything };

// The home of --home. Every problem of what is read of its configuration goes to stderr, and any of them is an error: the command could be
// at work in another data directory than the operator's. Bad rules are none.
Result<Operated> operate(const std::string& home_option, Reads reads = Reads::kGeneral);

// The turn of a command that changes files: another one, and the loader's collection, wait for it, and so does a loader that
// starts and recovers. It lasts as long as the object.
struct Turn {
  FileDescriptor tools, workers;
};
// Waits 10 s for it. An error also for somebody who does not own the data directory: what they make there would be in the
// loader's way.
Result<Turn> take_turn(const Operated& at);

// Before files are removed by their age: an error while wall time cannot be believed (sdk::WallClock).
Result<void> check_clock(const Operated& at, bool by_age);

std::string dotted(std::string step);   // of "plugin/step"
std::string slashed(std::string step);  // of "plugin.step"

}  // namespace mfdata::tools
