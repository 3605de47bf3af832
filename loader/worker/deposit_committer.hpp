// Commits the deposits of many threads together, so that they share what is forced to disk: while one group is on its way the
// next one gathers. Who waits for its own deposit does the work of the group, unless somebody does; deposits that nobody waits
// for are committed, and told, on a thread of this object. Used from any thread.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <thread>

#include "libmfdata/deposit.hpp"

namespace mfdata {

class DepositCommitter {
 public:
  static constexpr std::size_t kGroup = 64;  // deposits that share a commit

  using Ended = std::function<void(const Result<void>&)>;

  explicit DepositCommitter(const Spool& spool) : spool_(spool) {}
  ~DepositCommitter();

  // Waits until it is durable. What the order points to lives until then.
  Result<void> commit(Deposit::Order order);
  // `ended` is called once, on a thread of this object. Each that waits holds a descriptor, which is what bounds their number.
  // False: nothing more is taken.
  bool commit_later(Deposit::Order order, Ended ended);
  // Until all of them are told.
  void finish();
  // The same, and commit_later takes nothing more.
  void close();

 private:
  struct Entry {
    Deposit::Order order;
    Ended ended;  // empty: somebody waits
    bool finished = false, told = false;
  };
  using Lock = std::unique_lock<std::mutex>;
  void lead(Lock& lock);
  bool commit_group(std::shared_ptr<Entry>* group, std::size_t size);  // false: something was thrown
  std::list<std::shared_ptr<Entry>>::iterator next_to_tell();
  void tell(Lock& lock);
  void work();

  const Spool& spool_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::shared_ptr<Entry>> queue_;
  std::list<std::shared_ptr<Entry>> untold_;  // in the order they came, which is nearly the one they end in
  bool leading_ = false;
  bool closed_ = false;
  bool stops_ = false;
  std::thread thread_;  // since the first commit_later
};

}  // namespace mfdata
