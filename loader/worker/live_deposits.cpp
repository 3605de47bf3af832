#include "worker/live_deposits.hpp"

namespace mfdata {

static std::uintptr_t number_of(const mfdata_deposit* handle) { return reinterpret_cast<std::uintptr_t>(handle); }

mfdata_deposit* LiveDeposits::add(std::shared_ptr<LiveDeposit> deposit) {
  const std::lock_guard lock(mutex_);
  const std::uintptr_t number = last_ + 1;
  live_.emplace(number, std::move(deposit));
  last_ = number;
  return reinterpret_cast<mfdata_deposit*>(number);
}

std::shared_ptr<LiveDeposit> LiveDeposits::find(const mfdata_deposit* handle, mfdata_rc& rc) const {
  const std::lock_guard lock(mutex_);
  const auto found = live_.find(number_of(handle));
  rc = found != live_.end() ? MFDATA_OK : handle && number_of(handle) <= last_ ? MFDATA_E_STATE : MFDATA_E_ARG;
  return rc == MFDATA_OK ? found->second : nullptr;
}

std::shared_ptr<LiveDeposit> LiveDeposits::take(const mfdata_deposit* handle, mfdata_rc& rc) {
  auto deposit = find(handle, rc);
  const std::lock_guard lock(mutex_);
  if (deposit && live_.erase(number_of(handle)) == 0) {  // another thread was faster
    rc = MFDATA_E_STATE;
    deposit.reset();
  }
  return deposit;
}

}  // namespace mfdata
