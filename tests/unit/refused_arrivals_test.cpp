// Refused arrivals are told of once, within bounds, and asked again when they have changed.
#include <doctest/doctest.h>

#include <optional>
#include <string>

#include "libmfdata/arrival.hpp"
#include "libmfdata/filesystem_kind.hpp"
#include "refused_arrivals.hpp"

using namespace mfdata;

namespace {

struct stat file(std::uint64_t inode, std::int64_t changed_s) {
  struct stat status {};
  status.st_ino = inode;
  status.st_ctim.tv_sec = changed_s;
  return status;
}

constexpr std::int64_t kMinute = 60'000'000'000;

}  // namespace

TEST_CASE("a_refused_arrival_is_logged_and_counted_once_and_asked_again_when_it_has_changed") {
  RefusedArrivals refused;
  const auto first = refused.add("in/f", file(1, 10), "it may not be read", 0);
  CHECK((first.log && first.count));
  CHECK(refused.same("in/f", file(1, 10), 0));
  CHECK_FALSE(refused.same("in/f", file(1, 11), 0));
  CHECK_FALSE(refused.same("in/f", file(2, 10), 0));
  const auto again = refused.add("in/f", file(1, 11), "it may not be read", 0);
  CHECK_FALSE((again.log || again.count));
  CHECK(refused.same("in/f", file(1, 11), 0));
  const auto other = refused.add("in/f", file(1, 12), "it is immutable", 0);
  CHECK((other.log && !other.count));
  CHECK(refused.heeds_attributes("in/f"));
  CHECK_FALSE(refused.heeds_attributes("in/g"));
}

TEST_CASE("what_a_directory_does_not_let_go_is_tried_again_after_a_minute_without_being_told_of") {
  RefusedArrivals refused;
  const std::string reason = std::string(kClosedDirectory) + ": in";
  refused.add("in/f", file(1, 10), reason, 0);
  CHECK(refused.same("in/f", file(1, 10), kMinute - 1));
  CHECK_FALSE(refused.same("in/f", file(1, 10), kMinute));
  CHECK_FALSE(refused.heeds_attributes("in/f"));
  CHECK_FALSE(refused.add("in/f", file(1, 10), reason, kMinute).log);
  CHECK(refused.same("in/f", file(1, 10), kMinute + 1));
}

TEST_CASE("more_refusals_than_are_shown_are_counted_once_and_not_logged_at_each_listing") {
  RefusedArrivals refused(2, 3);
  std::size_t logged = 0, counted = 0, notes = 0;
  const auto refuse = [&](const std::string& path, std::uint64_t inode) {
    const auto news = refused.add(path, file(inode, 1), "it is a FIFO", 0);
    logged += news.log;
    counted += news.count;
    notes += news.first_of_many;
  };
  for (int listing = 0; listing < 5; ++listing) {
    for (std::uint64_t number = 1; number <= 5; ++number) {
      const std::string path = "in/" + std::to_string(number);
      if (!refused.same(path, file(number, 1), 0)) refuse(path, number);
    }
    refused.forget_gone([](const std::string& path) { return std::optional(file(std::stoul(path.substr(3)), 1)); });
  }
  CHECK(logged == 2);
  CHECK(counted == 5);
  CHECK(notes == 1);
  refused.forget_gone([](const std::string&) { return std::optional<struct stat>(); });
  refuse("in/6", 6);
  CHECK(logged == 3);  // those that are shown are gone: there is room
}

TEST_CASE("a_filesystem_counts_as_local_only_when_it_is_known_to_be") {
  for (const std::uint64_t local : {0xEF53U, 0x58465342U, 0x9123683EU, 0x01021994U}) CHECK(filesystem_kind(local).local);
  for (const auto& [magic, name] : {std::pair(0x6969U, "NFS"), std::pair(0x0BD00BD0U, "Lustre"), std::pair(0x47504653U, "GPFS"),
                                    std::pair(0x00C36400U, "CephFS"), std::pair(0x7461636FU, "OCFS2"), std::pair(0x01161970U, "GFS2"),
                                    std::pair(0x5346414FU, "AFS"), std::pair(0x517BU, "SMB"), std::pair(0x786F4256U, "vboxsf"),
                                    std::pair(0x19830326U, "BeeGFS"), std::pair(0x65735546U, "FUSE")}) {
    CHECK_FALSE(filesystem_kind(magic).local);
    CHECK(filesystem_kind(magic).name == name);
  }
  CHECK_FALSE(filesystem_kind(0x12345678).local);
  CHECK(filesystem_kind(0x12345678).name == "an unknown filesystem (0x12345678)");
}
