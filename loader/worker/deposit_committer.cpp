#include "worker/deposit_committer.hpp"

#include <algorithm>
#include <utility>
#include <vector>

namespace mfdata {

DepositCommitter::~DepositCommitter() {
  finish();
  {
    const Lock lock(mutex_);
    stops_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

Result<void> DepositCommitter::commit(Deposit::Order order) {
  if (!spool_.forces_inodes()) {  // nothing to share
    std::vector<Deposit::Order> alone{std::move(order)};
    Deposit::commit_all(spool_, alone);
    return alone[0].result;
  }
  const auto mine = std::make_shared<Entry>(Entry{std::move(order), {}});
  Lock lock(mutex_);
  queue_.push_back(mine);
  while (!mine->finished) {
    if (leading_) {
      changed_.wait(lock);
    } else {
      lead(lock);
    }
  }
  return mine->order.result;
}

void DepositCommitter::commit_later(Deposit::Order order, Ended ended) {
  Lock lock(mutex_);
  if (!thread_.joinable()) thread_ = std::thread([this] { work(); });
  const bool is_ours = std::this_thread::get_id() == thread_.get_id();  // it waits for nobody
  changed_.wait(lock, [&] { return is_ours || untold_ < kMaxWaiting; });
  ++untold_;
  queue_.push_back(std::make_shared<Entry>(Entry{std::move(order), std::move(ended)}));
  changed_.notify_all();
}

void DepositCommitter::finish() {
  Lock lock(mutex_);
  changed_.wait(lock, [&] { return untold_ == 0; });
}

// One group, without the lock.
void DepositCommitter::lead(Lock& lock) {
  leading_ = true;
  const auto end = queue_.begin() + static_cast<std::ptrdiff_t>(std::min(queue_.size(), kGroup));
  const std::vector<std::shared_ptr<Entry>> group(queue_.begin(), end);
  queue_.erase(queue_.begin(), end);
  lock.unlock();
  std::vector<Deposit::Order> orders;
  for (const auto& entry : group) orders.push_back(entry->order);
  Deposit::commit_all(spool_, orders);
  lock.lock();
  for (std::size_t i = 0; i < group.size(); ++i) {
    group[i]->order.result = std::move(orders[i].result);
    group[i]->finished = true;
    if (group[i]->ended) to_tell_.push_back(group[i]);
  }
  leading_ = false;
  changed_.notify_all();
}

void DepositCommitter::tell(Lock& lock) {
  const auto entry = std::move(to_tell_.front());
  to_tell_.pop_front();
  lock.unlock();
  entry->ended(entry->order.result);
  entry->ended = nullptr;  // what it holds goes before it is told that it has ended
  lock.lock();
  --untold_;
  changed_.notify_all();
}

void DepositCommitter::work() {
  Lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return stops_ || !to_tell_.empty() || (!queue_.empty() && !leading_); });
    if (!to_tell_.empty()) {
      tell(lock);
    } else if (!queue_.empty() && !leading_) {
      lead(lock);
    } else if (stops_) {
      return;
    }
  }
}

}  // namespace mfdata
