#include <doctest/doctest.h>

#include "follow_table.hpp"

using namespace mfdata;
using wire::Outcome;

namespace {

const std::vector<std::string> kTargets = {"a/main", "b/main"};

wire::Trace trace(const std::string& uid, std::vector<wire::TracedOutput> outputs, Outcome outcome = Outcome::kOk) {
  wire::Trace made;
  made.uid = uid;
  made.origin = "u";
  made.outcome = outcome;
  made.outputs = std::move(outputs);
  return made;
}

wire::TracedOutput to(const std::string& uid, std::uint16_t target, bool anew = false) {
  wire::TracedOutput made;
  made.uid = uid;
  made.target = target;
  made.anew = anew;
  return made;
}

wire::TracedOutput delivered(const std::string& uid, const std::string& path) {
  wire::TracedOutput made;
  made.uid = uid;
  made.path = path;
  return made;
}

FollowTable::Report report(FollowTable& table) { return table.report("s", 0, 100, 1).value(); }

}  // namespace

TEST_CASE("a followed arrival ends when all that came of it has ended") {
  FollowTable table;
  CHECK_FALSE(table.any());
  REQUIRE(table.follow_arrival("s", 7, 1, 42, 0));
  CHECK(table.any());
  table.accepted({"other", 1, 41, true});
  table.accepted({"other", 2, 42, true});
  CHECK(report(table).last.empty());
  table.accepted({"u", 1, 42, true});
  table.accepted({"other", 1, 42, true});  // the inode is another file's now
  table.traced("switch/main", trace("u", {to("c1", 0), to("c2", 1)}), kTargets);
  CHECK(report(table).open == 1);
  CHECK(report(table).last == "was sent to b/main");
  table.traced("a/main", trace("c1", {delivered("c1", "/archive/x")}), kTargets);
  CHECK(report(table).ends.empty());
  table.traced("b/main", trace("c2", {}), kTargets);
  const auto done = report(table);
  CHECK(done.open == 0);
  REQUIRE(done.ends.size() == 1);
  CHECK(done.ends[0].label == 7);
  CHECK(done.ends[0].well);
  CHECK(done.ends[0].what == "delivered to /archive/x; ended in b/main");
  CHECK(report(table).ends.size() == 1);  // until it is said to have been read
  CHECK(table.report("s", 1, 100, 1)->ends.empty());
  table.forget("s");
  CHECK_FALSE(table.any());
}

TEST_CASE("an accept of a followed file that comes to nothing is followed by the next one") {
  FollowTable table;
  REQUIRE(table.follow_arrival("s", 0, 1, 42, 0));
  table.accepted({"first", 1, 42, false});
  table.accepted({"u", 1, 42, false});
  table.traced("a/main", trace("u", {}), kTargets);
  CHECK(report(table).ends.at(0).what == "ended in a/main");
}

TEST_CASE("a new file that a step makes of a followed one is named, and not waited for") {
  FollowTable table;
  REQUIRE(table.follow_uid("s", 0, "u", 0));
  table.traced("a/main", trace("u", {to("n", 1, true)}), kTargets);
  CHECK(report(table).ends.at(0).what == "a new file went to b/main");
  CHECK(report(table).ends.at(0).well);
}

TEST_CASE("a followed file whose delivery waits did not end well") {
  FollowTable table;
  REQUIRE(table.follow_uid("s", 0, "u", 0));
  auto waits = trace("u", {delivered("u", "/far/x")});
  waits.reason = "no room";
  table.traced("a/main", waits, kTargets);
  CHECK(report(table).ends.at(0).what == "not delivered to /far/x yet, that is tried again: no room");
  CHECK_FALSE(report(table).ends.at(0).well);
}

TEST_CASE("a followed file whose delivery was finished after the death of its worker ended well") {
  FollowTable table;
  REQUIRE(table.follow_uid("s", 0, "u", 0));
  table.settled("a/main", {"u", 0, false, "finished", "/archive/x"});
  CHECK(report(table).ends.at(0).what == "delivered to /archive/x (or to that name with -1, -2, ... behind it, if it was taken)");
  CHECK(report(table).ends.at(0).well);
}

