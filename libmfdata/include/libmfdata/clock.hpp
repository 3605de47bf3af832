// The clocks that everything is told by.
#pragma once

#include <time.h>

#include <cstdint>

namespace mfdata {

inline std::int64_t clock_ns(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return now.tv_sec * std::int64_t{1'000'000'000} + now.tv_nsec;
}
inline std::int64_t monotonic_ns() { return clock_ns(CLOCK_MONOTONIC); }
inline std::int64_t real_ms() { return clock_ns(CLOCK_REALTIME) / 1'000'000; }  // since 1970

}  // namespace mfdata
