// The spool on a real directory: what the kill sweep does not reach. The directory is removed at the end.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <boost/filesystem/operations.hpp>
#include <fstream>
#include <thread>

#include "libmfdata/arrival.hpp"
#include "libmfdata/collection.hpp"
#include "libmfdata/delivery.hpp"
#include "libmfdata/deposit.hpp"
#include "libmfdata/digest.hpp"
#include "libmfdata/ending.hpp"
#include "libmfdata/foreign_arrival.hpp"
#include "libmfdata/open_writers.hpp"
#include "libmfdata/recovery.hpp"
#include "libmfdata/transaction.hpp"
#include "libmfdata/trashed_file.hpp"
#include "libmfdata/waiting_file.hpp"
#include "place.hpp"
#include "worker/deposit_committer.hpp"

namespace fs = boost::filesystem;
using namespace mfdata;

namespace {

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("an_arrival_gets_its_first_tags_and_keeps_nothing_of_what_it_claimed_to_be") {
  Place p;
  p.write("incoming/x y\n.txt", "data");
  FileDescriptor file(::open((p.root / "incoming/x y\n.txt").c_str(), O_RDWR));
  const Context forged{fresh_uid(), 7, 4, "step.b.main", {}, {}};
  REQUIRE(set_tags_attribute(file.get(), encode(forged), ""));
  file.close();
  const Job job = p.accepted("x y\n.txt");
  CHECK(job.context.generation == 0);
  CHECK(job.context.uid != forged.uid);
  CHECK(job.context.tags.get("first.core.original_basename") == "x y\n.txt");
  CHECK(job.context.tags.get("first.core.original_dirname") == "incoming");
  CHECK(p.list("incoming").empty());
}

TEST_CASE("an_accept_of_somebody_elses_file_waits_while_it_is_open_or_may_be") {
  Place p;
  p.write("incoming/f", "half");
  FileDescriptor writer(::open((p.root / "incoming/f").c_str(), O_WRONLY | O_APPEND));
  CHECK(accept_foreign(*p.spool, p.slot.step, "incoming", "f", {}).is(Code::kBusy));
  CHECK(SeenWriters({"f"}).writes(*p.spool->disk().status("incoming/f")));
  CHECK_FALSE(SeenWriters({"g"}).writes(*p.spool->disk().status("incoming/f")));
  writer.close();
  CHECK_FALSE(SeenWriters({"f"}).writes(*p.spool->disk().status("incoming/f")));
  CHECK(accept_foreign(*p.spool, p.slot.step, "incoming", "f", {}));
  CHECK(p.list("incoming").empty());
}

TEST_CASE("a_file_that_grew_after_it_was_taken_is_copied_anew_once_nobody_writes_it") {
  Place p;
  p.write("incoming/f", "half");
  const std::string uid = fresh_uid(), base = layout::accept(uid);
  const Context context{uid, 0, 4, layout::step_directory(p.slot.step), {}, first_tags("incoming", "f", uid)};
  const Disk& disk = p.spool->disk();
  REQUIRE(disk.make_directory(base));
  REQUIRE(disk.make_directory(base + "/in"));
  p.write(base + "/origin", "incoming\n" + encode(context));
  REQUIRE(disk.rename("incoming/f", base + "/in/source"));
  FileDescriptor writer(::open((p.root / base / "in/source").c_str(), O_WRONLY | O_APPEND));
  REQUIRE(write_all(writer.get(), " and half", ""));
  CHECK(recover_accepts(*p.spool, false, 0));
  CHECK(p.list("step.a.main").empty());
  CHECK(p.read(p.root / base / "in/source") == "half and half");
  writer.close();
  CHECK(recover_accepts(*p.spool, false, 0));
  REQUIRE(p.list("step.a.main") == Names{uid + ".0"});
  CHECK(p.read(p.root / "step.a.main" / (uid + ".0")) == "half and half");
  CHECK(claim(*p.spool, p.slot, uid + ".0")->job->context.size == 13);
  CHECK(p.list("tmp/accept").empty());
}

TEST_CASE("a_file_that_grew_after_its_copy_was_committed_is_an_arrival_again") {
  for (const bool taken : {false, true}) {
    Place p;
    p.write("incoming/f", "half");
    const std::string uid = fresh_uid(), base = layout::commit("a.main.accept." + uid);
    const Context context{uid, 0, 4, layout::step_directory(p.slot.step), {}, first_tags("incoming", "f", uid)};
    const Disk& disk = p.spool->disk();
    REQUIRE(disk.make_directory(base));
    REQUIRE(disk.make_directory(base + "/in"));
    p.write(base + "/origin", "incoming\n" + encode(context));
    REQUIRE(disk.rename("incoming/f", base + "/in/source"));
    p.write(base + "/in/source", "half and half");
    if (taken) p.write("incoming/f", "another");
    REQUIRE(roll_forward(*p.spool, "a.main.accept." + uid));
    CHECK(p.list("incoming") == (taken ? Names{"f", "grown-" + uid} : Names{"f"}));
    CHECK(p.read(p.root / "incoming" / (taken ? "grown-" + uid : "f")) == "half and half");
    CHECK(p.list("tmp/commit").empty());
  }
}

TEST_CASE("a_file_that_somebody_writes_is_busy") {
  Place p;
  p.write("incoming/f", "half");
  FileDescriptor writer(::open((p.root / "incoming/f").c_str(), O_WRONLY));
  CHECK(accept(*p.spool, p.slot, "incoming", "f", {}).is(Code::kBusy));
  writer.close();
  CHECK(accept(*p.spool, p.slot, "incoming", "f", {}));
}

TEST_CASE("what_is_no_plain_file_is_refused_and_stays") {
  Place p;
  p.write("incoming/large", std::string(100, 'x'));
  p.write("incoming/linked", "x");
  fs::create_hard_link(p.root / "incoming/linked", p.root / "out/other");
  fs::create_symlink("large", p.root / "incoming/symlink");
  fs::create_directory(p.root / "incoming/directory");
  REQUIRE(::mkfifo((p.root / "incoming/fifo").c_str(), 0600) == 0);
  for (const char* name : {"large", "linked", "symlink", "directory", "fifo"}) {
    auto refused = accept(*p.spool, p.slot, "incoming", name, ArrivalRules{99});
    CHECK_MESSAGE(refused.is(Code::kRefused), name);
  }
  CHECK(p.list("incoming").size() == 5);
}

TEST_CASE("a_delivery_never_overwrites") {
  Place p;
  p.write("out/f", "theirs");
  p.write("out/f-1.tags", "theirs too");
  p.write("incoming/f", "ours");
  Job job = p.accepted("f");
  Context next = job.context;
  next.generation = 1;
  next.to = (p.root / "out/f").string();
  next.style.tags_suffix = ".tags";
  REQUIRE(pass_on(*p.spool, p.slot, job, next));
  CHECK(p.read(p.root / "out/f") == "theirs");
  CHECK(p.read(p.root / "out/f-1.tags") == "theirs too");
  CHECK(p.read(p.root / "out/f-2") == "ours");
  CHECK(fs::exists(p.root / "out/f-2.tags"));
  CHECK(p.list(p.slot.fresh()).empty());
}

TEST_CASE("numbered_names_fit_into_255_bytes") {
  CHECK(numbered_name("abc", 0, 5) == "abc");
  CHECK(numbered_name("abc", 12, 0) == "abc-12");
  CHECK(numbered_name(std::string(255, 'x'), 0, 0).size() == 255);
  CHECK(numbered_name(std::string(255, 'x'), 7, 0).size() == 255);
  CHECK(numbered_name(std::string(255, 'x'), 7, 0).ends_with("x-7"));
}

TEST_CASE("free_number_is_found_with_few_looks_however_many_names_are_taken") {
  for (const unsigned taken : {0U, 1U, 2U, 3U, 7U, 8U, 100U, 8000U, 999'998U}) {
    int looks = 0;
    const auto number = free_number("/d/x", 1, [&](unsigned n) {
      ++looks;
      return Result<bool>(n <= taken);
    });
    REQUIRE(number);
    CHECK(*number == taken + 1);
    CHECK(looks <= 45);
  }
  const auto with_gap = free_number("/d/x", 1, [](unsigned n) { return Result<bool>(n < 5000 && n != 17); });
  REQUIRE(with_gap);
  CHECK((*with_gap == 17 || *with_gap == 5000));
  const auto none = free_number("/d/x", 1, [](unsigned) { return Result<bool>(true); });
  REQUIRE_FALSE(none);
  CHECK(none.is(Code::kLimit));
  CHECK(none.error().text.find("/d/x") != std::string::npos);
}

TEST_CASE("deliveries_of_one_name_are_numbered_without_gaps_and_never_replace_one_another") {
  Place p;
  const std::string out = (p.root / "out").string();
  fs::create_directory(out);
  Names expected = {"f"};
  for (int number = 0; number < 40; ++number) {
    p.write("tmp/staged", std::to_string(number));
    Context context{fresh_uid(), 1, 1, out + "/f", {}, {}};
    REQUIRE(deliver(*p.spool, "tmp/staged", "", context));
    if (number > 0) expected.push_back("f-" + std::to_string(number));
  }
  std::sort(expected.begin(), expected.end());
  CHECK(p.list("out") == expected);
  CHECK(p.read(p.root / "out/f-39") == "39");
}

TEST_CASE("delivery_that_was_cut_after_its_companion_is_finished_under_the_name_of_that") {
  Place p;
  const std::string out = (p.root / "out").string();
  fs::create_directory(out);
  for (const char* taken : {"f", "f-1", "f-2", "f-3", "f-4"}) p.write(std::string("out/") + taken, "other");
  p.write("tmp/staged", "mine");
  p.write("tmp/staged.tags", "tags");
  fs::create_hard_link(p.root / "tmp/staged.tags", p.root / "out/f-5.tags");
  Context context{fresh_uid(), 1, 4, out + "/f", {}, {}};
  context.style.tags_suffix = ".tags";
  REQUIRE(deliver(*p.spool, "tmp/staged", "tmp/staged.tags", context));
  CHECK(p.read(p.root / "out/f-5") == "mine");
  CHECK(p.list("out") == Names{"f", "f-1", "f-2", "f-3", "f-4", "f-5", "f-5.tags"});
}

TEST_CASE("repeated_delivery_elsewhere_finds_its_own_file_among_many_of_its_name") {
  Place p;
  fs::create_directory(p.root / "out");
  std::vector<Context> contexts;
  for (int number = 0; number < 9; ++number) {
    contexts.push_back(Context{fresh_uid(), 1, 1, (p.root / "out/f").string(), {}, {}});
    const std::string name = "out/" + numbered_name("f", static_cast<unsigned>(number), 0);
    p.write(name, "x");
    auto file = p.spool->disk().open_file(name);
    REQUIRE(file);
    REQUIRE(set_tags_attribute(file->get(), encode(contexts.back()), name));
  }
  bool done = false;
  FarPlaces repeats(true);
  for (const int number : {8, 3, 0, 5}) {
    const auto place = repeats.find(p.spool->disk(), contexts[static_cast<std::size_t>(number)], done);
    REQUIRE(place);
    CHECK(done);
    CHECK(*place == (p.root / "out" / numbered_name("f", static_cast<unsigned>(number), 0)).string());
  }
  Context other = contexts[0];
  other.uid = fresh_uid();
  for (const bool again : {true, false}) {
    FarPlaces places(again);
    const auto place = places.find(p.spool->disk(), other, done);
    REQUIRE(place);
    CHECK_FALSE(done);
    CHECK(*place == (p.root / "out/f-9").string());
  }
}

TEST_CASE("deposits_of_the_dead_are_removed_and_those_of_the_living_go_on") {
  Place p;
  auto living = Deposit::open(*p.spool);
  REQUIRE(living);
  REQUIRE(write_all(living->file(), "page", "a deposit"));
  p.write("tmp/accept/" + living->uid() + ".0.context", "being written");
  const std::string dead = fresh_uid();
  p.write("tmp/accept/" + dead + ".0", "half");
  p.write("tmp/context/" + dead, "its sidecar");
  p.write("tmp/accept/" + fresh_uid() + ".0.context", "of a deposit that went");
  fs::create_directory(p.root / "tmp/accept" / fresh_uid());  // an accept
  REQUIRE(recover_deposits(*p.spool));
  CHECK(p.list("tmp/accept").size() == 3);
  CHECK(fs::exists(p.root / "tmp/accept" / (living->uid() + ".0")));
  CHECK(fs::exists(p.root / "tmp/accept" / (living->uid() + ".0.context")));
  CHECK(p.list("tmp/context").empty());
  REQUIRE(living->commit(p.slot.step, "f", "drive", {}));
  CHECK(p.list("step." + p.slot.step) == Names{living->uid() + ".0"});
}

TEST_CASE("a_target_that_is_gone_sends_the_file_to_trash_with_its_context") {
  Place p;
  p.write("incoming/f", "x");
  Job job = p.accepted("f");
  Context next = job.context;
  next.generation = 1;
  next.to = "step.nowhere.main";
  REQUIRE(pass_on(*p.spool, p.slot, job, next));
  const Names trash = p.list("trash/a.main");
  REQUIRE(trash.size() == 3);
  CHECK(trash[0] == next.uid + ".1");
  CHECK(p.read(p.root / "trash/a.main" / (next.uid + ".json")).find("\"reason\": \"no target\"") != std::string::npos);
}

TEST_CASE("a_delivery_whose_directory_is_gone_waits_before_its_step_and_is_finished_once_it_is_there") {
  Place p;
  p.write("incoming/f", "x");
  Job job = p.accepted("f");
  Context next = job.context;
  next.generation = 1;
  next.to = (p.root / "later/f").string();
  const auto passed = pass_on(*p.spool, p.slot, job, next);
  CHECK(passed.is(Code::kDestination));
  CHECK(passed.error().text.find("No such file or directory") != std::string::npos);
  const std::string waiting = job.name.spell();
  CHECK(p.recover().empty());  // a start finds its commit, and cannot finish it yet
  CHECK(p.list("step.a.main") == Names{waiting});
  CHECK(claim(*p.spool, p.slot, waiting).is(Code::kDestination));
  CHECK(p.list("step.a.main") == Names{waiting});
  CHECK(p.list("trash/a.main").empty());
  fs::create_directories(p.root / "later");
  const auto claimed = claim(*p.spool, p.slot, waiting);
  REQUIRE(claimed);
  CHECK(claimed->settled == "finished");
  CHECK(p.read(p.root / "later/f") == "x");
  CHECK(p.list("step.a.main").empty());
  CHECK(p.list("tmp/a.main/0/in").empty());
}

TEST_CASE("a_commit_with_a_lost_context_goes_to_trash_and_the_start_goes_on") {
  Place p;
  const std::string uid = fresh_uid();
  const std::string base = "tmp/commit/a.main.0." + uid + ".2c";
  for (const char* part : {"/in", "/out/deliver", "/context"}) fs::create_directories(p.root / (base + part));
  p.write(base + "/out/deliver/" + uid, "content");
  p.write(base + "/out/deliver/" + uid + ".context", "");
  p.write(base + "/out/deliver/" + uid + ".tags", "");
  p.write("tmp/a.main/0/in/" + fresh_uid() + ".0", "of another file");
  CHECK(p.recover().empty());
  CHECK(p.list("tmp/commit").empty());
  CHECK(p.list("trash/a.main").size() == 3);
  CHECK(p.list("step.a.main").size() == 1);
}

TEST_CASE("an_accept_whose_origin_is_lost_is_an_arrival_again") {
  Place p;
  const std::string uid = fresh_uid();
  fs::create_directories(p.root / "tmp/accept" / uid / "in");
  p.write("tmp/accept/" + uid + "/origin", "");
  p.write("tmp/accept/" + uid + "/in/source", "content");
  CHECK(p.recover().empty());
  CHECK(p.list("tmp/accept").empty());
  CHECK(p.list("incoming") == Names{"recovered-" + uid});
}

TEST_CASE("one_commit_that_cannot_be_published_does_not_stop_the_others") {
  Place p;
  const std::string uid = fresh_uid();
  fs::create_directories(p.root / "tmp/commit" / ("a.main.0." + uid + ".0") / "out/step.a.main");
  p.write("tmp/commit/a.main.0." + uid + ".0/out/step.a.main/taken", "x");
  p.write("step.a.main/taken", "y");
  p.write("tmp/a.main/0/in/" + fresh_uid() + ".0", "z");
  CHECK(p.recover().size() == 1);
  CHECK(p.list("step.a.main").size() == 2);
}

TEST_CASE("an_emptied_file_goes_to_trash_instead_of_being_treated") {
  Place p;
  p.write("incoming/f", "content");
  const Job job = p.accepted("f");
  REQUIRE(give_back(*p.spool, p.slot, job));
  fs::resize_file(p.root / "step.a.main" / job.name.spell(), 0);
  auto claimed = claim(*p.spool, p.slot, job.name.spell());
  REQUIRE(claimed);
  CHECK_FALSE(claimed->job);
  CHECK(claimed->settled == "emptied");
  CHECK(p.list("trash/a.main").size() == 3);
}

TEST_CASE("a_context_larger_than_the_attribute_stands_in_a_sidecar_that_ends_with_its_file") {
  Place p;
  p.write("incoming/f", "x");
  Job job = p.accepted("f");
  Context next = job.context;
  next.generation = 1;
  next.to = "step.a.main";
  REQUIRE(next.tags.set("big", std::string(30'000, '\n')));
  CHECK(pass_on(*p.spool, p.slot, job, next).is(Code::kAttribute));
  bool committed = false;
  std::vector<Output> outputs = {{Output::Content::kInput, job.path, "", "step.a.main", SpoolName{next.uid, 1, true, 0}.spell(), next}};
  REQUIRE(transaction(*p.spool, p.slot, {&job}, outputs, committed));
  CHECK(p.list("step.a.main") == Names{next.uid + ".1c"});
  CHECK(p.list("tmp/context") == Names{next.uid});
  auto claimed = claim(*p.spool, p.slot, next.uid + ".1c");
  REQUIRE((claimed && claimed->job));
  CHECK(claimed->job->context == next);
  outputs.clear();
  REQUIRE(transaction(*p.spool, p.slot, {&*claimed->job}, outputs, committed));
  CHECK(p.list("tmp/context").empty());
  CHECK(p.list("step.a.main").empty());
}

TEST_CASE("a_deposit_is_visible_when_it_is_committed_and_gone_when_it_is_not") {
  Place p;
  {
    auto deposit = Deposit::open(*p.spool);
    REQUIRE(deposit);
    CHECK(p.list("step.a.main").empty());
  }
  CHECK(p.list("tmp/accept").empty());
  auto deposit = Deposit::open(*p.spool);
  REQUIRE(deposit);
  REQUIRE(write_all(deposit->file(), "content", ""));
  TagSet tags;
  REQUIRE(tags.set("topic", "a/b"));
  REQUIRE(deposit->commit("a.main", "name", "listener", tags));
  auto claimed = claim(*p.spool, p.slot, p.list("step.a.main").at(0));
  REQUIRE((claimed && claimed->job));
  CHECK(claimed->job->context.tags.get("topic") == "a/b");
  CHECK(claimed->job->context.tags.get("first.core.original_basename") == "name");
}

namespace {

// Content and key of a deposit that is not committed yet.
Deposit deposited(const Place& p, const std::string& key, const std::string& content = "content") {
  auto deposit = Deposit::open(*p.spool, key);
  REQUIRE(deposit);
  if (!deposit->is_repeat()) REQUIRE(write_all(deposit->file(), content, ""));
  return std::move(*deposit);
}

}  // namespace

TEST_CASE("deposits_with_the_same_key_are_one_file") {
  Place p;
  const std::string key = Deposit::key_of("a/main", "message 1");
  CHECK(key != Deposit::key_of("b/main", "message 1"));
  Deposit first = deposited(p, key), second = deposited(p, key);  // at the same time
  const TagSet tags;
  REQUIRE(first.commit("a.main", "one", "d", tags));
  CHECK(second.commit("a.main", "two", "d", tags).is(Code::kBusy));  // its uid is not that of the file
  { const Deposit gone = std::move(second); }
  Deposit third = deposited(p, key);
  CHECK((third.is_repeat() && third.uid() == first.uid()));
  REQUIRE(third.commit("a.main", "three", "d", tags));
  CHECK(p.list("step.a.main").size() == 1);
  CHECK(p.list("tmp/accept").empty());
}

TEST_CASE("key_of_a_deposit_that_came_to_nothing_is_free") {
  Place p;
  const std::string key = Deposit::key_of("a/main", "k");
  const TagSet tags;
  { const Deposit given_up = deposited(p, key); }
  CHECK_FALSE(deposited(p, key).commit("no.step", "one", "d", tags));
  CHECK(p.list("tmp/keys").empty());
  // Its process died with the key taken, and before the file had its name.
  const std::string uid = fresh_uid();
  p.write("tmp/accept/" + uid + '.' + key, "half");
  REQUIRE(p.spool->disk().symlink(uid + " a.main", layout::key(key)));
  Deposit meanwhile = deposited(p, key);
  CHECK_FALSE(meanwhile.is_repeat());
  CHECK(meanwhile.commit("a.main", "one", "d", tags).is(Code::kBusy));
  REQUIRE(recover_deposits(*p.spool));
  CHECK(p.list("tmp/keys").empty());
  Deposit again = deposited(p, key);
  CHECK_FALSE(again.is_repeat());
  REQUIRE(again.commit("a.main", "one", "d", tags));
  p.write("tmp/accept/" + fresh_uid() + '.' + key, "half");
  REQUIRE(recover_deposits(*p.spool));  // of another one: the key stays
  CHECK(p.list("tmp/keys") == Names{key});
}

TEST_CASE("deposits_that_are_committed_together_have_their_own_results") {
  Place p;
  const TagSet tags;
  std::vector<Deposit> deposits;
  for (int i = 0; i < 20; ++i) deposits.push_back(deposited(p, i % 2 ? Deposit::key_of("l", std::to_string(i / 4)) : ""));
  std::vector<Deposit::Order> orders;
  for (int i = 0; i < 20; ++i) orders.push_back({&deposits[static_cast<std::size_t>(i)], i == 6 ? "no.step" : "a.main", std::to_string(i), "d", &tags, {}});
  Deposit::commit_all(*p.spool, orders);
  for (std::size_t i = 0; i < 20; ++i) {
    CHECK(bool(orders[i].result) == (i != 6 && i % 4 != 3));
    CHECK(orders[i].result.is(Code::kBusy) == (i % 4 == 3));  // of two with one key, one comes first
  }
  CHECK(p.list("step.a.main").size() == 9 + 5);  // each key twice
}

TEST_CASE("many_threads_and_callbacks_share_a_committer") {
  Place p;
  const TagSet tags;
  std::atomic<int> told{0};
  {
    DepositCommitter committer(*p.spool);
    std::vector<std::thread> threads;
    for (int thread = 0; thread < 8; ++thread) {
      threads.emplace_back([&] {
        for (int i = 0; i < 20; ++i) {
          auto deposit = std::make_shared<Deposit>(*Deposit::open(*p.spool));
          Deposit::Order order{deposit.get(), "a.main", "name", "d", &tags, {}};
          if (i % 2) {
            committer.commit_later(order, [deposit, &told](const Result<void>& result) { told += bool(result); });
          } else if (committer.commit(order)) {
            ++told;
          }
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  CHECK(told == 160);
  CHECK(p.list("step.a.main").size() == 160);
}

TEST_CASE("digests_are_those_of_the_standards") {
  const auto of = [](const char* algorithm) {
    auto digest = Digest::of(algorithm);
    REQUIRE(digest);
    digest->add("a");
    digest->add("bc");
    return hexadecimal(digest->take());
  };
  CHECK(of("md5") == "900150983cd24fb0d6963f7d28e17f72");  // RFC 1321
  CHECK(of("sha-256") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");  // FIPS 180-4
  CHECK(of("sha3-256") == "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532");  // FIPS 202
  CHECK_FALSE(Digest::of("sha256"));
}

TEST_CASE("a_waiting_file_that_cannot_go_to_trash_waits_on") {
  Place p;
  p.write("incoming/x", "data");
  Job job = p.accepted("x");
  REQUIRE(give_back(*p.spool, p.slot, job));
  const auto files = waiting_files(*p.spool, p.slot.step);
  REQUIRE(files);
  REQUIRE(files->size() == 1);
  fs::remove_all(p.root / "trash/a.main");
  p.write("trash/a.main", "somebody else's");
  const Slot tool{p.slot.step, kToolSlot};
  REQUIRE(open_slot(*p.spool, tool));
  CHECK_FALSE(trash_waiting(*p.spool, files->front(), "expired", "too old", tool));
  CHECK(p.list("step.a.main") == Names{job.name.spell()});
  CHECK(p.list(tool.in()).empty());
  CHECK(p.read(p.root / "trash/a.main") == "somebody else's");
}

TEST_CASE("a_waiting_file_whose_name_is_taken_in_trash_goes_there_under_another_uid") {
  Place p;
  p.write("incoming/x", "data");
  Job job = p.accepted("x");
  REQUIRE(give_back(*p.spool, p.slot, job));
  const auto files = waiting_files(*p.spool, p.slot.step);
  REQUIRE((files && files->size() == 1));
  p.write("trash/a.main/" + job.name.spell(), "somebody else's");
  const Slot tool{p.slot.step, kToolSlot};
  REQUIRE(open_slot(*p.spool, tool));
  REQUIRE(trash_waiting(*p.spool, files->front(), "expired", "too old", tool));
  CHECK(p.list("step.a.main").empty());
  CHECK(p.read(p.root / "trash/a.main" / job.name.spell()) == "somebody else's");
  CHECK(p.list("trash/a.main").size() == 4);  // the other one; ours, its note and its tags
}

TEST_CASE("what_a_killed_tool_had_in_its_slot_goes_back_before_its_step") {
  for (const bool by_collection : {false, true}) {
    Place p;
    p.write("incoming/x", "data");
    Job job = p.accepted("x");
    const Slot tool{p.slot.step, kToolSlot};
    REQUIRE(open_slot(*p.spool, tool));
    REQUIRE(p.spool->disk().rename(job.path, tool.in() + '/' + job.name.spell()));
    if (by_collection) {
      CHECK(collect(*p.spool, {}, {}, 0, [] { return true; }).released == 1);
      CHECK(collect(*p.spool, {}, {}, 0, [] { return true; }).released == 0);
    } else {
      REQUIRE(open_slot(*p.spool, tool));
    }
    CHECK(p.list("step.a.main") == Names{job.name.spell()});
    CHECK(p.list(tool.in()).empty());
  }
}

TEST_CASE("a_collection_stops_when_it_is_told_to") {
  Place p;
  for (const char* name : {"x", "y", "z"}) {
    p.write(std::string("incoming/") + name, "data");
    Job job = p.accepted(name);
    REQUIRE(trash(*p.spool, p.slot, job, TrashNote{}));
  }
  const std::int64_t far_future = std::int64_t{1} << 40;
  int asked = 0;
  CHECK(collect(*p.spool, {1, 0, 0}, {}, far_future, [&] { return ++asked <= 2; }).purged == 2);
  CHECK(trashed_files(*p.spool)->size() == 1);
}

// What two processes made of one file, or a person who copied files into the spool: each name is there twice.
TEST_CASE("a_recovery_whose_file_stands_before_its_step_already_ends_the_name_in_the_slot") {
  Place p;
  p.write("incoming/f", "one");
  const Job job = p.accepted("f");
  const std::string waiting = layout::step_directory(p.slot.step) + '/' + job.name.spell();
  REQUIRE(p.spool->disk().link(job.path, waiting));
  CHECK(p.recover().empty());
  CHECK(p.list(p.slot.in()).empty());
  CHECK(p.list(layout::step_directory(p.slot.step)) == Names{job.name.spell()});
  CHECK(p.list(layout::trash_directory(p.slot.step)).empty());
}

TEST_CASE("a_recovery_that_meets_another_file_under_its_name_puts_its_own_into_trash_and_ends") {
  Place p;
  p.write("incoming/f", "one");
  const Job job = p.accepted("f");
  p.write(layout::step_directory(p.slot.step) + '/' + job.name.spell(), "another");
  CHECK(p.recover().empty());
  CHECK(p.list(p.slot.in()).empty());
  CHECK(p.read(p.root / layout::step_directory(p.slot.step) / job.name.spell()) == "another");
  const std::string trash = layout::trash_directory(p.slot.step);
  CHECK(p.list(trash) == Names{job.name.spell(), job.name.uid + ".json", job.name.uid + ".tags"});
  CHECK(p.read(p.root / trash / (job.name.uid + ".json")).find("\"name taken\"") != std::string::npos);
  CHECK(p.recover().empty());
}

TEST_CASE("a_file_whose_uid_trash_has_already_goes_there_under_a_uid_of_its_own") {
  Place p;
  p.write("incoming/f", "one");
  const Job job = p.accepted("f");
  const std::string trash = layout::trash_directory(p.slot.step);
  p.write(trash + '/' + job.name.spell(), "another");
  p.write(trash + '/' + job.name.uid + ".json", "its note");
  TrashNote note;
  note.reason = "failed";
  REQUIRE(mfdata::trash(*p.spool, p.slot, job, note));
  CHECK(p.read(p.root / trash / job.name.spell()) == "another");
  CHECK(p.read(p.root / trash / (job.name.uid + ".json")) == "its note");
  std::string mine;
  for (const std::string& name : p.list(trash)) {
    const auto parsed = SpoolName::parse(name);
    if (parsed && parsed->uid != job.name.uid) mine = name;
  }
  REQUIRE_FALSE(mine.empty());
  CHECK(p.read(p.root / trash / mine) == "one");
  auto file = p.spool->disk().open_file(trash + '/' + mine);
  auto context = p.spool->context_of(file->get(), *SpoolName::parse(mine), mine);
  REQUIRE_MESSAGE(context, (context ? "" : context.error().text));
  CHECK(context->tags.get("first.core.original_basename") == "f");
}

TEST_CASE("a_hop_that_was_made_already_is_finished_by_a_recovery_and_one_that_meets_another_file_goes_to_trash") {
  for (const bool same : {true, false}) {
    Place p;
    REQUIRE(p.spool->prepare_step("b.main"));
    p.write("incoming/f", "one");
    Job job = p.accepted("f");
    const Context next{job.name.uid, job.name.generation + 1, 3, layout::step_directory("b.main"), {}, job.context.tags};
    REQUIRE(set_tags_attribute(job.file.get(), encode(next), job.path));
    SpoolName passed = job.name;
    passed.generation = next.generation;
    const std::string there = layout::step_directory("b.main") + '/' + passed.spell();
    if (same) REQUIRE(p.spool->disk().link(job.path, there));
    if (!same) p.write(there, "another");
    CHECK(p.recover().empty());
    CHECK(p.list(p.slot.in()).empty());
    CHECK(p.read(p.root / there) == (same ? "one" : "another"));
    CHECK(p.list(layout::trash_directory(p.slot.step)).size() == (same ? 0 : 3));
  }
}
