#include "libmfdata/collection.hpp"

#include <algorithm>

#include "libmfdata/claim.hpp"
#include "libmfdata/recovery.hpp"
#include "libmfdata/trashed_file.hpp"
#include "libmfdata/waiting_file.hpp"

namespace mfdata {
namespace {

constexpr std::size_t kMaxProblems = 20;
constexpr std::string_view kStep = "step.";
constexpr std::string_view kWaiting = "_reinject";

class Collection {
 public:
  Collection(const Spool& spool, std::int64_t now_s, const std::function<bool()>& go_on) : spool_(spool), now_s_(now_s), go_on_(go_on) {}
  Collected take() { return std::move(collected_); }

  void release_slots() {
    each_slot([&](const Slot& slot) {
      if (slot.number != kToolSlot && slot.number != kCollectorSlot) return;
      auto in = spool_.disk().list(slot.in()), txn = spool_.disk().list(slot.txn());
      if (in && txn && in->empty() && txn->empty()) return;
      note(open_slot(spool_, slot), collected_.released);
    });
  }

  // What is left is counted too: people empty the trash.
  void collect_trash(double lifetime_s) {
    std::size_t left = 0;
    bool whole = true;
    const bool listed = visit("trash", [&](const std::string& step) {
      const bool visited = visit(layout::trash_directory(step), [&](const std::string& entry) {
        const auto name = SpoolName::parse(layout::name_in_trash(entry));
        if (!name) return true;
        if (!(whole = go_on_())) return false;
        if (!purge_if_old(TrashedFile{step, *name, layout::trash_directory(step) + '/' + entry, ""}, lifetime_s)) ++left;
        return true;
      });
      return whole = whole && visited;
    });
    if (listed && whole) collected_.in_trash = left;
  }

  // Arrivals that were never accepted are left alone: they may be somebody's unfinished upload.
  void collect_backlogs(double lifetime_s) {
    auto top = spool_.disk().list(".");
    if (!top) return problem(top.error());
    for (const std::string& directory : *top) {
      if (directory.starts_with(kStep) && !directory.ends_with(kWaiting)) collect_backlog(directory.substr(kStep.size()), lifetime_s);
    }
  }

  void sweep_slots(double lifetime_s, const std::vector<std::string>& live) {
    each_slot([&](const Slot& slot) {
      if (std::find(live.begin(), live.end(), slot.base()) != live.end()) return;
      auto status = spool_.disk().status(slot.scratch());
      auto names = spool_.disk().list(slot.scratch());
      if (!status || !names || names->empty() || !older(status->st_mtim.tv_sec, lifetime_s)) return;
      auto removed = spool_.disk().remove_tree(slot.scratch());
      if (removed) removed = spool_.disk().make_directory(slot.scratch());
      note(removed, collected_.swept);
    });
  }

  // By when they came first: a link is never changed. There may be millions: each minute those of one beginning are looked at.
  void forget_keys(double lifetime_s) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    const auto part = static_cast<std::size_t>(now_s_ / 60) % 256;
    const std::string beginning{kDigits[part / 16], kDigits[part % 16]};
    visit(layout::kKeys, [&](const std::string& entry) {
      if (!go_on_()) return false;
      if (!entry.starts_with(beginning)) return true;
      auto status = spool_.disk().status(layout::key(entry));
      if (status && older(status->st_mtim.tv_sec, lifetime_s)) note(spool_.disk().unlink(layout::key(entry)), collected_.forgotten);
      return true;
    });
  }

 private:
  bool older(std::int64_t since_s, double lifetime_s) const { return static_cast<double>(now_s_ - since_s) > lifetime_s; }

  void problem(const Error& error) {
    if (collected_.problems.size() < kMaxProblems) collected_.problems.push_back(error.text);
  }
  void note(const Result<void>& done, std::size_t& count) {
    if (done) {
      ++count;
    } else if (!done.is(Code::kGone)) {  // gone: somebody else was quicker
      problem(done.error());
    }
  }

  bool visit(const std::string& directory, const std::function<bool(const std::string&)>& visitor) {
    auto visited = spool_.disk().visit(directory, visitor);
    if (!visited) problem(visited.error());
    return bool(visited);
  }

  // A file's status changed last when it was renamed there. True: it is gone.
  bool purge_if_old(const TrashedFile& file, double lifetime_s) {
    if (lifetime_s <= 0) return false;
    auto status = spool_.disk().status(file.path);
    if (!status || !older(status->st_ctim.tv_sec, lifetime_s)) return !status;
    auto purged = purge_trashed(spool_, file);
    note(purged, collected_.purged);
    return purged || purged.is(Code::kGone);
  }

  template <class Visit>
  void each_slot(Visit visit) {
    auto slots = all_slots(spool_);
    if (!slots) return problem(slots.error());
    for (const Slot& slot : *slots) visit(slot);
  }

  void collect_backlog(const std::string& step, double lifetime_s) {
    const Slot slot{step, kCollectorSlot};
    const std::string directory = layout::step_directory(step);
    bool open = false;
    visit(directory, [&](const std::string& entry) {
      const auto name = SpoolName::parse(entry);
      if (!name) return true;
      if (!go_on_()) return false;
      const std::string path = directory + '/' + entry;
      auto status = spool_.disk().status(path);
      if (!status || !older(status->st_ctim.tv_sec, lifetime_s) || is_arrival(spool_, directory, entry)) return true;
      if (!open) {
        auto opened = open_slot(spool_, slot);
        if (!opened) problem(opened.error());
        open = bool(opened);
      }
      const WaitingFile file{step, name, path, 0, static_cast<std::uint64_t>(status->st_size), status->st_ctim.tv_sec};
      if (open) note(trash_waiting(spool_, file, "expired", "it waited longer than backlog_max_lifetime", slot), collected_.expired);
      return open;
    });
  }

  const Spool& spool_;
  const std::int64_t now_s_;
  const std::function<bool()>& go_on_;
  Collected collected_;
};

}  // namespace

Collected collect(const Spool& spool, const Lifetimes& lifetimes, const std::vector<std::string>& live_slots, std::int64_t now_s,
                  const std::function<bool()>& go_on, const std::function<void()>& next_part) {
  Collection collection(spool, now_s, go_on);
  collection.release_slots();
  collection.collect_trash(lifetimes.trash_s);
  next_part();
  if (lifetimes.backlog_s > 0) collection.collect_backlogs(lifetimes.backlog_s);
  if (lifetimes.keys_s > 0) {
    next_part();
    collection.forget_keys(lifetimes.keys_s);
  }
  if (lifetimes.tmp_s > 0) collection.sweep_slots(lifetimes.tmp_s, live_slots);
  return collection.take();
}

}  // namespace mfdata
