// Finds files: inotify as the hint, listing as the truth. Watch first, list after; list again when the event queue
// overflowed, when a directory was lost and is back, and every rescan interval. Where inotify cannot serve (a remote
// filesystem, no watches left) the directory is listed every second, and the log says so. With ready = "rename" a listing
// offers nothing but what events told of and nobody took, except where renames went unseen: at a start, after an overflow.
//
// Lists in slices, so that the loop never stalls, and stops when its taker has no room; the rest stays on disk.
// Owns the inotify descriptor and the state of each source; knows nothing of steps or workers.
#pragma once

#include <dirent.h>

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "event_loop.hpp"
#include "libmfdata/disk.hpp"
#include "libmfdata/settings.hpp"
#include "open_counts.hpp"

namespace mfdata {

struct WatchedSource {
  std::string path;       // relative to the data directory, or absolute
  bool arrivals = false;  // a watched directory: readiness and ignored names apply
  Readiness ready;
  std::vector<std::string> ignore;
  double foreign_quiet_s = 60;  // for the taker
  bool may_ask_of_any = true;   // the taker can ask whether a local file is open, whoever owns it: nobody has to count
};

// How a name was found: an event told of it just now, or that its mode or owner have changed; a listing found it
// standing there; or it has been quiet for as long as makes it complete.
enum class Found { kEvent, kChanged, kListed, kQuiet };

class SpoolWatcher {
 public:
  struct Taker {
    std::function<bool(std::size_t source, std::string name, Found found)> offer;  // false: no room
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
  // Whether events of changed modes and owners are wanted: each setxattr of ours is one as well.
  void heed_attributes(std::size_t source, bool heeded);
  void rescan();  // of everything
  void rescan(std::size_t source);  // what events told of it is forgotten
  // A name that was offered, and that nobody took, is offered again by the next listing.
  void keep(std::size_t source, const std::string& name);
  void tick(std::int64_t now_ns);  // about once a second
  bool scanning() const;
  const WatchedSource& source(std::size_t number) const { return sources_[number]; }
  bool polled(std::size_t source) const { return states_[source].polled; }

  // Of a watched directory where nobody can ask whether a file of another user is open, the watcher counts who opens and
  // closes its files. When such a file was last told to be complete, by the real clock. 0: never, or somebody has it open.
  std::int64_t told_ns(std::size_t source, const std::string& name) const { return states_[source].opens.told_ns(name); }
  void count_opens(std::size_t source, const std::string& name);  // of a file that waits: from now on, if not before
  void forget_opens(std::size_t source, const std::string& name) { states_[source].opens.forget(name); }
  // The file was refused since it has several links. No event tells when another one goes: the watcher looks, and offers it.
  void await_single_link(std::size_t source, const std::string& name);

 private:
  struct DirectoryCloser {
    void operator()(DIR* directory) const { ::closedir(directory); }
  };
  struct Quiet {
    std::int64_t size = 0, ctime_ns = 0, since_ns = 0;
  };
  // A name that came to be, and that nobody has closed since: by link(2), or of a file that is being written.
  struct Created {
    std::int64_t since_ns = 0, next_ns = 0;
    bool refused = false;  // while it has several links: it is offered when it has one
  };
  struct State {
    explicit State(std::size_t max_names) : opens(max_names) {}

    int watch = -1;
    bool removed = false;  // nobody takes its files any more
    bool lost = false;     // the directory is not there
    bool polled = false;
    bool attributes = false;
    bool wanted = false;   // a listing is wanted
    bool starved = false;  // the last listing stopped for want of room
    bool unseen = true;    // events have been missed since the last listing began
    bool lists_unseen = false;       // so had they before the listing that runs
    std::set<std::string> kept;      // ready = "rename": told of by an event, and not taken
    std::size_t left = 0;            // the same: names of the listing that runs, which no event told of
    std::unique_ptr<DIR, DirectoryCloser> listing;
    std::vector<std::pair<std::int64_t, std::string>> found;  // age, name; sorted before they are offered
    std::map<std::string, Quiet> quiet;
    std::unordered_map<std::string, Created> created;
    bool counts_opens = false;
    OpenCounts opens;
    dev_t device = 0;  // of the directory that is watched
    ino_t inode = 0;
  };

  void watch(std::size_t source);
  void unwatch(State& state);
  void lose(std::size_t source, const char* why);
  void read_events();
  void take_event(std::size_t source, std::uint32_t mask, const char* name);
  void scan_slice();
  bool list_slice(std::size_t source);
  void offer_found(std::size_t source);
  bool offer(std::size_t source, std::string name, Found found);
  bool offer_renamed(std::size_t source, std::string name);
  void forget_before_listing(std::size_t source);
  void end_listing(std::size_t source);
  void watch_quiet(std::size_t source, const std::string& name);
  void check_quiet(std::size_t source, std::int64_t now_ns);
  void note_created(std::size_t source, const char* name);
  void check_created(std::size_t source, std::int64_t now_ns);
  bool settles_created(std::size_t source, const std::string& name, const Created& created, std::int64_t now_ns);
  void await_look(std::size_t source, const std::string& name, bool refused);
  void count(std::size_t source, std::uint32_t mask, const char* name);
  bool is_another_directory(std::size_t source) const;
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
