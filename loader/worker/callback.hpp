// What holds around every call of the plugin.
//
// A plugin may fork. Its child may do what it likes but for one thing: return from the callback, since then two processes
// would treat one file. Such a child ends where its callback returns, before it touches the spool, the channel or the page.
#pragma once

#include "worker/plugin_host.hpp"

namespace mfdata {

// The exit status of such a child: what a shell says of a command that is not there.
inline constexpr int kForkedExit = 127;

// Around a call on any thread. `name` is a word of the interface ("process", "stop").
class ForkGuard {
 public:
  explicit ForkGuard(const char* name);
  ForkGuard(const ForkGuard&) = delete;
  ForkGuard& operator=(const ForkGuard&) = delete;
  ~ForkGuard();

 private:
  const char* const name_;
  const int process_;
};

// Around a call on the thread of the component: the host is entered, and the loader sees how long the call takes.
class Callback {
 public:
  // Of files: their time began when they were claimed.
  Callback(PluginHost& host, const char* name, Treatment* treatment, std::int64_t deadline_ns);
  // Of no file. The step's or listener's timeout holds from now on; a start_timeout for `create`.
  Callback(PluginHost& host, wire::Call call);
  Callback(const Callback&) = delete;
  Callback& operator=(const Callback&) = delete;
  ~Callback();

 private:
  struct Around {  // left after the guard has looked
    explicit Around(PluginHost& entered) : host(entered) {}
    Around(const Around&) = delete;
    Around& operator=(const Around&) = delete;
    ~Around();
    PluginHost& host;
    bool timed = true;
  };
  Around around_;
  ForkGuard guard_;  // destroyed first
};

}  // namespace mfdata