TEST_CASE("what is said of a followed file has a bound, and the failures stand in front") {
  FollowTable table;
  REQUIRE(table.follow_uid("s", 0, "u", 0));
  std::vector<wire::TracedOutput> outputs;
  for (int i = 0; i < 100; ++i) outputs.push_back(delivered("c", "/" + std::string(999, 'x')));
  outputs.push_back(to("c", 0));
  table.traced("switch/main", trace("u", outputs), kTargets);
  auto failed = trace("c", {}, Outcome::kFailed);
  failed.trashed = true;
  table.traced("a/main", failed, kTargets);
  const auto done = report(table);
  CHECK(done.ends.at(0).what.starts_with("in trash of a/main; delivered to /x"));
  CHECK(done.ends.at(0).what.ends_with("; and 92 more"));
}

TEST_CASE("a followed file whose child is reported before its parent ends all the same") {
  FollowTable table;
  REQUIRE(table.follow_uid("s", 0, "u", 0));
  table.traced("a/main", trace("c1", {}), kTargets);  // by another worker, whose message was read first
  CHECK(report(table).open == 1);
  table.traced("switch/main", trace("u", {to("c1", 0)}), kTargets);
  CHECK(report(table).open == 0);
  CHECK(report(table).ends.at(0).what == "ended in a/main");
}

TEST_CASE("a followed file that goes on under its own uid, waits and is tried again is open until its end") {
  FollowTable table;
  REQUIRE(table.follow_uid("s", 0, "u", 0));
  table.traced("switch/main", trace("u", {to("u", 0)}), kTargets);
  auto retried = trace("u", {}, Outcome::kRetried);
  retried.reason = "no answer";
  table.traced("a/main", retried, kTargets);
  CHECK(report(table).last == "waits for another attempt in a/main: no answer");
  CHECK(report(table).open == 1);
  auto failed = trace("u", {}, Outcome::kFailed);
  failed.trashed = true;
  failed.reason = "gone";
  table.traced("a/main", failed, kTargets);
  CHECK(report(table).ends.at(0).what == "in trash of a/main: gone");
  CHECK_FALSE(report(table).ends.at(0).well);
}

TEST_CASE("what is deleted without a rule, or by a failure policy, did not end well") {
  for (const Outcome outcome : {Outcome::kSkipped, Outcome::kFailed}) {
    FollowTable table;
    REQUIRE(table.follow_uid("s", 0, "u", 0));
    table.traced("a/main", trace("u", {}, outcome), kTargets);
    CHECK_FALSE(report(table).ends.at(0).well);
  }
}

TEST_CASE("followed files that are refused, die with their workers or are dropped end, and a session that nobody asks for is forgotten") {
  FollowTable table;
  REQUIRE(table.follow_arrival("s", 0, 1, 1, 0));
  REQUIRE(table.follow_uid("s", 1, "u", 0));
  REQUIRE(table.follow_uid("s", 2, "v", 0));
  REQUIRE(table.follow_arrival("s", 3, 1, 2, 0));
  table.refused(1, 1, "/in/x", "too large");
  CHECK(report(table).ends.at(0).what == "refused, it stays in /in/x: too large");
  table.settled("a/main", {"u", 1, false, "returned"});
  CHECK(report(table).ends.size() == 1);
  table.settled("a/main", {"u", 3, true, "crashed"});
  CHECK(report(table).ends.at(1).what == "in trash of a/main: crashed");
  table.drop("s", 2);
  table.drop("s", 3);
  CHECK(report(table).open == 0);
  table.expire(FollowTable::kForgottenAfterNs);
  CHECK(table.any());
  table.expire(FollowTable::kForgottenAfterNs + 2);
  CHECK_FALSE(table.any());
  CHECK_FALSE(table.report("s", 0, 1, 0));
}

TEST_CASE("no more files are followed than there is room for") {
  FollowTable table;
  for (std::size_t i = 0; i < FollowTable::kMaxFiles; ++i) REQUIRE(table.follow_arrival("s", i, 1, i, 0));
  CHECK_FALSE(table.follow_arrival("t", 0, 2, 1, 0));
  CHECK(table.follow_arrival("s", 5, 3, 1, 0));
  table.refused(3, 1, "/in/x", "too large");
  CHECK_FALSE(table.follow_arrival("t", 0, 2, 1, 0));  // its end has not been read
  CHECK(table.report("s", 1, 100, 1)->ends.empty());
  CHECK(table.follow_arrival("t", 0, 2, 1, 0));
}
