// What archive removes, with the time passed in.
#include "archive/old_files.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>

#include "libmfdata/context.hpp"
#include "libmfdata/delivery.hpp"
#include "libmfdata/settings.hpp"
#include "libmfdata/spool_name.hpp"
#include "place.hpp"

using namespace mfdata;

namespace {

constexpr std::time_t kDay = 86'400;

struct Archived : Place {
  std::time_t now = ::time(nullptr);

  Archived() {
    write("out/file", "content");
    TagSet tags;
    REQUIRE(tags.set("latest.core.step_counter", "2"));
    REQUIRE(tags.set("2.archive.main.enter_step", "2026-01-01T00:00:00:000000"));
    FileDescriptor file(::open((root / "out/file").c_str(), O_RDWR));
    REQUIRE(set_tags_attribute(file.get(), encode(Context{fresh_uid(), 3, 7, "", {}, tags}), ""));
  }
  std::size_t removed(double lifetime, std::time_t later) {
    OldFiles files((root / "out").string(), "archive.main", ".tags", lifetime);
    std::string problem;
    const std::size_t count = files.sweep({now + later, 1000, "boot"}, std::chrono::minutes(1), problem);
    CHECK(problem.empty());
    return count;
  }
};

}  // namespace

TEST_CASE("an_archive_keeps_files_for_five_days_by_default") {
  Archived a;
  Problems problems;
  const PluginSettings plugin = load_plugin_folder(ARCHIVE_FOLDER, problems);
  REQUIRE(problems.empty());
  const double lifetime = *lifetime_s(std::to_string(plugin.custom.find("lifetime")->integer()));
  CHECK(a.removed(lifetime, 5 * kDay - 60) == 0);
  CHECK(a.removed(lifetime, 5 * kDay + 60) == 1);
  CHECK(a.list("out").empty());
}

TEST_CASE("an_archive_with_a_negative_lifetime_keeps_files_for_ever") {
  Archived a;
  CHECK(a.removed(*lifetime_s("-1"), 10'000 * kDay) == 0);
  CHECK(a.removed(*lifetime_s("0.5"), kDay / 2 - 60) == 0);
  CHECK(a.removed(*lifetime_s("0.5"), kDay / 2 + 60) == 1);
}

TEST_CASE("an_archive_removes_files_by_their_companion_where_no_attribute_tells") {
  Archived a;
  for (const char* name : {"ours", "theirs", "alone"}) a.write(std::string("out/") + name, "content");
  a.write("out/ours.tags", "2.archive.main.enter_step = 2026-01-01T00:00:00:000000\nlatest.core.step_counter = 2\n");
  a.write("out/theirs.tags", "2.move.main.enter_step = 2026-01-01T00:00:00:000000\nlatest.core.step_counter = 2\n");
  CHECK(a.removed(kDay, 2 * kDay) == 2);  // "file", by its attribute, and "ours"
  std::vector<std::string> left = a.list("out");
  std::sort(left.begin(), left.end());
  CHECK(left == std::vector<std::string>{"alone", "theirs", "theirs.tags"});
}

TEST_CASE("an_archived_file_without_companion_whose_tags_exceed_the_attribute_keeps_its_lifetime") {
  Archived a;
  a.write("out/much", "content");
  TagSet tags;
  REQUIRE(tags.set("latest.core.step_counter", "2"));
  REQUIRE(tags.set("2.archive.main.enter_step", "2026-01-01T00:00:00:000000"));
  REQUIRE(tags.set("first.core.original_basename", "much"));
  REQUIRE(tags.set("large", std::string(40'000, '\n')));  // three bytes each in the attribute: more than any has room for
  FileDescriptor file(::open((a.root / "out/much").c_str(), O_RDWR));
  REQUIRE(tag_delivered(file.get(), Context{fresh_uid(), 3, 7, "", {}, tags}, ""));
  const auto text = get_tags_attribute(file.get(), "");
  REQUIRE(text);
  const auto shown = decode(*text);
  REQUIRE(shown);
  CHECK(shown->tags.get("first.core.original_basename") == "much");
  CHECK_FALSE(shown->tags.get("large"));
  CHECK(a.removed(kDay, kDay / 2) == 0);
  CHECK(a.removed(kDay, 2 * kDay) == 2);  // and "file"
  CHECK(a.list("out").empty());
}

TEST_CASE("a_lifetime_of_an_archive_is_a_number_of_days_or_has_a_unit") {
  CHECK(lifetime_s("5") == 5 * kDay);
  CHECK(lifetime_s("30d") == 30 * kDay);
  CHECK(lifetime_s("12h") == 12 * 3600);
  CHECK(lifetime_s("90m") == 90 * 60);
  CHECK(lifetime_s("2s") == 2);
  for (const char* wrong : {"", "soon", "5 days", "d"}) CHECK_FALSE(lifetime_s(wrong));
}

TEST_CASE("one_worker_at_a_time_looks_for_old_files") {
  Archived a;
  {
    const FileDescriptor other(::open((a.root / "out").c_str(), O_RDONLY | O_DIRECTORY));
    REQUIRE(::flock(other.get(), LOCK_EX) == 0);
    CHECK(a.removed(1, kDay) == 0);
  }
  CHECK(a.removed(1, kDay) == 1);
}

TEST_CASE("an_archive_removes_nothing_for_an_hour_when_the_clock_goes_forward_by_eight_days") {
  Archived a;
  const std::string remembered = (a.root / "clock").string();
  const auto sweep = [&](std::time_t wall, std::int64_t boot) {  // of a worker that has just started
    OldFiles files((a.root / "out").string(), "archive.main", ".tags", 5 * kDay, remembered);
    std::string problem;
    const std::size_t removed = files.sweep({a.now + wall, boot, "boot"}, std::chrono::minutes(1), problem);
    CHECK(problem.empty() == (wall < kDay || removed == 1));
    return removed;
  };
  CHECK(sweep(0, 1000) == 0);
  CHECK(sweep(8 * kDay + 60, 1060) == 0);
  CHECK(sweep(8 * kDay + 3600, 4600) == 0);
  CHECK(sweep(120, 4700) == 0);  // set right
  CHECK(sweep(8 * kDay, 4800) == 0);
  CHECK(a.list("out").size() == 1);
  CHECK(sweep(8 * kDay + 3600, 8400) == 1);  // it has said so for an hour
}

TEST_CASE("an_archive_stops_in_the_middle_of_its_way_when_the_clock_goes_forward") {
  Archived a;
  OldFiles files((a.root / "out").string(), "archive.main", ".tags", 5 * kDay);
  std::string problem;
  CHECK(files.sweep({a.now, 1000, "boot"}, std::chrono::milliseconds(0), problem) == 0);  // begun, not ended
  CHECK(problem.empty());
  CHECK(files.sweep({a.now + 8 * kDay, 1001, "boot"}, std::chrono::minutes(1), problem) == 0);
  CHECK(problem.find("the clock went forward by 191 hours more than time has passed") != std::string::npos);
  CHECK(a.list("out").size() == 1);
}
