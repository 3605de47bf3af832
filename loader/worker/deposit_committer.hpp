// Commits the deposits of many threads together, so that they share what is forced to disk: while one group is on its way the
// next one gathers. Who waits for its own deposit does the work of the group, unless somebody does; deposits that nobody waits
// for are committed, and told, on a thread of this object. Used from any thread.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "libmfdata/deposit.hpp"

namespace mfdata {

class DepositCommitter {
 public:
  static constexpr std::size_t kGroup = 64;         // deposits that share a commit
  static constexpr std::size_t kMaxWaiting = 1024;  // whom nobody waits for

  using Ended = std::function<void(const Result<void>&)>;

  explicit DepositCommitter(const Spool& spool) : spool_(spool) {}
  ~DepositCommitter();

  // Waits until it is durable. What the order points to lives until then.
  Result<void> commit(Deposit::Order order);
  // `ended` is called once, on a thread of this object. While many are on their way it waits for room.
  void commit_later(Deposit::Order order, Ended ended);
  // Until all of them are told.
  void finish();

 private:
  struct Entry {
    Deposit::Order order;
    Ended ended;  // empty: somebody waits
    bool finished = false;
  };
  using Lock = std::unique_lock<std::mutex>;
  void lead(Lock& lock);
  void tell(Lock& lock);
  void work();

  const Spool& spool_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::shared_ptr<Entry>> queue_, to_tell_;
  std::size_t untold_ = 0;
  bool leading_ = false;
  bool stops_ = false;
  std::thread thread_;  // since the first commit_later
};

}  // namespace mfdata
