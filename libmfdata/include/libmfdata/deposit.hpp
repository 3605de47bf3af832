// Deposit: a new file for a step, as a listener or `mfdata inject` brings it (model: Spool.deposit).
//
// Written and tagged out of sight in tmp/accept, forced as the durability asks, then renamed into the step's
// directory. When `commit` returns without error the file can no longer be lost (levels accepted and above): only
// then may a sender be told so. An uncommitted deposit goes away with its object; that of a dead process is removed when a worker
// dies, or at the next start: its writer has locked it (flock(2)).
//
// A deposit may have a key: those with the same key are one file. The first one that is committed leaves its uid and its step in
// tmp/keys; a later one is a repeat: what is written to it is forgotten, and its commit makes sure that the first one is durable.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "libmfdata/spool.hpp"

namespace mfdata {

class Deposit {
 public:
  // What it becomes. `tags` may not be of first.core.*: those are made from `name` and `directory` (what the source is called).
  struct Order {
    Deposit* deposit = nullptr;
    std::string step;  // dotted
    std::string name;
    std::string directory;
    const TagSet* tags = nullptr;
    Result<void> result = {};
    std::string dirname = {};  // first.core.original_dirname; empty: the last part of `directory`
  };

  // `key`: of `key_of`; empty: none.
  static Result<Deposit> open(const Spool& spool, const std::string& key = "");
  // The name of a key in the spool. `owner`: whose keys they are.
  static std::string key_of(std::string_view owner, std::string_view key);
  Deposit(Deposit&& other) noexcept;
  Deposit& operator=(Deposit&&) = delete;
  ~Deposit();

  int file() const { return file_.get(); }  // for writing the content; -1: a repeat
  const std::string& uid() const { return is_repeat() ? first_uid_ : uid_; }
  bool is_repeat() const { return !first_uid_.empty(); }

  // kBusy: another deposit with this key is on its way.
  Result<void> commit(const std::string& step, const std::string& name, const std::string& directory,
                      const TagSet& tags);
  // Several share what they force; each has its own result.
  static void commit_all(const Spool& spool, std::vector<Order>& orders);

 private:
  Deposit(const Spool& spool, std::string uid, std::string key, FileDescriptor file);
  Result<void> tag(const Order& order);
  Result<void> take_key(const std::string& step);
  Result<void> give_key_back();
  Result<void> place(const std::string& step);

  const Spool* spool_;
  std::string uid_;
  std::string key_;   // empty: none
  std::string path_;  // empty once it is committed
  FileDescriptor file_;
  SpoolName name_;    // that it is placed under
  std::string first_uid_, first_step_;  // of a repeat: what came with the key first
  bool has_key_ = false;
};

// Removes an entry of tmp/accept whose writer has died, and its sidecar. False: its writer lives. Where the filesystem knows no
// locks nobody can tell: then it is removed only when the caller is `alone`.
Result<bool> drop_dead_deposit(const Spool& spool, const std::string& entry, bool alone);

// All that no living process writes, beside others that go on writing theirs.
Result<void> recover_deposits(const Spool& spool);

}  // namespace mfdata
