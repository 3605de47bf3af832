// What the host tells a listener while it runs: its tick, pressure that has changed, paths that have changed. Used on one thread,
// another one than that of run.
#pragma once

#include <sys/stat.h>

#include <map>
#include <optional>
#include <string>

#include "worker/plugin_host.hpp"

namespace mfdata {

class ListenerEvents {
 public:
  // `pressure`: that it knows of.
  ListenerEvents(PluginHost& host, const mfdata_listener& listener, void* self, std::uint32_t pressure);

  // Some times a second. Pressure is told before anything else: senders wait for it.
  void turn();

 private:
  struct Version {  // of what stands at a path, links followed
    dev_t device = 0;
    ino_t inode = 0;
    off_t size = -1;
    std::int64_t changed_ns = 0;
    bool operator==(const Version&) const = default;
  };
  static Version version_of(const struct stat& st);
  void tell(std::string trouble);
  void tell_pressure();
  void tell_paths();

  PluginHost& host_;
  const mfdata_listener& listener_;
  void* self_;
  std::uint32_t pressure_ = 0;
  std::int64_t last_tick_ns_ = 0, next_ns_ = 0;
  std::map<std::string, Version> paths_;
  std::string told_;  // of tick
};

}  // namespace mfdata
