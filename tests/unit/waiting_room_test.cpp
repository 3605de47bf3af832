#include "waiting_room.hpp"

#include "place.hpp"

using namespace mfdata;

TEST_CASE("clock_that_is_set_while_a_retry_waits_neither_hurries_nor_delays_it") {
  Place p;
  const std::string name = fresh_uid() + ".1";
  p.write("step.a.main_reinject/1000060000." + name, "x");
  WaitingRoom room(p.spool->disk(), 10);
  room.add("a.main", 120'000);
  REQUIRE(room.offer(0, "1000060000." + name, 1'000'000'000, 500));  // wall time, then monotonic: due in 60 s
  CHECK(room.next_due_ms() == 60'500);
  REQUIRE(room.move_due(60'499));
  CHECK(p.list("step.a.main").empty());
  REQUIRE(room.move_due(60'500));
  CHECK(p.list("step.a.main") == std::vector<std::string>{name});
}

TEST_CASE("retry_that_was_put_off_by_a_wrong_clock_waits_no_longer_than_retry_max_wait") {
  Place p;
  const std::string name = "9000000000." + fresh_uid() + ".1";
  WaitingRoom room(p.spool->disk(), 10);
  room.add("a.main", 120'000);
  REQUIRE(room.offer(0, name, 1'000'000'000, 500));
  CHECK(room.next_due_ms() == 120'500);
}

TEST_CASE("retry_whose_time_was_long_ago_is_due_at_once") {
  Place p;
  WaitingRoom room(p.spool->disk(), 10);
  room.add("a.main", 120'000);
  REQUIRE(room.offer(0, "5." + fresh_uid() + ".1", 1'000'000'000, 500));
  CHECK(room.next_due_ms() == 0);
}
