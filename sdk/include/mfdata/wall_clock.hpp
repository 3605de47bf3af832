// Whether wall time can be believed where files are removed by their age. A clock that is set forward by days makes every
// file old at once, so whoever removes by age asks WallClock first.
//
// Wall time is compared with the time since the machine started, which nobody can set. When wall time has run ahead of it
// by more than an hour, nothing may be removed for an hour: an operator, or NTP, has that long to set the clock right. A
// clock that still says the same after the hour is believed. The comparison survives a restart in a small file. After a
// reboot the time that the machine was off is unknown, so that a machine that was off for more than an hour waits as well.
#pragma once

#include <time.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <string>
#include <utility>

namespace mfdata::sdk {

struct ClockReading {
  std::int64_t wall_s = 0;  // since 1970
  std::int64_t boot_s = 0;  // since the machine started, sleep included
  std::string boot_id;      // another one after each start of the machine

  static ClockReading now() {
    const auto seconds = [](clockid_t clock) {
      timespec time{};
      ::clock_gettime(clock, &time);
      return static_cast<std::int64_t>(time.tv_sec);
    };
    static const std::string boot_id = [] {  // does not change while a process lives
      std::string id;
      std::ifstream("/proc/sys/kernel/random/boot_id") >> id;
      return id.empty() ? "unknown" : id;
    }();
    return {seconds(CLOCK_REALTIME), seconds(CLOCK_BOOTTIME), boot_id};
  }
};

class WallClock {
 public:
  static constexpr std::int64_t kTolerance_s = 3600;
  static constexpr std::int64_t kWait_s = 3600;

  // `file`: where the comparison is remembered; what cannot be read there counts as nothing. Empty: nowhere.
  explicit WallClock(std::string file = "") : file_(std::move(file)) {
    std::ifstream in(file_);
    State state;
    if (!file_.empty() && in >> state.wall_s >> state.boot_s >> state.wait_until_s >> state.boot_id) state_ = state;
  }

  // The seconds for which nothing may be removed by age; 0: wall time is believed.
  std::int64_t wait_s(const ClockReading& now) {
    ahead_s_ = 0;
    const std::int64_t wait = judge(now);
    remember();
    return wait;
  }
  // The same without remembering anything, for a process beside the one that owns the file.
  static std::int64_t look_s(const std::string& file, const ClockReading& now) {
    WallClock clock(file);
    return clock.state_.boot_id == now.boot_id ? clock.judge(now) : 0;
  }
  // What another process remembered since; what this one knows stands where that cannot be read, or is older.
  void catch_up() {
    const WallClock there(file_);
    const bool same_boot = there.state_.boot_id == state_.boot_id;
    if (state_.boot_id.empty() || (same_boot && there.state_.boot_s > state_.boot_s)) state_ = there.state_;
  }
  // By how much wall time was ahead at the last question that had to wait; 0: it had not.
  std::int64_t ahead_s() const { return ahead_s_; }

 private:
  struct State {
    std::int64_t wall_s = 0, boot_s = 0;  // what is believed: this wall time at that time since the start
    std::int64_t wait_until_s = 0;        // of the time since the start; 0: nothing waits
    std::string boot_id;
  };

  std::int64_t judge(const ClockReading& now) {
    if (state_.boot_id.empty()) return believe(now, now.wall_s);
    const bool same_boot = state_.boot_id == now.boot_id;
    const std::int64_t elapsed = same_boot ? now.boot_s - state_.boot_s : now.boot_s;
    const std::int64_t expected = state_.wall_s + elapsed;
    // Small steps forward add up; a clock that goes back makes nothing older.
    if (now.wall_s - expected <= kTolerance_s) return believe(now, std::min(now.wall_s, expected));
    const std::int64_t began = same_boot && state_.wait_until_s != 0 ? state_.wait_until_s - kWait_s : now.boot_s;
    if (now.boot_s - began >= kWait_s) return believe(now, now.wall_s);
    ahead_s_ = now.wall_s - expected;
    state_ = {expected, now.boot_s, began + kWait_s, now.boot_id};
    return began + kWait_s - now.boot_s;
  }
  std::int64_t believe(const ClockReading& now, std::int64_t wall_s) {
    state_ = {wall_s, now.boot_s, 0, now.boot_id};
    return 0;
  }
  // Without the file it is still known to this process.
  void remember() {
    constexpr std::int64_t kEvery_s = 30;
    const bool same = state_.boot_id == written_.boot_id && state_.wait_until_s == written_.wait_until_s &&
                      state_.boot_s - written_.boot_s < kEvery_s &&
                      state_.wall_s - state_.boot_s == written_.wall_s - written_.boot_s;
    if (file_.empty() || same) return;
    const std::string fresh = file_ + ".new";
    {
      std::ofstream out(fresh, std::ios::trunc);
      out << state_.wall_s << ' ' << state_.boot_s << ' ' << state_.wait_until_s << ' ' << state_.boot_id << '\n';
      if (!out.flush()) return;
    }
    if (std::rename(fresh.c_str(), file_.c_str()) == 0) written_ = state_;
  }

  std::string file_;
  State state_, written_;
  std::int64_t ahead_s_ = 0;
};

}  // namespace mfdata::sdk
