// How far a long command is: one line on a terminal that is written over, and nothing where stderr is none.
#pragma once

#include <cstdint>
#include <string>

namespace mfdata::tools {

class Progress {
 public:
  // "<what> 12 of 100", after the first half second; `total` 0: "<what>" alone, at once.
  Progress(std::string what, std::uint64_t total);
  ~Progress();  // the line goes
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void step(std::uint64_t done);  // so many are done; at most ten times a second it is shown
  void clear();                   // before another line is printed

 private:
  std::string what_;
  std::uint64_t total_;
  bool on_terminal_, shown_ = false;
  std::int64_t next_ns_;
};

}  // namespace mfdata::tools
