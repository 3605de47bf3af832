// Treats files of a data directory with the worker's own code, one at a time and without a loader, so that a tracer
// can stop it before any system call. What the step "a/main" does is the flow; the other steps deliver what they get
// to DIR/out, with a companion.
//
//   spool_drive DIR DURABILITY take FLOW [FAR]      accepts or claims one file of a/main and treats it
//   spool_drive DIR DURABILITY hold                 accepts or claims one, and ends as one that dies in its step
//   spool_drive DIR DURABILITY reap LIMIT           what a living loader does then: the file is charged with a crash
//   spool_drive DIR DURABILITY recover              what a loader does at its start
//   spool_drive DIR DURABILITY foreign DIRECTORY    the chore that takes what may not be tagged, from there to a/main
//   spool_drive DIR DURABILITY deposit NAME TEXT    a listener's file for a/main; says "acknowledged" when it is
//   spool_drive DIR DURABILITY deposit-key NAME TEXT   the same, with a key: a repeat is the same file
//   spool_drive DIR DURABILITY deposit-big NAME TEXT   the same, with more tags than an attribute holds
//   spool_drive DIR DURABILITY drain FLOW [FAR]     until nothing moves any more
// FLOW: pass end rewrite fan deliver deliver-new far fail retry grow batch group. FAR: where the flow "far" delivers to.
#include <mfdata/plugin.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <memory>

#include "libmfdata/arrival.hpp"
#include "libmfdata/deposit.hpp"
#include "libmfdata/foreign_arrival.hpp"
#include "libmfdata/recovery.hpp"
#include "libmfdata/transaction.hpp"
#include "worker/ending_policy.hpp"

using namespace mfdata;

