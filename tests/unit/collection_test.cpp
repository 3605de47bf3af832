// The collection with the time passed in: nothing has to become old.
#include "libmfdata/collection.hpp"

#include <ctime>

#include "libmfdata/ending.hpp"
#include "libmfdata/home.hpp"
#include "libmfdata/settings.hpp"
#include "libmfdata/trash_count.hpp"
#include "libmfdata/trashed_file.hpp"
#include "libmfdata/waiting_file.hpp"
#include "place.hpp"

using namespace mfdata;

namespace {

constexpr std::int64_t kDay = 86'400;
constexpr std::int64_t kTenYears = 3'650 * kDay;
using Names = std::vector<std::string>;

struct Spooled : Place {
  std::int64_t now = ::time(nullptr);

  std::string waiting() {
    write("incoming/waits", "content");
    Job job = accepted("waits");
    REQUIRE(give_back(*spool, slot, job));
    return job.name.spell();
  }
  void in_trash() {
    write("incoming/failed", "content");
    Job job = accepted("failed");
    REQUIRE(trash(*spool, slot, job, TrashNote{}));
  }
  Collected collected(const Lifetimes& lifetimes, std::int64_t later, const Names& live = {}) {
    Collected done = collect(*spool, lifetimes, live, now + later, [] { return true; });
    CHECK(done.problems == Names{});
    return done;
  }
};

Lifetimes default_lifetimes(const Place& place) {
  auto home = make_home((place.root / "home").string());
  REQUIRE(home);
  Problems problems;
  return load_settings(*home, problems).general.lifetimes;
}

}  // namespace

TEST_CASE("defect_2_a_backlog_waits_for_ten_years_unless_a_lifetime_says_otherwise") {
  Spooled p;
  const std::string name = p.waiting();
  p.write("step.a.main_reinject/5." + name, "another attempt");
  p.write("step.a.main/never_accepted", "somebody's");
  p.in_trash();
  Lifetimes lifetimes = default_lifetimes(p);
  const Collected done = p.collected(lifetimes, kTenYears);
  CHECK(done.purged == 1);
  CHECK(done.expired == 0);
  CHECK(p.list("step.a.main") == Names{name, "never_accepted"});
  lifetimes.backlog_s = 1;
  CHECK(p.collected(lifetimes, kTenYears).expired == 1);
  CHECK(p.list("step.a.main") == Names{"never_accepted"});
  CHECK(p.list("step.a.main_reinject") == Names{"5." + name});
  CHECK(trashed_files(*p.spool)->size() == 1);
}

TEST_CASE("trash_is_kept_for_a_week_by_default") {
  Spooled p;
  p.in_trash();
  const Lifetimes lifetimes = default_lifetimes(p);
  CHECK(p.collected(lifetimes, 7 * kDay - 60).purged == 0);
  CHECK(p.collected(lifetimes, 7 * kDay + 60).purged == 1);
  CHECK(p.list("trash/a.main") == Names{});
}

TEST_CASE("trash_of_a_step_that_is_gone_is_collected") {
  Spooled p;
  p.in_trash();
  for (const char* gone : {"step.a.main", "step.a.main_reinject", "tmp/a.main"}) boost::filesystem::remove_all(p.root / gone);
  CHECK(p.collected(default_lifetimes(p), kTenYears).purged == 1);
  CHECK(p.list("trash/a.main") == Names{});
}

TEST_CASE("scratch_of_a_dead_slot_is_emptied_when_it_is_old_and_that_of_a_live_one_never") {
  Spooled p;
  const Slot dead{"a.main", 1};
  REQUIRE(p.spool->prepare_slot(dead));
  boost::filesystem::create_directories(p.root / dead.scratch() / "folder");
  p.write(dead.scratch() + "/folder/left", "by a command");
  p.write(p.slot.scratch() + "/in_use", "by a command");
  p.write(dead.in() + "/input", "no scratch");
  const Lifetimes lifetimes = default_lifetimes(p);
  CHECK(p.collected(lifetimes, 3600 - 60, {p.slot.base()}).swept == 0);
  CHECK(p.list(dead.scratch()) == Names{"folder"});
  CHECK(p.collected(lifetimes, 3600 + 60, {p.slot.base()}).swept == 1);
  CHECK(p.list(dead.scratch()) == Names{});
  CHECK(p.list(dead.in()) == Names{"input"});
  CHECK(p.list(p.slot.scratch()) == Names{"in_use"});
  CHECK(p.collected(lifetimes, 3600 + 60).swept == 1);  // its worker is gone
  CHECK(p.list(p.slot.scratch()) == Names{});
}

