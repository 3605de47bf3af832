#include "waiting_room.hpp"

#include <algorithm>

namespace mfdata {

void WaitingRoom::add(std::string step, std::int64_t max_wait_ms) {
  steps_.push_back(std::move(step));
  max_waits_ms_.push_back(max_wait_ms);
  counts_.push_back(0);
}

bool WaitingRoom::offer(std::size_t step, const std::string& filename, std::int64_t wall_ms, std::int64_t now_ms) {
  const auto waiting = WaitingName::parse(filename);
  if (!waiting || names_.contains({step, filename})) return true;
  if (counts_[step] >= limit_) return false;
  names_.emplace(step, filename);
  ++counts_[step];
  due_.emplace(std::max<std::int64_t>(0, now_ms + std::min(waiting->due_ms - wall_ms, max_waits_ms_[step])), Name(step, filename));
  return true;
}

void WaitingRoom::forget(std::size_t step) {
  std::erase_if(due_, [&](const auto& entry) { return entry.second.first == step; });
  std::erase_if(names_, [&](const Name& name) { return name.first == step; });
  counts_[step] = 0;
}

Result<void> WaitingRoom::move_due(std::int64_t now_ms) {
  constexpr std::int64_t kTryAgain_ms = 10'000;
  constexpr int kAtOnce = 1000;
  Result<void> first;
  for (int moved = 0; moved < kAtOnce && !due_.empty() && due_.begin()->first <= now_ms; ++moved) {
    const Name name = due_.begin()->second;
    const auto& [step, filename] = name;
    due_.erase(due_.begin());
    auto renamed = disk_.rename(layout::waiting_directory(steps_[step]) + '/' + filename,
                                layout::step_directory(steps_[step]) + '/' + filename.substr(filename.find('.') + 1));
    if (!renamed && !renamed.is(Code::kGone)) {  // the others do not wait for it
      due_.emplace(now_ms + kTryAgain_ms, name);
      if (first) first = renamed;
      continue;
    }
    --counts_[step];
    names_.erase(name);
  }
  return first;
}

}  // namespace mfdata
