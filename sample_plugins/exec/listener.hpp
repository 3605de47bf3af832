// A listener whose program brings files in: it says "deposit", and hears "deposited" once the file is durable. Several
// deposits may be under way; their ends come in any order.
#pragma once

#include <atomic>
#include <list>
#include <memory>
#include <mutex>
#include <string>

#include "program.hpp"
#include "scratch.hpp"

namespace exec_protocol {

class ExecListener : public mfdata::sdk::Listener {
 public:
  explicit ExecListener(const mfdata::sdk::Context& context);
  mfdata::sdk::Result run() override;
  void stop() noexcept override;

 private:
  // A deposit whose commit is under way, and then its end.
  struct Commit {
    ExecListener* listener = nullptr;
    std::string id, path;  // path: to be removed once it is durable
    mfdata_rc rc = MFDATA_OK;
    std::string reason;
  };

  static void on_done(void* user, mfdata_rc rc);
  void wake() const noexcept;
  void forget_wake() const;
  void take(const Deposit& deposit);
  mfdata_rc write(const Deposit& deposit, mfdata_deposit* to, std::string& reason) const;
  void finish(std::unique_ptr<Commit> commit, mfdata_rc rc, const std::string& reason);
  void reply(const Commit& commit);
  void reply_to_finished();
  void tell_pressure();
  mfdata::sdk::Result ended(const std::string& why);

  Scratch scratch_;
  double stop_timeout_s_;
  mfdata::sdk::detail::Descriptor wake_;
  std::atomic<bool> stopping_{false};
  std::int64_t killed_at_ns_ = 0;    // once it was told to stop
  std::int64_t pressure_told_ns_ = 0;
  mfdata_rc pressure_ = MFDATA_OK;
  std::size_t under_way_ = 0;
  std::mutex mutex_;                 // of finished_
  std::list<std::unique_ptr<Commit>> finished_;
  Program program_;                  // ends first
};

}  // namespace exec_protocol
