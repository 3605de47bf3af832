#include "progress.hpp"

#include <unistd.h>

#include <iostream>

#include "libmfdata/clock.hpp"

namespace mfdata::tools {

constexpr std::int64_t kFirst_ns = 500'000'000, kBetween_ns = 100'000'000;

Progress::Progress(std::string what, std::uint64_t total)
    : what_(std::move(what)), total_(total), on_terminal_(::isatty(STDERR_FILENO) != 0), next_ns_(monotonic_ns() + (total > 0 ? kFirst_ns : 0)) {}

Progress::~Progress() { clear(); }

void Progress::step(std::uint64_t done) {
  if (!on_terminal_ || monotonic_ns() < next_ns_) return;
  next_ns_ = monotonic_ns() + kBetween_ns;
  shown_ = true;
  std::cerr << "\r\033[K" << what_;
  if (total_ > 0) std::cerr << ' ' << done << " of " << total_;
  std::cerr << std::flush;
}

void Progress::clear() {
  if (shown_) std::cerr << "\r\033[K" << std::flush;
  shown_ = false;
}

}  // namespace mfdata::tools
