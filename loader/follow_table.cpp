#include "follow_table.hpp"

#include <algorithm>

namespace mfdata {
namespace {

using wire::Outcome;

std::string with_reason(std::string what, const std::string& reason) {
  return reason.empty() ? what : what + ": " + reason;
}

void append(std::string& text, const std::string& more) { text += (text.empty() ? "" : "; ") + more; }

}  // namespace

FollowTable::File* FollowTable::file_to_follow(const std::string& session, std::size_t label, std::int64_t now) {
  drop(session, label);  // it comes under another name now
  if (files_ >= kMaxFiles) return nullptr;
  Session& of = sessions_[session];
  of.asked_ns = now;
  ++files_;
  return &of.files[label];
}

bool FollowTable::follow_arrival(const std::string& session, std::size_t label, std::uint64_t device,
                                 std::uint64_t inode, std::int64_t now) {
  File* file = file_to_follow(session, label, now);
  if (!file) return false;
  file->arrival = {device, inode};
  arrivals_[*file->arrival] = {session, label};
  return true;
}

bool FollowTable::follow_uid(const std::string& session, std::size_t label, const std::string& uid, std::int64_t now) {
  if (!file_to_follow(session, label, now)) return false;
  bind({session, label}, uid);
  return true;
}

void FollowTable::drop(const std::string& session, std::size_t label) {
  const Owner owner{session, label};
  const File* file = file_of(owner);
  if (!file) return;
  remove(owner, *file);
  --files_;
}

// With all that leads to it.
void FollowTable::remove(const Owner& owner, const File& file) {
  if (file.arrival) arrivals_.erase(*file.arrival);
  if (!file.origin.empty()) origins_.erase(file.origin);
  open_ -= file.open.size();
  sessions_[owner.session].files.erase(owner.label);
}

void FollowTable::forget(const std::string& session) {
  const auto found = sessions_.find(session);
  if (found == sessions_.end()) return;
  while (!found->second.files.empty()) drop(session, found->second.files.begin()->first);
  files_ -= found->second.ends.size();
  sessions_.erase(found);
}

void FollowTable::expire(std::int64_t now) {
  std::vector<std::string> late;
  for (const auto& [name, session] : sessions_) {
    if (now - session.asked_ns > kForgottenAfterNs) late.push_back(name);
  }
  for (const std::string& name : late) forget(name);
}

std::optional<FollowTable::Report> FollowTable::report(const std::string& session, std::size_t from,
                                                       std::size_t most, std::int64_t now) {
  const auto found = sessions_.find(session);
  if (found == sessions_.end()) return std::nullopt;
  Session& of = found->second;
  of.asked_ns = now;
  for (; of.first_end < from && !of.ends.empty(); ++of.first_end, --files_) of.ends.pop_front();
  Report report;
  report.open = of.files.size();
  const std::size_t count = std::min(of.ends.size(), most);
  report.ends.assign(of.ends.begin(), of.ends.begin() + static_cast<std::ptrdiff_t>(count));
  if (!of.files.empty()) {
    report.label = of.files.begin()->first;
    report.last = of.files.begin()->second.last;
  }
  return report;
}

FollowTable::File* FollowTable::file_of(const Owner& owner) {
  const auto session = sessions_.find(owner.session);
  if (session == sessions_.end()) return nullptr;
  const auto file = session->second.files.find(owner.label);
  return file == session->second.files.end() ? nullptr : &file->second;
}

// Without an origin it is looked for in all of them: that is rare.
std::optional<FollowTable::Owner> FollowTable::owner_of(const wire::Trace& trace) {
  if (const auto origin = origins_.find(trace.origin); origin != origins_.end()) return origin->second;
  if (!trace.origin.empty()) return std::nullopt;
  for (const auto& [origin, owner] : origins_) {
    const File* file = file_of(owner);
    if (file && file->open.contains(trace.uid)) return owner;
  }
  return std::nullopt;
}

void FollowTable::bind(const Owner& owner, const std::string& uid) {
  File* file = file_of(owner);
  if (!file || file->origin == uid) return;
  if (!file->origin.empty()) {  // an attempt to take it that came to nothing
    origins_.erase(file->origin);
    open_ -= file->open.erase(file->origin);
  }
  file->origin = uid;
  open_ += file->open.insert_or_assign(uid, true).second;
  origins_[uid] = owner;
}

// Its inode may be another file's from now on.
void FollowTable::is_taken(File& file) {
  if (file.arrival) arrivals_.erase(*file.arrival);
  file.arrival.reset();
}

void FollowTable::accepted(const wire::Accepted& accepted) {
  const auto arrival = arrivals_.find({accepted.device, accepted.inode});
  if (arrival == arrivals_.end()) return;
  const Owner owner = arrival->second;
  bind(owner, accepted.uid);
  File* file = file_of(owner);
  if (file && accepted.taken) is_taken(*file);
}

void FollowTable::note(File& file, bool well, const std::string& what) {
  file.well = file.well && well;
  std::string& text = well ? file.good : file.bad;
  if (text.size() + what.size() <= kShownBytes) {
    append(text, what);
  } else {
    ++file.unsaid;
  }
}

// Of a uid whose maker has not spoken yet, the end is remembered until it does.
void FollowTable::end_of(File& file, const std::string& uid) {
  const auto open = file.open.find(uid);
  if (open != file.open.end()) {
    if (!open->second) return;
    file.open.erase(open);
    --open_;
  } else if (open_ < kMaxOpen && !file.crowded) {
    file.open.emplace(uid, false);
    ++open_;
  }
}

void FollowTable::finish_if_done(const Owner& owner) {
  File* file = file_of(owner);
  if (!file || file->origin.empty()) return;
  const bool waits = file->crowded ? std::any_of(file->open.begin(), file->open.end(), [](const auto& open) { return open.second; })
                                   : !file->open.empty();
  if (!waits) finish(owner, *file);
}

void FollowTable::finish(const Owner& owner, File& file) {
  End end{owner.label, file.well, file.bad};
  if (!file.good.empty()) append(end.what, file.good);
  if (file.unsaid > 0) append(end.what, "and " + std::to_string(file.unsaid) + " more");
  Session& session = sessions_[owner.session];
  remove(owner, file);
  session.ends.push_back(std::move(end));
}

void FollowTable::refused(std::uint64_t device, std::uint64_t inode, const std::string& path, const std::string& reason) {
  const auto arrival = arrivals_.find({device, inode});
  if (arrival == arrivals_.end()) return;
  const Owner owner = arrival->second;
  File* file = file_of(owner);
  if (!file) return;
  note(*file, false, "refused, it stays in " + path + ": " + reason);
  finish(owner, *file);
}

void FollowTable::settled(const std::string& step, const wire::SettledFile& file) {
  if (!file.trashed && file.delivered.empty()) return;  // it is before a step
  wire::Trace trace;
  trace.uid = file.uid;
  trace.planned = true;
  trace.trashed = file.trashed;
  if (file.trashed) trace.outcome = Outcome::kFailed;
  if (file.trashed) trace.reason = file.what;
  wire::TracedOutput delivered;
  delivered.uid = file.uid;
  delivered.path = file.delivered;
  if (!file.trashed) trace.outputs.push_back(std::move(delivered));
  traced(step, trace, {});
}

// One that is made of the file.
void FollowTable::add_output(File& file, const wire::Trace& trace, const wire::TracedOutput& output,
                             const std::vector<std::string>& targets) {
  if (output.target >= targets.size()) {
    if (trace.outcome == Outcome::kOk && !trace.reason.empty()) {
      return note(file, false, "not delivered to " + output.path + " yet, that is tried again: " + trace.reason);
    }
    return note(file, trace.outcome == Outcome::kOk,
                "delivered to " + output.path + (trace.planned ? " (or to that name with -1, -2, ... behind it, if it was taken)" : ""));
  }
  const std::string& target = targets[output.target];
  file.last = "was sent to " + target;
  if (output.uid == trace.uid) return;
  if (output.anew) return note(file, true, "a new file went to " + target);  // all that comes of it has another origin
  if (const auto open = file.open.find(output.uid); open != file.open.end()) {
    if (open->second) return;
    file.open.erase(open);  // its end came first
    --open_;
    return;
  }
  if (open_ >= kMaxOpen) {
    file.crowded = true;
    return note(file, false, "too much came of it to follow: a part went to " + target);
  }
  file.open.emplace(output.uid, true);
  ++open_;
}

void FollowTable::traced(const std::string& step, const wire::Trace& trace, const std::vector<std::string>& targets) {
  const std::optional<Owner> owner = owner_of(trace);
  File* file = owner ? file_of(*owner) : nullptr;
  if (!file) return;
  is_taken(*file);
  for (const wire::TracedOutput& output : trace.outputs) add_output(*file, trace, output, targets);
  if (trace.more) return;
  const bool goes_on = std::any_of(trace.outputs.begin(), trace.outputs.end(), [&](const wire::TracedOutput& output) {
    return output.uid == trace.uid && output.target < targets.size();
  });
  const std::string& why = trace.reason;
  if (trace.trashed) {
    note(*file, false, with_reason("in trash of " + step, why));
  } else {
    switch (trace.outcome) {
      case Outcome::kOk:
        if (trace.outputs.empty()) note(*file, true, "ended in " + step);
        break;
      case Outcome::kFailed: note(*file, false, with_reason("failed in " + step, why)); break;
      case Outcome::kSkipped: note(*file, false, with_reason("skipped by " + step + " and deleted", why)); break;
      case Outcome::kRetried: file->last = with_reason("waits for another attempt in " + step, why); return;
      default: file->last = with_reason("waits before " + step, why); return;
    }
  }
  if (!goes_on) end_of(*file, trace.uid);
  finish_if_done(*owner);
}

}  // namespace mfdata
