// Deposit: a new file for a step, as a listener or `mfdata inject` brings it (model: Spool.deposit).
//
// Written and tagged out of sight in tmp/accept, forced as the durability asks, then renamed into the step's
// directory. When `commit` returns without error the file can no longer be lost (levels accepted and above): only
// then may a sender be told so. An uncommitted deposit goes away with its object, or at the next start.
#pragma once

#include <string>

#include "libmfdata/spool.hpp"

namespace mfdata {

class Deposit {
 public:
  static Result<Deposit> open(const Spool& spool);
  Deposit(Deposit&& other) noexcept;
  Deposit& operator=(Deposit&&) = delete;
  ~Deposit();

  int file() const { return file_.get(); }  // for writing the content
  const std::string& uid() const { return uid_; }
  // `tags` may not be of first.core.*: those are made from `name` and `directory` (what the source is called).
  Result<void> commit(const std::string& step, const std::string& name, const std::string& directory,
                      const TagSet& tags);

 private:
  Deposit(const Spool& spool, std::string uid, FileDescriptor file);

  const Spool* spool_;
  std::string uid_;
  std::string path_;  // empty once it is committed
  FileDescriptor file_;
};

// Removes an entry of tmp/accept whose writer has died, and its sidecar. False: its writer lives. Where the filesystem knows no
// locks nobody can tell: then it is removed only when the caller is `alone`.
Result<bool> drop_dead_deposit(const Spool& spool, const std::string& entry, bool alone);

// All that no living process writes, beside others that go on writing theirs.
Result<void> recover_deposits(const Spool& spool);

}  // namespace mfdata
