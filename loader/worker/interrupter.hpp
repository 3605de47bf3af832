// Calls a step's `interrupt` on a thread of its own once the host is cancelled: a signal handler may not.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "worker/plugin_host.hpp"

namespace mfdata {

class Interrupter {
 public:
  Interrupter(std::function<void()> interrupt, const PluginHost& host)
      : thread_([this, interrupt = std::move(interrupt), &host] {
          std::unique_lock lock(mutex_);
          while (!finished_ && !host.told_cancelled()) wake_.wait_for(lock, std::chrono::milliseconds(100));
          if (!finished_) interrupt();
        }) {}
  Interrupter(const Interrupter&) = delete;
  Interrupter& operator=(const Interrupter&) = delete;
  ~Interrupter() {
    {
      const std::lock_guard lock(mutex_);
      finished_ = true;
    }
    wake_.notify_one();
    thread_.join();
  }

 private:
  std::mutex mutex_;
  std::condition_variable wake_;
  bool finished_ = false;
  std::thread thread_;
};

}  // namespace mfdata
