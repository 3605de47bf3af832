#include "libmfdata/recovery.hpp"

#include <algorithm>
#include <charconv>
#include <set>

#include "libmfdata/deposit.hpp"
#include "libmfdata/foreign_arrival.hpp"
#include "libmfdata/transaction.hpp"

namespace mfdata {
namespace {

Result<void> settle_directory(const Spool& spool, const Slot& slot, const std::string& directory, const Crash& crash,
                              const OnSettled& on_settled) {
  auto names = spool.disk().list(directory);
  if (!names) return names.error();
  std::sort(names->begin(), names->end());
  Result<void> first;
  for (const std::string& name : *names) {
    auto settled = settle(spool, slot, directory + '/' + name, crash);
    const bool waits = settled.is(Code::kNoSpace) || settled.is(Code::kDestination);
    if (settled) {
      on_settled(slot, *settled);
    } else if (waits && !spool.disk().exists(directory + '/' + name)) {  // before its step, until its delivery can be finished
      const auto waiting = SpoolName::parse(name);
      on_settled(slot, Settled{waiting ? waiting->uid : name, 0, false, "returned"});
    } else if (first) {
      first = settled.error();
    }
  }
  return first;
}

Result<void> empty_directory(const Disk& disk, const std::string& directory) {
  auto names = disk.list(directory);
  if (!names) return names.error();
  for (const std::string& name : *names) {
    const std::string path = directory + '/' + name;
    auto removed = disk.unlink(path);
    if (!removed) removed = disk.remove_tree(path);
    MFDATA_TRY(removed);
  }
  return {};
}

Result<void> recover_slot(const Spool& spool, const Slot& slot, const Crash& crash, const OnSettled& on_settled) {
  if (spool.off(Protection::kRecovery)) return {};
  MFDATA_TRY(return_sidecars(spool, slot));
  MFDATA_TRY(settle_directory(spool, slot, slot.txn() + "/in", crash, on_settled));
  MFDATA_TRY(spool.disk().remove_tree(slot.txn()));  // outputs that nobody has seen
  MFDATA_TRY(settle_directory(spool, slot, slot.in(), crash, on_settled));
  for (const std::string& directory : {slot.fresh(), slot.out()}) {  // after what may need them
    MFDATA_TRY(empty_directory(spool.disk(), directory));
  }
  (void)empty_directory(spool.disk(), slot.scratch());  // foreign leftovers are in nobody's way
  return {};
}

// Takes the uids of the files in a directory out of the set. An error: it could not be listed, nothing is known.
Result<void> forget_living(const Spool& spool, const std::string& directory, std::set<std::string>& uids) {
  auto names = spool.disk().list(directory);
  if (!names) return names.error();
  for (const std::string& entry : *names) {
    auto name = SpoolName::parse(layout::name_in_trash(entry));
    if (auto waiting = WaitingName::parse(entry)) name = waiting->name;
    if (name) uids.erase(name->uid);
  }
  return {};
}

// A sidecar whose file ended between two system calls on a filesystem without attributes. Alone, at start.
Result<void> sweep_sidecars(const Spool& spool) {
  auto sidecars = spool.disk().list(layout::kSidecars);
  if (!sidecars) return sidecars.error();
  if (sidecars->empty()) return {};
  auto commits = spool.disk().list(layout::kCommit);
  if (!commits || !commits->empty()) return {};  // what could not be rolled forward may need them
  std::set<std::string> orphans(sidecars->begin(), sidecars->end());
  auto top = spool.disk().list(".");
  if (!top) return top.error();
  for (const std::string& directory : *top) {
    if (directory.starts_with("step.")) MFDATA_TRY(forget_living(spool, directory, orphans));
  }
  auto trashes = spool.disk().list("trash");
  if (!trashes) return trashes.error();
  for (const std::string& directory : *trashes) MFDATA_TRY(forget_living(spool, "trash/" + directory, orphans));
  auto slots = all_slots(spool);
  if (!slots) return slots.error();
  for (const Slot& slot : *slots) {
    MFDATA_TRY(forget_living(spool, slot.in(), orphans));
    MFDATA_TRY(forget_living(spool, slot.txn() + "/in", orphans));
  }
  for (const std::string& uid : orphans) MFDATA_TRY(spool.disk().unlink(layout::sidecar(uid)));
  return {};
}

// Only for the control test of Protection::kSweepFirst.
Result<void> sweep_outputs(const Spool& spool) {
  auto ids = spool.disk().list(layout::kCommit);
  if (!ids) return ids.error();
  for (const std::string& id : *ids) MFDATA_TRY(spool.disk().remove_tree(layout::commit(id) + "/out"));
  return {};
}

}  // namespace

Result<std::vector<Slot>> all_slots(const Spool& spool) {
  std::vector<Slot> slots;
  auto steps = spool.disk().list("tmp");
  if (!steps) return steps.error();
  std::sort(steps->begin(), steps->end());
  for (const std::string& step : *steps) {
    if (step.find('.') == std::string::npos) continue;  // commit, accept, context
    auto numbers = spool.disk().list("tmp/" + step);
    if (!numbers) return numbers.error();
    for (const std::string& text : *numbers) {
      Slot slot{step, 0};
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), slot.number);
      if (error == std::errc() && end == text.data() + text.size()) slots.push_back(slot);
    }
  }
  return slots;
}

void recover_all(const Spool& spool, const Crash& crash, const OnSettled& on_settled, const OnProblem& on_problem) {
  const auto report = [&](const Result<void>& done) {
    if (!done) on_problem(done.error());
  };
  if (spool.off(Protection::kSweepFirst)) report(sweep_outputs(spool));
  report(roll_forward_all(spool, ""));
  auto slots = all_slots(spool);
  if (!slots) return on_problem(slots.error());
  bool all_recovered = true;
  for (const Slot& slot : *slots) {
    report(spool.prepare_step(slot.step));
    auto recovered = recover_slot(spool, slot, crash, on_settled);
    all_recovered = all_recovered && recovered;
    report(recovered);
  }
  report(recover_accepts(spool, true, kNeverQuiet));
  if (all_recovered) report(sweep_sidecars(spool));
}

Result<void> reap_slot(const Spool& spool, const Slot& slot, const Crash& crash, const OnSettled& on_settled) {
  Result<void> rolled;
  if (!spool.off(Protection::kRollAtDeath)) rolled = roll_forward_all(spool, slot.commit_prefix());
  MFDATA_TRY(recover_slot(spool, slot, crash, on_settled));  // whatever cannot be published yet
  (void)recover_deposits(spool);  // one that cannot be removed keeps no worker from starting: the next start says so
  return rolled.is(Code::kNoSpace) || rolled.is(Code::kDestination) ? Result<void>() : rolled;
}

}  // namespace mfdata
