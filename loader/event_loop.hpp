// One thread, one loop: descriptors, timers and signals call back. A thin cover of sd-event(3).
//
// Callbacks may add and remove anything, themselves included. Not thread-safe.
#pragma once

#include <functional>
#include <list>
#include <memory>

#include "libmfdata/result.hpp"

struct sd_event;
struct sd_event_source;

namespace mfdata {

class EventLoop {
 public:
  using Callback = std::function<void()>;
  // One thing that is listened to; the callback ends with it.
  class Source {
   public:
    Source(EventLoop& loop, Callback callback) : loop_(loop), callback_(std::move(callback)) {}
    Source(const Source&) = delete;
    Source& operator=(const Source&) = delete;
    ~Source();

   private:
    friend class EventLoop;
    void call();
    EventLoop& loop_;
    sd_event_source* source_ = nullptr;
    Callback callback_;
  };
  using Handle = std::unique_ptr<Source>;

  EventLoop();
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  Handle on_readable(int file, Callback callback);
  Handle on_signal(int signal, Callback callback);  // blocks the signal
  // Once, at a moment of CLOCK_MONOTONIC; `arm` moves it.
  Handle timer(Callback callback);
  void arm(const Handle& timer, std::int64_t at_ns);
  void disarm(const Handle& timer);
  // After each call of another one, at once: what it brought does not wait for the events that came with it.
  void after_each(Callback callback) { after_each_ = std::move(callback); }

  // Until stop(). An error: it can wait for nothing any more.
  Result<void> run();
  void stop();
  static std::int64_t now_ns();

 private:
  sd_event* event_ = nullptr;
  Callback after_each_;
};

}  // namespace mfdata
