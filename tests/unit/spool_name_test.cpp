#include <doctest/doctest.h>

#include <algorithm>
#include <set>
#include <vector>

#include "libmfdata/spool_name.hpp"

using namespace mfdata;

TEST_CASE("uids_are_unique_and_sort_by_age") {
  std::vector<std::string> uids;
  for (int i = 0; i < 100'000; ++i) uids.push_back(fresh_uid());
  CHECK(std::set<std::string>(uids.begin(), uids.end()).size() == uids.size());
  CHECK(std::is_sorted(uids.begin(), uids.end()));
  for (const std::string& uid : {uids.front(), uids.back()}) {
    CHECK(valid_uid(uid));
    CHECK(uid[12] == '7');
    CHECK(std::string("89ab").find(uid[16]) != std::string::npos);
  }
}

TEST_CASE("a_repeat_makes_the_same_child_names") {
  const std::string parent = fresh_uid();
  CHECK(child_uid(parent, 1, 0) == child_uid(parent, 1, 0));
  CHECK(child_uid(parent, 1, 0) != child_uid(parent, 1, 1));
  CHECK(child_uid(parent, 1, 0) != child_uid(parent, 2, 0));
  CHECK(child_uid(parent, 1, 0) != child_uid(fresh_uid(), 1, 0));
  CHECK(valid_uid(child_uid(parent, 1, 0)));
  CHECK(uid_time_ms(child_uid(parent, 1, 0)) == uid_time_ms(parent));
}

TEST_CASE("spool_names_read_back_and_nothing_else_is_one") {
  const std::string uid = "019ab3c4d5e67f8091a2b3c4d5e6f708";
  for (const SpoolName& name : {SpoolName{uid, 0, false, 0}, SpoolName{uid, 3, true, 1}, SpoolName{uid, 18, false, 12}}) {
    auto back = SpoolName::parse(name.spell());
    REQUIRE(back);
    CHECK(*back == name);
  }
  CHECK(SpoolName{uid, 3, true, 1}.spell() == uid + ".3c~1");
  for (const std::string& bad : {uid, uid + ".", uid + ".c", uid + ".1d", uid + ".01", uid + ".1~", uid + ".1~0", uid + ".1~1~1", uid + ".-1",
                                 uid + ".1 ", "X" + uid.substr(1) + ".1", std::string("a.b"), std::string(), uid + ".99999999999999999999"}) {
    CHECK_FALSE(SpoolName::parse(bad));
  }
}

TEST_CASE("waiting_names_carry_their_due_time") {
  const std::string uid = "019ab3c4d5e67f8091a2b3c4d5e6f708";
  auto waiting = WaitingName::parse("1764000000000." + uid + ".2");
  REQUIRE(waiting);
  CHECK(waiting->due_ms == 1764000000000);
  CHECK(waiting->spell() == "1764000000000." + uid + ".2");
  CHECK_FALSE(WaitingName::parse(uid + ".2"));
  for (const std::string due : {"-5", "-0", "00", "", "1e3", "9223372036854775808"}) CHECK_FALSE(WaitingName::parse(due + '.' + uid + ".2"));
}