TEST_CASE("scratch_without_a_lifetime_stays") {
  Spooled p;
  p.write(p.slot.scratch() + "/left", "by a command");
  CHECK(p.collected({1, 0, 1}, kTenYears).swept == 0);
  CHECK(p.list(p.slot.scratch()) == Names{"left"});
}

TEST_CASE("trash_is_counted_for_each_step") {
  Spooled p;
  p.in_trash();
  p.in_trash();
  boost::filesystem::create_directories(p.root / "trash/b.main");
  CHECK(*count_trash(*p.spool, [] { return true; }) == std::map<std::string, std::size_t>{{"a.main", 2}, {"b.main", 0}});
  CHECK(count_trash(*p.spool, [] { return false; }).is(Code::kBusy));
}

TEST_CASE("files_in_hand_are_listed_with_those_of_an_uncommitted_transaction") {
  Spooled p;
  p.write("incoming/one", "content");
  const Job job = p.accepted("one");
  boost::filesystem::create_directories(p.root / p.slot.txn() / "in");
  const std::string other = fresh_uid() + ".2";
  p.write(p.slot.txn() + "/in/" + other, "x");
  auto files = files_in_hand(*p.spool, "a.main");
  REQUIRE(files);
  REQUIRE(files->size() == 2);
  CHECK((*files)[0].name->spell() == job.name.spell());
  CHECK((*files)[1].basename() == other);
  CHECK((*files)[1].in_hand);
  CHECK(files_in_hand(*p.spool, "nobody.main")->empty());
}

TEST_CASE("arrivals_are_what_stands_in_a_watched_directory_under_no_ignored_name") {
  Spooled p;
  for (const char* name : {"b", "a", ".hidden", "c.tmp", ".mfdata-x"}) p.write(std::string("incoming/") + name, "x");
  boost::filesystem::create_directories(p.root / "incoming/folder");
  auto files = watched_files(*p.spool, "a.main", "incoming", {".*", "*.tmp"});
  REQUIRE(files);
  REQUIRE(files->size() == 2);
  CHECK((*files)[0].basename() == "a");
  CHECK((*files)[1].basename() == "b");
  CHECK((*files)[1].watched);
  CHECK(is_ignored({}, ".mfdata-x"));
  CHECK_FALSE(is_ignored({"*.tmp"}, "c.tmp.x"));
}

TEST_CASE("keys_of_deposits_are_forgotten_after_their_window_a_part_of_them_each_minute") {
  Spooled p;
  const std::string early = "00" + std::string(62, 'a'), late = "ff" + std::string(62, 'a');
  for (const std::string& key : {early, late}) REQUIRE(p.spool->disk().symlink(fresh_uid() + " a.main", layout::key(key)));
  Lifetimes lifetimes;
  lifetimes.keys_s = kDay;
  CHECK(default_lifetimes(p).keys_s == kDay);
  const std::int64_t round = 256 * 60, begins = (p.now / round + 1) * round - p.now;  // when those that begin with 00 are looked at
  CHECK(p.collected(lifetimes, begins).forgotten == 0);
  const std::int64_t old = begins + (kDay / round + 2) * round;
  CHECK(p.collected(lifetimes, old + 60).forgotten == 0);  // the turn of 01
  CHECK(p.collected(lifetimes, old).forgotten == 1);
  CHECK(p.list("tmp/keys") == Names{late});
  CHECK(p.collected(lifetimes, old + 255 * 60).forgotten == 1);
  CHECK(p.list("tmp/keys").empty());
}
