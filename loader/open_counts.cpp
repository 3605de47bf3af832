#include "open_counts.hpp"

#include <algorithm>

namespace mfdata {

OpenCounts::Name* OpenCounts::find(std::string_view name) {
  const auto known = names_.find(name);
  return known == names_.end() ? nullptr : &known->second;
}

OpenCounts::Name* OpenCounts::find_or_add(std::string_view name) {
  if (Name* known = find(name)) return known;
  return names_.size() < max_names_ ? &names_.emplace(name, Name{}).first->second : nullptr;
}

void OpenCounts::created(const std::string& name) {
  if (Name* entry = find_or_add(name)) *entry = {0, 0};
}

void OpenCounts::opened(std::string_view name) {
  if (Name* entry = find(name)) ++entry->openers;
}

void OpenCounts::closed_by_reader(std::string_view name) {
  Name* entry = find(name);
  if (entry && entry->openers > 0) --entry->openers;
}

void OpenCounts::closed_by_writer(std::string_view name, std::int64_t now_ns) {
  Name* entry = find_or_add(name);
  if (!entry) return;
  if (entry->openers > 0) --entry->openers;
  entry->told_ns = now_ns;
}

void OpenCounts::completed(std::string_view name, std::int64_t now_ns) {
  if (Name* entry = find_or_add(name)) *entry = {0, now_ns};
}

void OpenCounts::watch(std::string_view name) { find_or_add(name); }

void OpenCounts::forget(std::string_view name) {
  if (const auto known = names_.find(name); known != names_.end()) names_.erase(known);
}

void OpenCounts::lose_track() {
  for (auto& [name, entry] : names_) entry = {entry.openers + 1, 0};
}

void OpenCounts::drop_gone(const std::function<bool(const std::string&)>& stands) {
  if (names_.size() <= std::max(max_names_ / 2, 2 * left_)) return;  // what still stands is not asked for again and again
  std::erase_if(names_, [&](const auto& entry) { return !stands(entry.first); });
  left_ = names_.size();
}

bool OpenCounts::is_open(std::string_view name) const {
  const auto known = names_.find(name);
  return known != names_.end() && known->second.openers > 0;
}

std::int64_t OpenCounts::told_ns(std::string_view name) const {
  const auto known = names_.find(name);
  return known == names_.end() || known->second.openers > 0 ? 0 : known->second.told_ns;
}

}  // namespace mfdata
