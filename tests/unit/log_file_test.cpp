#include "log_file.hpp"

#include <sys/resource.h>

#include <csignal>

#include "place.hpp"

using namespace mfdata;

namespace {

struct Logged : Place {
  boost::filesystem::path path = root / "log/loader.log";
  LogFile log{path.string(), 100, 2};
};

}  // namespace

TEST_CASE("log_that_is_removed_or_renamed_from_outside_is_made_anew") {
  Logged l;
  CHECK(l.log.write("one\n"));
  boost::filesystem::remove(l.path);
  l.log.look();
  CHECK(l.log.write("two\n"));
  CHECK(l.read(l.path) == "two\n");
  boost::filesystem::rename(l.path, l.root / "log/elsewhere");
  l.log.look();
  CHECK(l.log.write("three\n"));
  CHECK(l.read(l.path) == "three\n");
  CHECK(l.read(l.root / "log/elsewhere") == "two\n");
  boost::filesystem::remove_all(l.root / "log");
  l.log.look();
  CHECK(l.log.write("four\n"));
  CHECK(l.read(l.path) == "four\n");
}

TEST_CASE("log_that_nobody_touched_goes_on") {
  Logged l;
  CHECK(l.log.write("one\n"));
  l.log.look();
  l.log.reopen();
  CHECK(l.log.write("two\n"));
  CHECK(l.read(l.path) == "one\ntwo\n");
}

TEST_CASE("log_is_rotated_by_its_size_and_the_oldest_goes") {
  Logged l;
  for (char name = 'a'; name <= 'd'; ++name) CHECK(l.log.write(std::string(80, name) + '\n'));
  CHECK(l.read(l.path)[0] == 'd');
  CHECK(l.read(l.root / "log/loader.1.log")[0] == 'c');
  CHECK(l.read(l.root / "log/loader.2.log")[0] == 'b');
  CHECK_FALSE(boost::filesystem::exists(l.root / "log/loader.3.log"));
}

TEST_CASE("log_that_cannot_be_opened_says_why_and_is_written_once_it_can") {
  Place p;
  p.write("log", "a file where the directory should be");
  LogFile log((p.root / "log/loader.log").string(), 1000, 1);
  CHECK(log.problem().find("cannot open the log " + (p.root / "log/loader.log").string()) == 0);
  CHECK_FALSE(log.write("lost\n"));
  boost::filesystem::remove(p.root / "log");
  log.look();
  CHECK(log.problem().empty());
  CHECK(log.write("there\n"));
  CHECK(p.read(p.root / "log/loader.log") == "there\n");
}

TEST_CASE("log_on_a_full_disk_says_so_and_the_next_line_begins_anew") {
  Place p;
  const boost::filesystem::path path = p.root / "full.log";
  LogFile log(path.string(), 1 << 20, 1);
  CHECK(log.write("12345678\n"));
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{12, before.rlim_max};  // as a disk that has no room for more
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
  const bool written = log.write("abcdefgh\n");
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &before) == 0);
  std::signal(SIGXFSZ, handler);
  CHECK_FALSE(written);
  CHECK(log.problem().find("cannot write the log " + path.string()) == 0);
  CHECK(log.write("next\n"));
  CHECK(log.problem().empty());
  CHECK(p.read(path) == "12345678\nabc\nnext\n");
}
