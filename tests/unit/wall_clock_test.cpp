// When wall time is believed, with all clocks passed in.
#include <mfdata/wall_clock.hpp>

#include <doctest/doctest.h>

#include "place.hpp"

using mfdata::sdk::ClockReading;
using mfdata::sdk::WallClock;

namespace {

constexpr std::int64_t kNow = 1'800'000'000, kDay = 86'400;

ClockReading at(std::int64_t wall_s, std::int64_t boot_s, const char* boot = "a") { return {kNow + wall_s, boot_s, boot}; }

}  // namespace

TEST_CASE("clock_that_outruns_the_time_since_boot_by_over_an_hour_is_not_believed_for_an_hour") {
  WallClock clock;
  CHECK(clock.wait_s(at(0, 100)) == 0);
  CHECK(clock.wait_s(at(10 * kDay, 100 + 10 * kDay)) == 0);  // both went on
  const std::int64_t boot = 100 + 10 * kDay;
  CHECK(clock.wait_s(at(18 * kDay + 60, boot + 60)) == 3600);
  CHECK(clock.ahead_s() == 8 * kDay);
  CHECK(clock.wait_s(at(18 * kDay + 3659, boot + 3659)) == 1);
  CHECK(clock.wait_s(at(18 * kDay + 3660, boot + 3660)) == 0);
  CHECK(clock.ahead_s() == 0);
  CHECK(clock.wait_s(at(18 * kDay + 3720, boot + 3720)) == 0);
}

TEST_CASE("clock_that_is_set_right_is_believed_at_once_and_the_next_jump_waits_for_a_whole_hour") {
  WallClock clock;
  CHECK(clock.wait_s(at(0, 100)) == 0);
  CHECK(clock.wait_s(at(8 * kDay, 160)) == 3600);
  CHECK(clock.wait_s(at(120, 220)) == 0);
  CHECK(clock.wait_s(at(8 * kDay, 4000)) == 3600);
}

TEST_CASE("clock_that_went_back_is_believed_and_waits_when_it_goes_forward_again") {
  WallClock clock;
  CHECK(clock.wait_s(at(8 * kDay, 100)) == 0);  // wrong at the start
  CHECK(clock.wait_s(at(0, 160)) == 0);
  CHECK(clock.wait_s(at(8 * kDay, 220)) == 3600);
}

TEST_CASE("clock_that_is_set_forward_in_small_steps_waits_once_they_come_to_an_hour") {
  WallClock clock;
  CHECK(clock.wait_s(at(0, 100)) == 0);
  CHECK(clock.wait_s(at(3000, 160)) == 0);
  CHECK(clock.wait_s(at(6000, 220)) == 3600);
}

TEST_CASE("restart_does_not_make_a_wrong_clock_believed_nor_begin_the_hour_anew") {
  mfdata::Place p;
  const std::string file = (p.root / "clock").string();
  CHECK(WallClock(file).wait_s(at(0, 100)) == 0);
  CHECK(WallClock(file).wait_s(at(8 * kDay, 160)) == 3600);
  CHECK(WallClock::look_s(file, at(8 * kDay + 600, 760)) == 3000);
  CHECK(WallClock(file).wait_s(at(8 * kDay + 3000, 3160)) == 600);
  CHECK(WallClock(file).wait_s(at(8 * kDay + 3600, 3760)) == 0);
}

TEST_CASE("after_a_reboot_the_clock_waits_when_it_is_over_an_hour_ahead_of_what_was_known") {
  mfdata::Place p;
  const std::string file = (p.root / "clock").string();
  CHECK(WallClock(file).wait_s(at(0, 50'000)) == 0);
  CHECK(WallClock(file).wait_s(at(300, 30, "b")) == 0);            // off for some minutes
  CHECK(WallClock(file).wait_s(at(8 * kDay, 40, "c")) == 3600);    // off for days, or wrong
  CHECK(WallClock::look_s(file, at(8 * kDay, 40, "d")) == 0);      // of another start nothing is known
  CHECK(WallClock(file).wait_s(at(8 * kDay + 10, 30, "d")) == 3600);
  CHECK(WallClock(file).wait_s(at(8 * kDay + 3610, 3630, "d")) == 0);
}

TEST_CASE("file_of_the_clock_that_cannot_be_read_or_written_counts_as_none") {
  mfdata::Place p;
  p.write("clock", "nonsense");
  CHECK(WallClock((p.root / "clock").string()).wait_s(at(0, 100)) == 0);
  WallClock nowhere((p.root / "none/clock").string());
  CHECK(nowhere.wait_s(at(0, 100)) == 0);
  CHECK(nowhere.wait_s(at(8 * kDay, 160)) == 3600);
}
