// Finds files: inotify as the hint, listing as the truth. Watch first, list after; list again when the event queue
// overflowed, when a directory was lost and is back, and every rescan interval. Where inotify cannot serve (NFS,
// FUSE, no watches left) the directory is listed every second, and the log says so.
//
// Lists in slices, so that the loop never stalls, and stops when its taker has no room; the rest stays on disk.
// Owns the inotify descriptor and the state of each source; knows nothing of steps or workers.
#pragma once

#include <dirent.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "event_loop.hpp"
#include "libmfdata/disk.hpp"
#include "libmfdata/settings.hpp"

namespace mfdata {

struct WatchedSource {
  std::string path;       // relative to the data directory, or absolute
  bool arrivals = false;  // a watched directory: readiness and ignored names apply
  Readiness ready;
  std::vector<std::string> ignore;
};

class SpoolWatcher {
 public:
  struct Taker {
    // False: no room. `listed`: the name was found standing there; otherwise an event has just told of it.
    std::function<bool(std::size_t source, std::string name, bool listed)> offer;
    std::function<void(std::size_t source)> forget;  // its names are about to be offered anew
    std::function<bool(std::size_t source)> has_room;
    std::function<void(const std::string&)> warn;
    std::function<void()> overflow;
  };

  SpoolWatcher(EventLoop& loop, const Disk& disk, std::size_t max_quiet, Taker taker);

  // One more, with the next number; another one in the place of one that there was; no more. What is set is watched, and
  // listed, once the loop turns.
  void set(std::size_t source, WatchedSource watched);
  void remove(std::size_t source);
  void rescan();  // of everything
  void rescan(std::size_t source);
  void tick(std::int64_t now_ns);  // about once a second
  bool scanning() const;
  const WatchedSource& source(std::size_t number) const { return sources_[number]; }

 private:
  struct DirectoryCloser {
    void operator()(DIR* directory) const { ::closedir(directory); }
  };
  struct Quiet {
    std::int64_t size = 0, ctime_ns = 0, since_ns = 0;
  };
  struct State {
    int watch = -1;
    bool removed = false;  // nobody takes its files any more
    bool lost = false;     // the directory is not there
    bool polled = false;
    bool wanted = false;   // a listing is wanted
    bool starved = false;  // the last listing stopped for want of room
    std::unique_ptr<DIR, DirectoryCloser> listing;
    std::vector<std::pair<std::int64_t, std::string>> found;  // age, name; sorted before they are offered
    std::map<std::string, Quiet> quiet;
  };

  void watch(std::size_t source);
  void unwatch(State& state);
  void lose(std::size_t source, const char* why);
  void read_events();
  void take_event(std::size_t source, std::uint32_t mask, const char* name);
  void scan_slice();
  bool list_slice(std::size_t source);
  void offer_found(std::size_t source);
  bool offer(std::size_t source, std::string name, bool listed);
  void watch_quiet(std::size_t source, const std::string& name);
  void check_quiet(std::size_t source, std::int64_t now_ns);
  bool ignored(const WatchedSource& source, const char* name) const;

  EventLoop& loop_;
  const Disk& disk_;
  std::vector<WatchedSource> sources_;
  std::size_t max_quiet_;
  Taker taker_;
  std::vector<State> states_;
  std::size_t next_slice_ = 0;
  std::unordered_map<int, std::size_t> by_watch_;
  FileDescriptor inotify_;
  EventLoop::Handle readable_;
  EventLoop::Handle slice_timer_;
};

}  // namespace mfdata
