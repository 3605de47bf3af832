#include "refused_arrivals.hpp"

#include <functional>

#include "libmfdata/arrival.hpp"

namespace mfdata {
namespace {

constexpr std::int64_t kAgainNs = 60'000'000'000;

std::int64_t changed_ns(const struct stat& status) { return status.st_ctim.tv_sec * 1'000'000'000 + status.st_ctim.tv_nsec; }

std::uint64_t key_of(const std::string& path, const struct stat& status) {
  return std::hash<std::string>()(path) ^ (static_cast<std::uint64_t>(status.st_ino) * 0x9E3779B97F4A7C15U);
}

bool is_the_directorys(const std::string& reason) { return reason.starts_with(kClosedDirectory); }

}  // namespace

RefusedArrivals::News RefusedArrivals::add(const std::string& path, const struct stat& status, const std::string& reason,
                                           std::int64_t now_ns) {
  const auto there = shown_.find(path);
  const Refusal fresh{status.st_ino, changed_ns(status), now_ns, reason};
  if (there != shown_.end()) {
    const bool same_file = there->second.inode == fresh.inode, same_reason = there->second.reason == reason;
    there->second = fresh;
    return {!same_file || !same_reason, !same_file, false};
  }
  if (shown_.size() < most_shown_) {
    const bool was_known = known_.erase(key_of(path, status)) > 0;
    shown_.emplace(path, fresh);
    return {!was_known, !was_known, false};
  }
  const auto known = known_.find(key_of(path, status));
  if (known != known_.end()) {
    known->second = {fresh.changed_ns, round_};
    return {};
  }
  if (known_.size() >= most_known_) return {};
  known_.emplace(key_of(path, status), Known{fresh.changed_ns, round_});
  return {false, true, known_.size() == 1};
}

bool RefusedArrivals::same(const std::string& path, const struct stat& status, std::int64_t now_ns) {
  if (const auto there = shown_.find(path); there != shown_.end()) {
    const Refusal& refusal = there->second;
    if (refusal.inode != status.st_ino || refusal.changed_ns != changed_ns(status)) return false;
    return !is_the_directorys(refusal.reason) || now_ns - refusal.at_ns < kAgainNs;
  }
  const auto known = known_.find(key_of(path, status));
  if (known == known_.end() || known->second.changed_ns != changed_ns(status)) return false;
  known->second.seen = round_;
  return true;
}

bool RefusedArrivals::heeds_attributes(const std::string& path) const {
  const auto there = shown_.find(path);
  return there != shown_.end() && !is_the_directorys(there->second.reason);
}

void RefusedArrivals::forget_unseen() {
  std::erase_if(known_, [&](const auto& known) { return known.second.seen + 1 < round_; });
  ++round_;
}

void RefusedArrivals::clear() {
  shown_.clear();
  known_.clear();
}

std::set<std::string> RefusedArrivals::directories() const {
  std::set<std::string> all;
  for (const auto& [path, refusal] : shown_) all.insert(path.substr(0, path.rfind('/')));
  return all;
}

}  // namespace mfdata
