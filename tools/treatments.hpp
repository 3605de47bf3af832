// What a running loader says of its watched directories and of what its workers have in hand, for the commands that show it
// or wait for it.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "operated_home.hpp"

namespace mfdata::tools {

// One for each step that takes files of a directory.
struct Watched {
  std::string directory;  // relative to the data directory, or absolute
  std::string step;       // plugin/step
  std::vector<std::string> ignore;
};
std::vector<Watched> configured_watches(const Home& home);
// As the loader has them or, where none answers, as they are configured.
std::vector<Watched> watched_directories(const Operated& at);

// Each treatment in hand as `status --json` has it, with `step`; empty when no loader answers.
nlohmann::json treatments_in_hand(const Home& home);
nlohmann::json treatments_in_hand(const nlohmann::json& status);

// "NAME (original name) for 75 s, worker 1234".
std::string treatment_text(const Home& home, const std::string& step, const nlohmann::json& treatment);

// Says on stderr what the workers that were asked to stop still treat, for a command that waits for them: first after two
// seconds, then each ten.
class WaitNotice {
 public:
  explicit WaitNotice(const Home& home) : home_(home) {}
  void look();           // as often as it waits
  void tell() const;     // now
 private:
  const Home& home_;
  std::int64_t next_ns_ = 0;
};

}  // namespace mfdata::tools
