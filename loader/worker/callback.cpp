#include "worker/callback.hpp"

#include <unistd.h>

#include <cstring>

#include "libmfdata/clock.hpp"

namespace mfdata {
namespace {

// In a child of which only this thread is left: nothing that may wait for a lock of another one.
[[noreturn]] void end_child(const char* callback) {
  const auto say = [](const char* text) { return ::write(STDERR_FILENO, text, std::strlen(text)) >= 0; };
  if (say("<4>a child process that the plugin forked came back from ") && say(callback)) {
    (void)say(" and is ended: behind fork() a child calls exec, and _exit when that fails\n");
  }
  ::_exit(kForkedExit);
}

}  // namespace

ForkGuard::ForkGuard(const char* name) : name_(name), process_(::getpid()) {}

ForkGuard::~ForkGuard() {
  if (::getpid() != process_) end_child(name_);
}

Callback::Callback(PluginHost& host, const char* name, Treatment* treatment, std::int64_t deadline_ns) : around_(host), guard_(name) {
  around_.timed = false;
  host.enter(treatment, deadline_ns);
}

Callback::Callback(PluginHost& host, wire::Call call) : around_(host), guard_(wire::call_name(call)) {
  const std::int64_t now = monotonic_ns();
  const StepSettings& step = host.settings().step;
  const double limit_s = call == wire::Call::kCreate ? step.start_timeout_s : step.timeout_s;
  if (call == wire::Call::kCreate) host.set_creating(true);
  host.progress().call = static_cast<std::uint32_t>(call);
  host.progress().called_ns = static_cast<std::uint64_t>(now);
  if (call != wire::Call::kDestroy) host.enter(nullptr, now + static_cast<std::int64_t>(limit_s * 1e9));
}

Callback::~Callback() = default;

Callback::Around::~Around() {
  if (timed) host.progress().called_ns = 0;  // of another thread's call it is not ours
  host.set_creating(false);
  host.leave();
}

}  // namespace mfdata
