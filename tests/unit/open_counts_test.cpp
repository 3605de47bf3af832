// Who has a file open, as far as events tell, and when it was told to be complete.
#include <doctest/doctest.h>

#include <string>

#include "open_counts.hpp"

using mfdata::OpenCounts;

TEST_CASE("a_file_is_told_to_be_complete_once_the_last_of_its_openers_has_closed_it") {
  OpenCounts opens(10);
  opens.created("f");
  opens.opened("f");
  opens.opened("f");
  opens.closed_by_writer("f", 5);
  CHECK(opens.is_open("f"));
  CHECK(opens.told_ns("f") == 0);
  opens.closed_by_writer("f", 7);
  CHECK_FALSE(opens.is_open("f"));
  CHECK(opens.told_ns("f") == 7);
}

TEST_CASE("a_reader_takes_nothing_away_and_adds_nothing") {
  OpenCounts opens(10);
  opens.created("f");
  opens.opened("f");
  opens.closed_by_writer("f", 5);
  opens.opened("f");
  CHECK(opens.told_ns("f") == 0);
  opens.closed_by_reader("f");
  CHECK(opens.told_ns("f") == 5);
  opens.opened("g");
  opens.closed_by_reader("g");
  CHECK(opens.size() == 1);
  CHECK(opens.told_ns("g") == 0);
}

TEST_CASE("a_name_that_is_not_known_has_one_unknown_opener_until_a_writer_closes_it") {
  OpenCounts opens(10);
  CHECK_FALSE(opens.is_open("f"));
  opens.watch("f");
  CHECK(opens.is_open("f"));
  opens.opened("f");
  opens.closed_by_writer("f", 5);
  CHECK(opens.told_ns("f") == 0);
  opens.closed_by_writer("f", 6);
  CHECK(opens.told_ns("f") == 6);
  opens.closed_by_writer("g", 7);
  CHECK(opens.told_ns("g") == 7);
  opens.closed_by_writer("g", 8);  // its open was not seen
  CHECK(opens.told_ns("g") == 8);
}

TEST_CASE("another_file_of_the_same_name_begins_anew") {
  OpenCounts opens(10);
  opens.created("f");
  opens.opened("f");
  opens.completed("f", 5);
  CHECK(opens.told_ns("f") == 5);
  opens.opened("f");
  opens.created("f");
  CHECK_FALSE(opens.is_open("f"));
  CHECK(opens.told_ns("f") == 0);
}

TEST_CASE("after_lost_events_nothing_is_told_of_a_file_until_a_writer_closes_it") {
  OpenCounts opens(10);
  opens.completed("f", 5);
  opens.lose_track();
  CHECK(opens.is_open("f"));
  CHECK(opens.told_ns("f") == 0);
  opens.closed_by_reader("f");
  CHECK(opens.told_ns("f") == 0);
  opens.closed_by_writer("f", 9);
  CHECK(opens.told_ns("f") == 9);
}

TEST_CASE("nothing_is_told_of_a_name_without_room_and_what_is_gone_gives_room_back") {
  OpenCounts opens(2);
  opens.completed("a", 1);
  opens.completed("b", 1);
  opens.completed("c", 1);
  CHECK(opens.told_ns("c") == 0);
  CHECK(opens.size() == 2);
  opens.drop_gone([](const std::string& name) { return name == "b"; });
  CHECK(opens.size() == 1);
  opens.completed("c", 2);
  CHECK(opens.told_ns("c") == 2);
  opens.forget("c");
  opens.clear();
  CHECK(opens.size() == 0);
}
