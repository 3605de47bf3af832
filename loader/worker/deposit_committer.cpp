#include "worker/deposit_committer.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <exception>
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

bool DepositCommitter::commit_later(Deposit::Order order, Ended ended) {
  const auto entry = std::make_shared<Entry>(Entry{std::move(order), std::move(ended)});
  Lock lock(mutex_);
  if (closed_) return false;
  if (!thread_.joinable()) thread_ = std::thread([this] { work(); });
  untold_.push_back(entry);
  try {
    queue_.push_back(entry);
  } catch (...) {
    untold_.pop_back();
    throw;
  }
  changed_.notify_all();
  return true;
}

void DepositCommitter::finish() {
  Lock lock(mutex_);
  changed_.wait(lock, [&] { return untold_.empty(); });
}

void DepositCommitter::close() {
  {
    const Lock lock(mutex_);
    closed_ = true;
  }
  finish();
}

// One group, without the lock. Whatever is thrown meanwhile, each of the group comes to its end.
void DepositCommitter::lead(Lock& lock) {
  leading_ = true;
  std::array<std::shared_ptr<Entry>, kGroup> group;
  const std::size_t size = std::min(queue_.size(), kGroup);
  std::move(queue_.begin(), queue_.begin() + static_cast<std::ptrdiff_t>(size), group.begin());
  queue_.erase(queue_.begin(), queue_.begin() + static_cast<std::ptrdiff_t>(size));
  lock.unlock();
  const bool thrown = !commit_group(group.data(), size);
  lock.lock();
  for (std::size_t i = 0; i < size; ++i) {
    if (thrown) group[i]->order.result = Error{Code::kIo, ENOMEM, "no memory"};  // so short a text needs none
    group[i]->finished = true;
  }
  leading_ = false;
  changed_.notify_all();
}

bool DepositCommitter::commit_group(std::shared_ptr<Entry>* group, std::size_t size) {
  try {
    std::vector<Deposit::Order> orders;
    for (std::size_t i = 0; i < size; ++i) orders.push_back(group[i]->order);
    Deposit::commit_all(spool_, orders);
    for (std::size_t i = 0; i < size; ++i) group[i]->order.result = std::move(orders[i].result);
    return true;
  } catch (const std::exception&) {
    return false;
  }
}

std::list<std::shared_ptr<DepositCommitter::Entry>>::iterator DepositCommitter::next_to_tell() {
  return std::find_if(untold_.begin(), untold_.end(), [](const auto& entry) { return entry->finished && !entry->told; });
}

void DepositCommitter::tell(Lock& lock) {
  const auto next = next_to_tell();
  const std::shared_ptr<Entry> entry = *next;
  entry->told = true;
  lock.unlock();
  entry->ended(entry->order.result);
  entry->ended = nullptr;  // what it holds goes before it counts as told
  lock.lock();
  untold_.erase(next);
  changed_.notify_all();
}

void DepositCommitter::work() {
  Lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return stops_ || next_to_tell() != untold_.end() || (!queue_.empty() && !leading_); });
    if (next_to_tell() != untold_.end()) {
      tell(lock);
    } else if (!queue_.empty() && !leading_) {
      lead(lock);
    } else if (stops_) {
      return;
    }
  }
}

}  // namespace mfdata
