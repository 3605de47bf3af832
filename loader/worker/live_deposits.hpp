// The deposits of a component that were opened and neither committed nor aborted yet, by their handles.
//
// A handle is a number that is never given again, not an address: one that is used after its deposit has ended, or that
// was never given, is told from a live one, and nothing is freed twice. Used from any thread.
#pragma once

#include <mfdata/plugin.h>

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "libmfdata/deposit.hpp"
#include "libmfdata/digest.hpp"

namespace mfdata {

struct LiveDeposit {
  LiveDeposit(Deposit opened, std::string to_step, std::string with_name) : deposit(std::move(opened)), uid(deposit.uid()), step(std::move(to_step)), name(std::move(with_name)) {}

  std::mutex mutex;  // of all that follows
  Deposit deposit;
  const std::string uid;
  const std::string step;  // dotted
  const std::string name;  // empty: its uid
  std::string directory;  // it comes from
  std::string dirname;    // first.core.original_dirname; empty: made from `directory`
  std::optional<std::uint64_t> expected_size;
  std::optional<Digest> digest;  // of what is written
  std::string expected_digest;
  TagSet tags;
  std::uint64_t bytes = 0;
  mfdata_rc failed = MFDATA_OK;  // of a write: then it cannot be committed
  bool ended = false;            // by a commit or an abort, while another thread was about to use it
};

class LiveDeposits {
 public:
  mfdata_deposit* add(std::shared_ptr<LiveDeposit> deposit);
  // Empty, with the reason in `rc`: E_STATE, it has ended; E_ARG, it was never opened.
  std::shared_ptr<LiveDeposit> find(const mfdata_deposit* handle, mfdata_rc& rc) const;
  // The same, and it is live no more: of several threads one gets it.
  std::shared_ptr<LiveDeposit> take(const mfdata_deposit* handle, mfdata_rc& rc);

 private:
  mutable std::mutex mutex_;
  std::uintptr_t last_ = 0;
  std::map<std::uintptr_t, std::shared_ptr<LiveDeposit>> live_;
};

}  // namespace mfdata
