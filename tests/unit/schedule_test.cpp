#include <doctest/doctest.h>

#include <algorithm>

#include "schedule.hpp"

using namespace mfdata;
using wire::Outcome;

namespace {

struct Bench {
  Schedule schedule{std::vector<Schedule::StepRules>(2)};
  Nanoseconds now = kSecond;

  void offer(const std::string& name, Lane lane = Lane::kHop, std::size_t step = 0) { REQUIRE(schedule.offer(step, lane, 0, name)); }
  // The names handed out now, in their order.
  std::vector<std::string> hand_out(WorkerId worker = 1) {
    std::vector<std::string> names;
    for (const Schedule::Dispatch& dispatch : schedule.decide(now)) {
      if (dispatch.worker != worker) continue;
      for (const wire::JobName& job : dispatch.jobs) {
        names.push_back(job.name);
        ids[job.name] = job.id;
      }
    }
    return names;
  }
  void finish(const std::string& name, Outcome outcome = Outcome::kOk, WorkerId worker = 1) {
    wire::Done done;
    done.id = ids[name];
    done.outcome = outcome;
    done.duration_ns = duration_ns;
    schedule.finished(worker, done, now);
  }
  std::map<std::string, std::uint32_t> ids;
  std::uint64_t duration_ns = 1'000'000;
};

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("names_go_out_in_their_order_and_crashed_ones_last") {
  Bench b;
  b.schedule.worker_ready(1, 0, 0);
  b.offer("c~1", Lane::kCrashed);
  b.offer("a");
  b.offer("b", Lane::kArrival);
  CHECK(b.hand_out() == Names{"a", "b", "c~1"});
}

TEST_CASE("what_crashed_or_was_in_hand_when_the_loader_died_runs_alone") {
  Bench b;
  b.schedule.worker_ready(1, 0, 10);
  b.offer("c~1", Lane::kCrashed);
  b.offer("a");
  REQUIRE(b.schedule.offer(0, Lane::kHop, 0, "in hand", true));
  const auto dispatches = b.schedule.decide(b.now);
  REQUIRE(dispatches.size() == 1);
  std::map<std::string, bool> alone;
  for (const wire::JobName& job : dispatches[0].jobs) alone[job.name] = job.alone;
  CHECK(alone == std::map<std::string, bool>{{"a", false}, {"in hand", true}, {"c~1", true}});
}

TEST_CASE("a_step_that_yields_gets_nothing_until_its_pause_is_over_and_others_do") {
  Bench b;
  b.schedule.worker_ready(1, 0, 0);
  b.schedule.worker_ready(2, 1, 0);
  b.offer("a");
  CHECK(b.hand_out() == Names{"a"});
  wire::Done done;
  done.id = b.ids["a"];
  done.outcome = Outcome::kYielded;
  done.pause_ms = 500;
  b.schedule.finished(1, done, b.now);
  b.offer("a");
  b.offer("other", Lane::kHop, 1);
  CHECK(b.hand_out().empty());
  CHECK(b.schedule.rests_until(0) == b.now + 500 * kMillisecond);
  CHECK(b.schedule.next_wakeup(b.now) == b.now + 500 * kMillisecond);
  CHECK(b.schedule.mood(0) == Schedule::Mood::kRunning);
  b.now += 499 * kMillisecond;
  CHECK(b.hand_out().empty());
  b.now += kMillisecond;
  CHECK(b.hand_out() == Names{"a"});
  CHECK(b.schedule.rests_until(0) == 0);
}

TEST_CASE("a_name_is_in_flight_once_and_looked_at_again_when_it_came_again") {
  Bench b;
  b.schedule.worker_ready(1, 0, 0);
  b.schedule.worker_ready(2, 0, 0);
  b.offer("same", Lane::kArrival);
  const auto dispatches = b.schedule.decide(b.now);
  b.offer("same", Lane::kArrival);
  CHECK(b.schedule.decide(b.now).empty());
  b.ids["same"] = 1;
  b.finish("same", Outcome::kOk, dispatches[0].worker);
  CHECK(b.schedule.queued(0) == 1);
}

TEST_CASE("schedule_is_crowded_while_a_name_may_have_to_change_hands") {
  Bench b;
  CHECK_FALSE(b.schedule.crowded());
  b.schedule.worker_ready(1, 0, 0);
  b.offer("in hand");
  CHECK(b.schedule.crowded());
  CHECK(b.hand_out() == Names{"in hand"});
  CHECK_FALSE(b.schedule.crowded());
  CHECK(b.schedule.any_in_hand());
  b.offer("behind it");
  CHECK(b.schedule.crowded());
  CHECK(b.hand_out() == Names{"behind it"});
  CHECK(b.schedule.crowded());
}

TEST_CASE("two_events_for_one_file_are_one_file") {
  Bench b;
  b.offer("renamed, then closed");
  b.offer("renamed, then closed");
  CHECK(b.schedule.queued(0) == 1);
}

TEST_CASE("step_that_is_retired_gets_nothing_and_keeps_nothing_until_it_is_revived") {
  Bench b;
  b.schedule.worker_ready(1, 0, 0);
  b.offer("in hand");
  CHECK(b.hand_out() == Names{"in hand"});
  b.offer("waits");
  b.schedule.retire(0);
  CHECK(b.schedule.queued(0) == 0);
  b.offer("comes");
  b.finish("in hand", Outcome::kRevoked);
  CHECK(b.schedule.queued(0) == 0);
  CHECK(b.hand_out().empty());
  b.schedule.revive(0);
  b.offer("comes");
  CHECK(b.hand_out() == Names{"comes"});
}

TEST_CASE("source_that_a_step_leaves_is_drained_and_never_queued_again") {
  Bench b;
  b.schedule.worker_ready(1, 0, 0);
  b.offer("in hand", Lane::kArrival);
  CHECK(b.hand_out() == Names{"in hand"});
  b.offer("waits", Lane::kArrival);
  b.schedule.leave(0, 0);
  CHECK(b.schedule.queued(0) == 0);
  CHECK(b.schedule.any_in_flight(0, 0));
  b.schedule.worker_gone(1);
  CHECK(!b.schedule.any_in_flight(0, 0));
  CHECK(b.schedule.queued(0) == 0);
  b.schedule.take_again(0, 0);
  b.offer("waits", Lane::kArrival);
  CHECK(b.schedule.queued(0) == 1);
}

TEST_CASE("short_treatments_get_many_names_ahead_and_long_ones_one") {
  Bench b;
  b.schedule.worker_ready(1, 0, 0);
  for (int i = 0; i < 1000; ++i) b.offer("n" + std::to_string(i));
  b.duration_ns = 50'000;
  for (int round = 0; round < 60; ++round) {
    for (const std::string& name : b.hand_out()) b.finish(name);
  }
  for (int i = 0; i < 1000; ++i) b.offer("m" + std::to_string(i));
  CHECK(b.hand_out().size() >= 64);

  Bench slow;
  slow.schedule.worker_ready(1, 0, 0);
  slow.duration_ns = 5'000'000'000;
  for (int i = 0; i < 200; ++i) slow.offer("n" + std::to_string(i));
  for (int round = 0; round < 5; ++round) {
    for (const std::string& name : slow.hand_out()) slow.finish(name);
  }
  CHECK(slow.hand_out().size() == 1);
}

TEST_CASE("two_workers_share_what_there_is") {
  Bench b;
  b.schedule.worker_ready(1, 0, 0);
  b.schedule.worker_ready(2, 0, 0);
  for (int i = 0; i < 4; ++i) b.offer("n" + std::to_string(i));
  const auto dispatches = b.schedule.decide(b.now);
  REQUIRE(dispatches.size() == 2);
  CHECK(dispatches[0].jobs.size() == 2);
  CHECK(dispatches[1].jobs.size() == 2);
}

TEST_CASE("a_dead_workers_names_are_queued_again_in_front") {
  Bench b;
  b.schedule.worker_ready(1, 0, 0);
  b.offer("a");
  b.offer("b");
  CHECK(b.hand_out() == Names{"a", "b"});
  b.offer("c");
  b.schedule.worker_gone(1);
  b.schedule.worker_ready(2, 0, 0);
  CHECK(b.hand_out(2) == Names{"a", "b", "c"});
}

TEST_CASE("a_draining_worker_gets_nothing") {
  Bench b;
  b.schedule.worker_ready(1, 0, 0);
  b.schedule.worker_draining(1);
  b.offer("a");
  CHECK(b.hand_out().empty());
}

TEST_CASE("names_behind_a_slow_file_are_taken_back_for_an_idle_worker") {
  Bench b;
  b.schedule.worker_ready(1, 0, 0);
  for (const char* name : {"slow", "x", "y"}) b.offer(name);
  CHECK(b.hand_out().size() == 3);
  b.schedule.worker_ready(2, 0, 0);
  CHECK_FALSE(b.schedule.hoarder(b.now));
  b.now += kSecond;
  REQUIRE(b.schedule.hoarder(b.now) == 1);
  b.schedule.revoked(1, b.ids["slow"]);
  const std::uint32_t first_id = b.ids["x"];
  CHECK(b.hand_out(2) == Names{"x", "y"});
  b.ids["x"] = first_id;
  b.finish("x", Outcome::kRevoked);  // the late answer of the first worker changes nothing
  CHECK(b.schedule.queued(0) == 0);
}

TEST_CASE("a_full_queue_leaves_names_on_disk") {
  Schedule schedule(std::vector<Schedule::StepRules>{{3}});
  for (int i = 0; i < 3; ++i) CHECK(schedule.offer(0, Lane::kHop, 0, std::to_string(i)));
  CHECK_FALSE(schedule.offer(0, Lane::kHop, 0, "3"));
  CHECK_FALSE(schedule.has_room(0));
  schedule.forget(0, 0);
  CHECK(schedule.queued(0) == 0);
}

TEST_CASE("closed_entrances_hold_arrivals_and_let_hops_drain") {
  Bench b;
  b.schedule.worker_ready(1, 0, 0);
  b.schedule.close_entrances(true);
  b.offer("arrival", Lane::kArrival);
  b.offer("hop");
  CHECK(b.hand_out() == Names{"hop"});
  b.schedule.close_entrances(false);
  CHECK(b.hand_out() == Names{"arrival"});
}

TEST_CASE("a_file_being_written_is_asked_again_later") {
  Bench b;
  b.schedule.worker_ready(1, 0, 0);
  b.offer("w", Lane::kArrival);
  b.hand_out();
  CHECK(b.schedule.in_hand() == 1);
  b.finish("w", Outcome::kBusy);
  CHECK(b.schedule.in_hand() == 0);  // nobody works on it
  CHECK(b.schedule.in_flight(0) == 1);
  CHECK(b.hand_out().empty());
  REQUIRE(b.schedule.next_wakeup(b.now));
  b.now = *b.schedule.next_wakeup(b.now);
  CHECK(b.hand_out() == Names{"w"});
}

TEST_CASE("a_full_disk_pauses_the_step_with_growing_waits") {
  Bench b;
  b.schedule.worker_ready(1, 0, 0);
  b.offer("f");
  Nanoseconds last = 0;
  for (int round = 0; round < 4; ++round) {
    REQUIRE(b.hand_out() == Names{"f"});
    b.finish("f", Outcome::kNoSpace);
    CHECK(b.schedule.mood(0) == Schedule::Mood::kPaused);
    CHECK(b.hand_out().empty());
    const Nanoseconds wait = *b.schedule.next_wakeup(b.now) - b.now;
    CHECK(wait >= 2 * last);
    last = wait;
    b.now += wait;
  }
  b.hand_out();
  b.finish("f");
  CHECK(b.schedule.mood(0) == Schedule::Mood::kRunning);
}

TEST_CASE("file_that_does_not_fit_goes_behind_the_others_and_waits_longer_each_time") {
  Bench b;
  b.schedule.set_no_space_max_wait(3600 * kSecond);
  b.schedule.worker_ready(1, 0, 0);
  b.offer("large");
  CHECK(b.hand_out() == Names{"large"});
  b.finish("large", Outcome::kNoSpace);
  b.offer("small");
  CHECK(b.schedule.mood(0) == Schedule::Mood::kPaused);  // it may be the disk
  CHECK(b.hand_out().empty());
  b.now += kSecond;
  CHECK(b.hand_out() == Names{"small"});  // the probe is another file
  b.finish("small");
  CHECK(b.schedule.mood(0) == Schedule::Mood::kRunning);
  Nanoseconds last = 0;
  for (int round = 0; round < 8; ++round) {
    CHECK(b.hand_out() == Names{"large"});
    b.finish("large", Outcome::kNoSpace);
    CHECK(b.schedule.mood(0) == Schedule::Mood::kRunning);  // others have passed: it alone waits
    b.offer("other " + std::to_string(round));
    CHECK(b.hand_out() == Names{"other " + std::to_string(round)});
    b.finish("other " + std::to_string(round));
    REQUIRE(b.schedule.held_back(0).size() == 1);
    const Schedule::HeldBack held = b.schedule.held_back(0)[0];
    CHECK(held.file.name == "large");
    CHECK(held.attempts == static_cast<unsigned>(round) + 2);
    const Nanoseconds wait = held.due - b.now;
    CHECK(wait == std::min(std::max(2 * last, 2 * kSecond), 60 * kSecond));
    CHECK(b.schedule.next_wakeup(b.now) == held.due);
    last = wait;
    b.now = held.due;
  }
  b.hand_out();
  b.finish("large");
  CHECK(b.schedule.held_back(0).empty());
}

TEST_CASE("arrival_that_was_taken_and_given_back_is_held_back_under_its_new_name_and_is_not_the_next_probe") {
  Bench b;
  b.schedule.worker_ready(1, 0, 0);
  REQUIRE(b.schedule.offer(0, Lane::kArrival, 1, "large"));
  CHECK(b.hand_out() == Names{"large"});
  REQUIRE(b.schedule.offer(0, Lane::kArrival, 1, "small"));
  const std::string name = std::string(32, 'a') + ".0";
  b.offer(name);  // the event of its return comes before its result
  wire::Done done;
  done.id = b.ids["large"];
  done.outcome = Outcome::kNoSpace;
  done.waits_as = name;
  b.schedule.finished(1, done, b.now);
  REQUIRE(b.schedule.held_back(0).size() == 1);
  CHECK(b.schedule.held_back(0)[0].file.name == name);
  CHECK(b.schedule.in_flight(0) == 1);
  b.offer(name);  // or after it
  CHECK(b.schedule.queued(0) == 1);
  b.now += kSecond;
  CHECK(b.hand_out() == Names{"small"});
  b.finish("small");
  CHECK(b.hand_out() == Names{name});
}

TEST_CASE("file_that_alone_found_no_room_for_long_gets_its_last_chance_alone") {
  Bench b;
  b.schedule.set_no_space_max_wait(10 * kSecond);
  b.schedule.worker_ready(1, 0, 0);
  b.offer("large");
  bool last_chance = false;
  for (int round = 0; round < 10 && !last_chance; ++round) {
    const auto dispatches = b.schedule.decide(b.now);
    REQUIRE(dispatches.size() == 1);
    const wire::JobName job = dispatches[0].jobs.at(0);
    const bool due = !b.schedule.held_back(0).empty() && b.now - b.schedule.held_back(0)[0].since >= 10 * kSecond;
    CHECK(job.last_chance == due);
    CHECK(job.alone == (round > 1));  // a batch may be what did not fit
    last_chance = job.last_chance;
    b.ids["large"] = job.id;
    b.finish("large", Outcome::kNoSpace);
    b.now = *b.schedule.next_wakeup(b.now);
  }
  CHECK(last_chance);
}

TEST_CASE("what_the_system_refuses_is_held_back_for_ever_and_never_gets_a_last_chance") {
  Bench b;
  b.schedule.set_no_space_max_wait(kSecond);
  b.schedule.worker_ready(1, 0, 0);
  b.offer("refused");
  for (int round = 0; round < 10; ++round) {
    const auto dispatches = b.schedule.decide(b.now);
    REQUIRE(dispatches.size() == 1);
    CHECK_FALSE(dispatches[0].jobs.at(0).last_chance);
    b.ids["refused"] = dispatches[0].jobs[0].id;
    b.finish("refused", Outcome::kError);
    b.now = *b.schedule.next_wakeup(b.now);
  }
}

TEST_CASE("when_nothing_passes_one_file_after_another_is_the_probe_and_none_is_tried_in_between") {
  Bench b;
  b.schedule.worker_ready(1, 0, 0);
  b.offer("a");
  CHECK(b.hand_out() == Names{"a"});
  b.finish("a", Outcome::kError);
  for (const char* name : {"b", "c"}) b.offer(name);
  CHECK(b.hand_out().empty());
  b.now += kSecond;
  CHECK(b.hand_out() == Names{"b"});
  b.finish("b", Outcome::kError);
  CHECK(b.hand_out().empty());
  b.now += kSecond;
  CHECK(b.hand_out().empty());  // 2 s this time
  b.now += kSecond;
  CHECK(b.hand_out() == Names{"c"});
  b.finish("c", Outcome::kError);
  CHECK(b.hand_out().empty());
  CHECK(b.schedule.mood(0) == Schedule::Mood::kPaused);
  CHECK(b.schedule.in_flight(0) + b.schedule.queued(0) == 3);
}

TEST_CASE("files_that_cannot_be_claimed_keep_neither_arrivals_nor_files_that_crashed_from_being_probed") {
  Bench b;
  b.schedule.worker_ready(1, 0, 0);
  const std::vector<std::string> immutable = {"i1", "i2", "i3", "i4", "i5"};
  for (const std::string& name : immutable) b.offer(name);
  for (const std::string& name : b.hand_out()) b.finish(name, Outcome::kError);
  b.offer("c~1", Lane::kCrashed);
  b.offer("a", Lane::kArrival);
  b.offer("i6");
  Names probed;
  while (probed.size() < 3) {
    REQUIRE(b.schedule.next_wakeup(b.now));
    b.now = *b.schedule.next_wakeup(b.now);
    for (const std::string& name : b.hand_out()) {
      probed.push_back(name);
      b.finish(name, Outcome::kError);
    }
  }
  std::sort(probed.begin(), probed.end());
  CHECK(probed == Names{"a", "c~1", "i6"});  // one of each lane, none of those that have failed
}

TEST_CASE("when_all_files_are_in_trouble_the_probes_take_the_lanes_in_turn") {
  Bench b;
  b.schedule.worker_ready(1, 0, 0);
  b.offer("i");
  b.hand_out();
  b.finish("i", Outcome::kError);
  b.offer("c~1", Lane::kCrashed);
  std::map<std::string, int> attempts;
  for (int round = 0; round < 20; ++round) {
    b.now = std::max(b.now + 60 * kSecond, b.schedule.next_wakeup(b.now).value_or(0));
    for (const std::string& name : b.hand_out()) {
      ++attempts[name];
      b.finish(name, Outcome::kError);
    }
  }
  CHECK(attempts["i"] == 10);
  CHECK(attempts["c~1"] == 10);
}

TEST_CASE("file_that_failed_while_others_passed_never_pauses_its_step_again") {
  Bench b;
  b.schedule.worker_ready(1, 0, 0);
  b.offer("immutable");
  b.hand_out();
  b.finish("immutable", Outcome::kError);
  b.offer("other", Lane::kArrival);
  b.now += kSecond;
  CHECK(b.hand_out() == Names{"other"});
  b.finish("other");
  for (int round = 0; round < 5; ++round) {  // nothing else comes
    b.now = std::max(b.now, b.schedule.held_back(0).at(0).due);
    CHECK(b.hand_out() == Names{"immutable"});
    b.finish("immutable", Outcome::kError);
    CHECK(b.schedule.mood(0) == Schedule::Mood::kRunning);
  }
}

TEST_CASE("a_held_back_name_of_a_directory_that_the_step_leaves_is_forgotten") {
  Bench b;
  b.schedule.worker_ready(1, 0, 0);
  REQUIRE(b.schedule.offer(0, Lane::kArrival, 3, "x"));
  b.hand_out();
  b.finish("x", Outcome::kError);
  CHECK(b.schedule.any_in_flight(0, 3));
  b.schedule.leave(0, 3);
  CHECK_FALSE(b.schedule.any_in_flight(0, 3));
  CHECK(b.schedule.held_back(0).empty());
}

TEST_CASE("five_crashes_on_different_files_suspend_the_step_and_one_success_resumes_it") {
  Bench b;
  for (const char* uid : {"1", "2", "2", "3", "4"}) CHECK_FALSE(b.schedule.crashed(0, uid, b.now));
  CHECK(b.schedule.crashed(0, "5", b.now));
  CHECK(b.schedule.mood(0) == Schedule::Mood::kSuspended);
  b.schedule.worker_ready(1, 0, 0);
  b.offer("x");
  b.offer("y");
  CHECK(b.hand_out().empty());
  b.now += kSecond;
  CHECK(b.hand_out() == Names{"x"});  // one file as a probe
  b.schedule.worker_gone(1);
  CHECK_FALSE(b.schedule.crashed(0, "6", b.now));  // suspended already
  b.schedule.worker_ready(2, 0, 0);
  CHECK(b.hand_out(2).empty());
  b.now += 2 * kSecond;
  CHECK(b.hand_out(2) == Names{"x"});
  b.finish("x", Outcome::kOk, 2);
  CHECK(b.schedule.mood(0) == Schedule::Mood::kRunning);
  CHECK(b.hand_out(2) == Names{"y"});
}

TEST_CASE("a_success_between_crashes_starts_the_count_again") {
  Bench b;
  b.schedule.worker_ready(1, 0, 0);
  for (const char* uid : {"1", "2", "3", "4"}) b.schedule.crashed(0, uid, b.now);
  b.offer("good");
  b.hand_out();
  b.finish("good");
  CHECK_FALSE(b.schedule.crashed(0, "5", b.now));
}

TEST_CASE("a_step_that_is_held_gets_nothing_until_it_is_released") {
  Bench b;
  b.schedule.worker_ready(1, 0, 0);
  b.schedule.hold(0, true);
  b.offer("x");
  CHECK(b.hand_out().empty());
  CHECK_FALSE(b.schedule.next_wakeup(b.now));
  CHECK(b.schedule.workers_of(0) == std::vector<WorkerId>{1});
  b.schedule.hold(0, false);
  CHECK(b.hand_out() == Names{"x"});
  b.offer("y");
  b.schedule.hold(0, true);
  b.schedule.revoked(1, 0);
  CHECK(b.schedule.queued(0) == 2);
  b.schedule.hold(0, false);
  CHECK(b.hand_out() == Names{"x", "y"});
}

TEST_CASE("what_a_dead_worker_took_away_from_its_name_is_not_queued_again") {
  Bench b;
  b.schedule.worker_ready(1, 0, 10);
  for (const char* name : {"taken", "left", "taken too"}) b.offer(name, Lane::kArrival);
  CHECK(b.hand_out().size() == 3);
  b.schedule.worker_gone(1, [](const Schedule::Finished& name) { return name.name == "left"; });
  CHECK(b.schedule.queued(0) == 1);
  CHECK(b.schedule.in_flight(0) == 0);
  b.schedule.worker_ready(2, 0, 0);
  CHECK(b.hand_out(2) == Names{"left"});
}

TEST_CASE("what_a_worker_has_begun_is_known_by_its_name_and_a_batch_by_its_number") {
  Bench b;
  b.schedule.worker_ready(1, 0, 0);
  for (const char* name : {"a", "b", "c"}) b.offer(name);
  CHECK(b.hand_out() == Names{"a", "b", "c"});
  std::size_t files = 0;
  CHECK(b.schedule.begun(1, b.ids["b"], files)->name == "b");
  CHECK(files == 1);
  b.finish("b");
  CHECK_FALSE(b.schedule.begun(1, b.ids["b"], files));
  CHECK_FALSE(b.schedule.begun(7, 1, files));
  b.schedule.worker_ready(2, 1, 10);
  for (const char* name : {"d", "e", "f"}) b.offer(name, Lane::kHop, 1);
  CHECK(b.hand_out(2).size() == 3);
  CHECK(b.schedule.begun(2, b.ids["e"], files)->name == "e");
  CHECK(files == 2);
}
