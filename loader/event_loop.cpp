#include "event_loop.hpp"

#include <signal.h>
#include <sys/epoll.h>
#include <systemd/sd-event.h>

#include "libmfdata/clock.hpp"

namespace mfdata {

static EventLoop::Source& source_of(void* data) { return *static_cast<EventLoop::Source*>(data); }

// The callback may be the end of this source.
void EventLoop::Source::call() {
  EventLoop& loop = loop_;
  callback_();
  if (loop.after_each_) loop.after_each_();
}

EventLoop::Source::~Source() {
  sd_event_source_set_enabled(source_, SD_EVENT_OFF);
  sd_event_source_unref(source_);
}

EventLoop::EventLoop() { check(sd_event_new(&event_) >= 0, "no event loop"); }
EventLoop::~EventLoop() { sd_event_unref(event_); }

EventLoop::Handle EventLoop::on_readable(int file, Callback callback) {
  auto source = std::make_unique<Source>(*this, std::move(callback));
  const auto call = [](sd_event_source*, int, std::uint32_t, void* data) {
    source_of(data).call();
    return 0;
  };
  check(sd_event_add_io(event_, &source->source_, file, EPOLLIN, call, source.get()) >= 0, "cannot watch a descriptor");
  return source;
}

EventLoop::Handle EventLoop::on_signal(int signal, Callback callback) {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, signal);
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  auto source = std::make_unique<Source>(*this, std::move(callback));
  const auto call = [](sd_event_source*, const signalfd_siginfo*, void* data) {
    source_of(data).call();
    return 0;
  };
  check(sd_event_add_signal(event_, &source->source_, signal, call, source.get()) >= 0, "cannot watch a signal");
  return source;
}

EventLoop::Handle EventLoop::timer(Callback callback) {
  auto source = std::make_unique<Source>(*this, std::move(callback));
  const auto call = [](sd_event_source*, std::uint64_t, void* data) {
    source_of(data).call();
    return 0;
  };
  check(sd_event_add_time(event_, &source->source_, CLOCK_MONOTONIC, 0, 1000, call, source.get()) >= 0, "cannot make a timer");
  sd_event_source_set_enabled(source->source_, SD_EVENT_OFF);
  return source;
}

void EventLoop::arm(const Handle& timer, std::int64_t at_ns) {
  sd_event_source_set_time(timer->source_, static_cast<std::uint64_t>(at_ns / 1000));
  sd_event_source_set_enabled(timer->source_, SD_EVENT_ONESHOT);
}

void EventLoop::disarm(const Handle& timer) { sd_event_source_set_enabled(timer->source_, SD_EVENT_OFF); }

Result<void> EventLoop::run() {
  sd_event_set_watchdog(event_, true);  // of systemd, where the unit asks for one
  const int ended = sd_event_loop(event_);
  return ended < 0 ? system_error(-ended, "the event loop has ended") : Result<void>();
}
void EventLoop::stop() { sd_event_exit(event_, 0); }

std::int64_t EventLoop::now_ns() { return monotonic_ns(); }

}  // namespace mfdata