namespace {

[[noreturn]] void die(const Error& error) {
  std::cerr << "spool_drive: " << error.text << '\n';
  std::exit(1);
}

template <class T>
T must(Result<T> result) {
  if (!result) die(result.error());
  return std::move(*result);
}
void must(const Result<void>& result) {
  if (!result) die(result.error());
}

const Slot kFirst{"a.main", 0};
const std::string kMoreThanAnAttribute(30'000, '\n');  // three bytes each, once they are escaped

class Drive {
 public:
  Drive(const std::string& directory, Durability durability, std::string far)
      : spool_(must(Spool::open(directory, durability))), out_(directory + "/out"), far_(std::move(far)) {
    must(spool_.prepare());
    for (const char* step : {"a", "b", "x", "y"}) {
      must(spool_.prepare_step(std::string(step) + ".main"));
      must(spool_.prepare_slot(Slot{std::string(step) + ".main", 0}));
    }
    must(spool_.disk().ensure_directory("incoming"));
    must(spool_.disk().ensure_directory("out"));
  }

  bool take(const std::string& step, const std::string& flow) {
    const Slot slot{step + ".main", 0};
    std::vector<Job> jobs;
    if (auto job = next(slot, step == "a")) jobs.push_back(std::move(*job));
    if (jobs.empty()) return settled_;
    if ((flow == "batch" || flow == "group") && step == "a") {
      while (auto job = next(slot, true)) jobs.push_back(std::move(*job));
    }
    treat(slot, std::move(jobs), step == "a" ? flow : "deliver");
    return true;
  }

  void hold() { (void)next(kFirst, true); }

  void reap(unsigned limit) {
    std::vector<std::string> in_hand = must(spool_.disk().list(kFirst.in()));
    if (auto staged = spool_.disk().list(kFirst.txn() + "/in")) in_hand.insert(in_hand.end(), staged->begin(), staged->end());
    const Crash crash{true, limit, "signal 9 (Killed)", "1.0.0", in_hand.size() == 1 ? in_hand[0] : kEveryFile};
    must(reap_slot(spool_, kFirst, crash, [](const Slot&, const Settled&) {}));
  }

  void foreign(const std::string& directory) {
    must(roll_forward_all(spool_, kFirst.step + ".accept."));
    must(recover_accepts(spool_, false, 0));
    for (const std::string& name : must(spool_.disk().list(directory))) must(accept_foreign(spool_, kFirst.step, directory, name, {}));
  }

  void deposit(const std::string& name, const std::string& text, bool big, const std::string& key) {
    Deposit deposit = must(Deposit::open(spool_, key));
    if (!deposit.is_repeat() && ::write(deposit.file(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) die(Error{Code::kIo, errno, "cannot write"});
    TagSet tags;
    if (big) must(tags.set("big", kMoreThanAnAttribute));
    must(deposit.commit(kFirst.step, name, "drive", tags));
    std::cout << "acknowledged" << std::endl;
  }

  void recover() {
    recover_all(spool_, Crash{}, [](const Slot&, const Settled&) {}, [](const Error& error) { die(error); });
  }

  void drain(const std::string& flow) {
    bool moved = true;
    while (moved) {
      moved = false;
      for (const char* step : {"a", "b", "x", "y"}) moved = take(step, flow) || moved;
      for (const std::string& name : must(spool_.disk().list(layout::waiting_directory("a.main")))) {
        must(spool_.disk().rename(layout::waiting_directory("a.main") + '/' + name,
                                  layout::step_directory("a.main") + '/' + name.substr(name.find('.') + 1)));
        moved = true;
      }
    }
  }

 private:
  std::optional<Job> next(const Slot& slot, bool arrivals) {
    settled_ = false;
    auto names = must(spool_.disk().list(layout::step_directory(slot.step)));
    std::sort(names.begin(), names.end());
    for (const std::string& name : names) {
      if (is_arrival(spool_, layout::step_directory(slot.step), name)) return must(accept(spool_, slot, layout::step_directory(slot.step), name, {}));
      Claim claimed = must(claim(spool_, slot, name));
      if (claimed.job) return std::move(claimed.job);
      settled_ = true;
    }
    if (!arrivals) return std::nullopt;
    names = must(spool_.disk().list("incoming"));
    if (names.empty()) return std::nullopt;
    return must(accept(spool_, slot, "incoming", *std::min_element(names.begin(), names.end()), {}));
  }

  void treat(const Slot& slot, std::vector<Job> jobs, const std::string& flow) {
    wire::WorkerSettings settings;
    settings.step.plugin = slot.step.substr(0, slot.step.find('.'));
    settings.step.name = "main";
    settings.step.retry.total = 1;
    settings.targets = {"a/main", "b/main", "x/main", "y/main"};
    EndingPolicy policy(spool_, slot, settings);
    if (flow == "group") return treat_group(slot, settings, std::move(jobs), policy);
    Treatment treatment(spool_, slot, settings);
    const bool batch = flow == "batch";
    const std::size_t size = jobs.size();
    treatment.begin(std::move(jobs), batch ? "batch" : "");
    if (!batch) {
      const End end = policy.finish(treatment, play(treatment, flow));
      if (end.outcome == wire::Outcome::kError) die(Error{Code::kIo, 0, end.reason});
      return;
    }
    std::vector<std::int32_t> results(size, MFDATA_OK);
    for (std::size_t i = 0; i < size; ++i) {
      if (i % 3 == 1) results[i] = MFDATA_FAIL;
      if (i % 3 == 2) results[i] = MFDATA_RETRY;
      if (results[i] == MFDATA_OK) must(treatment.emit(treatment.input(i), Op::kMove, "b/main"));
    }
    policy.finish_batch(treatment, results);
  }

  // Treatments of one file each that are committed together: the second file is fanned out, the others are rewritten.
  void treat_group(const Slot& slot, const wire::WorkerSettings& settings, std::vector<Job> jobs, EndingPolicy& policy) {
    std::vector<std::unique_ptr<Treatment>> treatments;
    std::vector<Treatment*> group;
    for (Job& job : jobs) {
      Treatment& treatment = *treatments.emplace_back(std::make_unique<Treatment>(spool_, slot, settings));
      std::vector<Job> one;
      one.push_back(std::move(job));
      treatment.begin(std::move(one), "");
      const bool second = treatment.jobs()[0].context.tags.get("first.core.original_basename") == "f1";
      const std::int32_t rc = play(treatment, second ? "fan" : "rewrite");
      if (!policy.shares_commit(treatment, rc)) die(Error{Code::kIo, 0, "a rewrite cannot wait for others"});
      group.push_back(&treatment);
    }
    for (const End& end : policy.finish_group(group)) {
      if (end.outcome != wire::Outcome::kOk) die(Error{Code::kIo, 0, end.reason});
    }
  }

  // What a plugin would do; its result.
  std::int32_t play(Treatment& treatment, const std::string& flow) {
    mfdata_file* input = treatment.input(0);
    const bool again = treatment.jobs()[0].context.tags.get("latest.a.main_reinject.attempt").has_value();
    if (flow == "end") return MFDATA_OK;
    if (flow == "fail") return MFDATA_FAIL;
    if (flow == "retry" && !again) return MFDATA_RETRY;
    if (flow == "pass" || flow == "retry") must(treatment.emit(input, Op::kMove, "b/main"));
    if (flow == "grow") {
      must(input->tags.set("big", kMoreThanAnAttribute));
      must(treatment.emit(input, Op::kMove, "b/main"));
    }
    if (flow == "fan") {
      must(treatment.emit(input, Op::kLink, "x/main"));
      must(treatment.emit(input, Op::kCopy, "y/main"));
      must(treatment.emit(input, Op::kMove, "b/main"));
    }
    const DeliveryStyle style{0, ".tags", false};
    if (flow == "deliver") must(treatment.deliver(input, Op::kMove, out_, "", style, MakeDirectories{}));
    if (flow == "far") must(treatment.deliver(input, Op::kMove, far_, "", style, MakeDirectories{}));
    if (flow == "rewrite" || flow == "deliver-new") {
      mfdata_file* output = must(treatment.tmp_file(input));
      std::ofstream(output->absolute, std::ios::app) << std::ifstream(input->absolute).rdbuf() << "+a";
      if (flow == "rewrite") must(treatment.emit(output, Op::kMove, "b/main"));
      if (flow == "deliver-new") must(treatment.deliver(output, Op::kMove, out_, "", style, MakeDirectories{}));
    }
    return MFDATA_OK;
  }

  Spool spool_;
  std::string out_, far_;
  bool settled_ = false;
};

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv, argv + argc);
  const auto argument = [&](std::size_t number) { return number < arguments.size() ? arguments[number] : ""; };
  const std::string what = argument(3), first = argument(4), second = argument(5);
  if (what.empty()) {
    std::cerr << "usage: spool_drive DIR DURABILITY take|hold|reap|recover|foreign|deposit|deposit-big|deposit-key|drain [ARGUMENT ...]\n";
    return 2;
  }
  ::umask(077);
  Drive drive(arguments[1], must(parse_durability(arguments[2])), second);
  if (what == "take") drive.take("a", first);
  if (what == "hold") drive.hold();
  if (what == "reap") drive.reap(static_cast<unsigned>(std::stoul(first)));
  if (what == "recover") drive.recover();
  if (what == "foreign") drive.foreign(first);
  if (what.starts_with("deposit")) drive.deposit(first, second, what == "deposit-big", what == "deposit-key" ? Deposit::key_of("drive", "key") : "");
  if (what == "drain") drive.drain(first);
  return 0;
}
