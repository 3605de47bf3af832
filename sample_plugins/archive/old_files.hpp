// Removes what an archive has kept for too long, a little at a time: the files below its directory that this very step has delivered
// there, as their tags say, with their companions and the directories that become empty by it. Anything else is left alone:
// files of other steps, of people, of a spool that lies below.
#pragma once

#include <mfdata/wall_clock.hpp>

#include <chrono>
#include <ctime>
#include <filesystem>
#include <optional>
#include <string>

// A number of days, or a text with a unit: "12h". Negative: for ever. Nothing: it is no lifetime.
std::optional<double> lifetime_s(const std::string& text);

class OldFiles {
 public:
  // `step`: "<plugin>.<step>" of the archive. `lifetime_s` negative: nothing is ever removed. `clock_file`: where
  // WallClock remembers; empty: nowhere.
  OldFiles(std::string directory, std::string step, std::string tags_suffix, double lifetime_s, std::string clock_file = "")
      : directory_(std::move(directory)),
        step_(std::move(step)),
        tags_suffix_(std::move(tags_suffix)),
        lifetime_s_(lifetime_s),
        clock_file_(std::move(clock_file)),
        clock_(clock_file_) {}
  ~OldFiles();
  OldFiles(const OldFiles&) = delete;
  OldFiles& operator=(const OldFiles&) = delete;

  // Goes on for at most `budget`; from the beginning again a minute after it came to the end. One worker at a time does: a
  // lock on the directory, for the whole way through it. The number removed; `problem`: what held it up, empty: nothing. While
  // wall time cannot be believed, nothing is removed and that is the problem.
  std::size_t sweep(const mfdata::sdk::ClockReading& now, std::chrono::milliseconds budget, std::string& problem);

 private:
  using Clock = std::chrono::steady_clock;
  bool begin(const mfdata::sdk::ClockReading& now, std::string& problem);
  bool has_to_wait(const mfdata::sdk::ClockReading& now, std::string& problem);
  void end();
  bool is_old(const struct stat& status, std::time_t now) const;
  bool is_ours(const std::string& path) const;
  bool remove_if_old(const std::filesystem::path& path, std::time_t now) const;

  std::string directory_, step_, tags_suffix_;
  double lifetime_s_;
  std::string clock_file_;
  mfdata::sdk::WallClock clock_;
  std::filesystem::recursive_directory_iterator at_;
  int lock_ = -1;
  Clock::time_point next_{};
};
