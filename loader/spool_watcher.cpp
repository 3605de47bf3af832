#include "spool_watcher.hpp"

#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "libmfdata/clock.hpp"
#include "libmfdata/filesystem_kind.hpp"
#include "libmfdata/open_writers.hpp"
#include "libmfdata/spool_layout.hpp"
#include "libmfdata/waiting_file.hpp"

namespace mfdata {
namespace {

constexpr int kSlice = 512;                    // directory entries between two looks at the loop
constexpr std::int64_t kCreatedFirst = 1'000'000'000;  // most names are closed by then
constexpr std::int64_t kCreatedLast = 60'000'000'000;
constexpr std::size_t kMaxCreated = 10'000;
constexpr std::size_t kMaxKept = 200'000;
constexpr std::size_t kCreatedAtOnce = 500;
constexpr double kPolledQuiet_s = 60;          // where no rename is ever seen, whatever the operator says
constexpr std::size_t kSortedAtOnce = 10'000;  // listed names are taken oldest first, in lots of this size
constexpr std::uint32_t kEvents = IN_CLOSE_WRITE | IN_MOVED_TO | IN_ONLYDIR | IN_DELETE_SELF | IN_MOVE_SELF;

std::int64_t nanoseconds(const timespec& time) { return time.tv_sec * 1'000'000'000 + time.tv_nsec; }

}  // namespace

SpoolWatcher::SpoolWatcher(EventLoop& loop, const Disk& disk, std::size_t max_quiet, Taker taker)
    : loop_(loop), disk_(disk), max_quiet_(max_quiet), taker_(std::move(taker)) {
  inotify_ = FileDescriptor(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!inotify_) taker_.warn(std::string("no inotify (") + std::strerror(errno) + "): directories are listed every second");
  if (inotify_) readable_ = loop_.on_readable(inotify_.get(), [this] { read_events(); });
  slice_timer_ = loop_.timer([this] { scan_slice(); });
}

void SpoolWatcher::set(std::size_t source, WatchedSource watched) {
  if (source == sources_.size()) {
    sources_.emplace_back();
    states_.emplace_back(max_quiet_);
  }
  State& state = states_[source];
  // What other rules mean by an event may be wrong for these; else the watch goes on, and its counts hold.
  if (sources_[source].ready.kind != watched.ready.kind) state.opens.clear();
  sources_[source] = std::move(watched);
  state.removed = false;
  state.quiet.clear();
  state.created.clear();
  state.listing.reset();
  state.unseen = true;
  watch(source);
  state.wanted = !state.lost;
  loop_.arm(slice_timer_, EventLoop::now_ns());
}

void SpoolWatcher::remove(std::size_t source) {
  unwatch(states_[source]);
  states_[source] = State(max_quiet_);
  states_[source].removed = true;
}

void SpoolWatcher::unwatch(State& state) {
  if (state.watch < 0) return;
  by_watch_.erase(state.watch);
  ::inotify_rm_watch(inotify_.get(), state.watch);
  state.watch = -1;
}

void SpoolWatcher::heed_attributes(std::size_t source, bool heeded) {
  State& state = states_[source];
  if (state.attributes == heeded || state.removed) return;
  state.attributes = heeded;
  if (!state.lost) watch(source);  // the same watch, with other events
}

void SpoolWatcher::rescan() {
  for (std::size_t source = 0; source < states_.size(); ++source) {
    if (states_[source].removed) continue;
    if (!states_[source].lost) watch(source);  // a parent may have been renamed, or something mounted over it
    states_[source].wanted = true;
  }
  loop_.arm(slice_timer_, EventLoop::now_ns());
}

void SpoolWatcher::rescan(std::size_t source) {
  states_[source].unseen = true;
  states_[source].wanted = !states_[source].lost;
  loop_.arm(slice_timer_, EventLoop::now_ns());
}

bool SpoolWatcher::scanning() const {
  return std::any_of(states_.begin(), states_.end(), [](const State& state) { return state.wanted || state.listing; });
}

void SpoolWatcher::watch(std::size_t source) {
  State& state = states_[source];
  const std::string path = disk_.absolute(sources_[source].path);
  const auto kind = filesystem_of(path);
  const bool elsewhere = kind && !kind->local;
  // Where a lease tells who has a file open, the events of opens would only cost.
  state.counts_opens = sources_[source].arrivals && (!sources_[source].may_ask_of_any || elsewhere);
  const bool wants_opens = state.counts_opens && sources_[source].ready.kind != Readiness::Kind::kQuiet;
  const std::uint32_t more = (sources_[source].arrivals ? IN_CREATE : 0U) | (state.attributes ? IN_ATTRIB : 0U) |
                             (wants_opens ? IN_OPEN | IN_CLOSE_NOWRITE : 0U);
  const int number = inotify_ ? ::inotify_add_watch(inotify_.get(), path.c_str(), kEvents | more) : -1;
  const int errnum = errno;
  if (number < 0 && inotify_ && (errnum == ENOENT || errnum == ENOTDIR)) return lose(source, std::strerror(errnum));
  if (struct stat st; ::stat(path.c_str(), &st) == 0) {
    if (state.inode != 0 && (state.inode != st.st_ino || state.device != st.st_dev)) {
      state.unseen = true;
      state.opens.clear();
    }
    state.device = st.st_dev;
    state.inode = st.st_ino;
  }
  const bool was_polled = std::exchange(state.polled, number < 0 || elsewhere);
  if (state.polled && !was_polled) {
    taker_.warn("directory " + path + " is listed every second: " +
                (number < 0 ? std::string("no inotify watch (") + std::strerror(errnum) + ")"
                            : "it is on " + kind->name + ", which tells nothing of what other machines change") +
                (sources_[source].ready.kind == Readiness::Kind::kRename ? "; no rename is seen there, files are taken when they have been quiet" : ""));
  }
  if (state.lost) taker_.warn("directory " + path + " is back");
  state.lost = false;
  if (state.watch != number) unwatch(state);
  state.watch = number;
  if (number >= 0) by_watch_[number] = source;
}

void SpoolWatcher::lose(std::size_t source, const char* why) {
  State& state = states_[source];
  if (!state.lost) taker_.warn("directory " + disk_.absolute(sources_[source].path) + " is gone (" + why + "): waiting for it to come back");
  unwatch(state);
  state.lost = true;
  state.listing.reset();
  state.quiet.clear();
  state.created.clear();
  state.opens.clear();
  state.unseen = true;
  taker_.forget(source);
}

void SpoolWatcher::read_events() {
  alignas(inotify_event) static std::array<char, 64 * 1024> buffer;
  for (int round = 0; round < 8; ++round) {
    const ssize_t length = ::read(inotify_.get(), buffer.data(), buffer.size());
    if (length <= 0) return;
    for (const char* at = buffer.data(); at < buffer.data() + length;) {
      const auto* event = reinterpret_cast<const inotify_event*>(at);
      at += sizeof *event + event->len;
      if ((event->mask & IN_Q_OVERFLOW) != 0) {
        taker_.overflow();
        for (State& state : states_) {
          state.unseen = true;
          state.opens.lose_track();
        }
        rescan();
        continue;
      }
      const auto source = by_watch_.find(event->wd);
      if (source != by_watch_.end()) take_event(source->second, event->mask, event->len > 0 ? event->name : "");
    }
    if (static_cast<std::size_t>(length) < buffer.size() / 2) return;
  }
}

void SpoolWatcher::take_event(std::size_t index, std::uint32_t mask, const char* name) {
  const WatchedSource& source = sources_[index];
  if ((mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED | IN_UNMOUNT)) != 0) {
    lose(index, (mask & IN_MOVE_SELF) != 0 ? "moved away" : "removed");
    return;
  }
  if (*name == '\0' || (mask & IN_ISDIR) != 0) return;
  if ((mask & (IN_OPEN | IN_CLOSE_NOWRITE)) != 0) return count(index, mask, name);
  if (ignored(source, name)) return;
  if (states_[index].counts_opens && source.ready.kind != Readiness::Kind::kQuiet) count(index, mask, name);
  if (source.arrivals && source.ready.kind == Readiness::Kind::kRename && (mask & IN_CLOSE_WRITE) != 0) return;
  if ((mask & IN_CREATE) != 0) return note_created(index, name);
  if ((mask & (IN_CLOSE_WRITE | IN_MOVED_TO)) == 0) {
    if (!taker_.offer(index, name, Found::kChanged)) states_[index].starved = true;
    return;
  }
  State& state = states_[index];
  if (!state.created.empty()) state.created.erase(name);
  if (!state.quiet.empty() && source.ready.kind == Readiness::Kind::kRename) state.quiet.erase(name);
  if (offer(index, name, Found::kEvent)) return;
  state.starved = true;
  keep(index, name);
}

// An open of a name that is not counted costs no more than a look: that of one that is ignored, or has been taken. With
// ready = "rename" only renamed names are counted, since others are no arrivals and may go unseen.
void SpoolWatcher::count(std::size_t index, std::uint32_t mask, const char* name) {
  OpenCounts& opens = states_[index].opens;
  if ((mask & IN_OPEN) != 0) return opens.opened(name);
  if ((mask & IN_CLOSE_NOWRITE) != 0) return opens.closed_by_reader(name);
  if (sources_[index].ready.kind == Readiness::Kind::kRename && (mask & IN_MOVED_TO) == 0) {
    if ((mask & IN_CREATE) != 0) return opens.forget(name);
    if (!opens.knows(name)) return;
  }
  if ((mask & IN_CREATE) != 0) return opens.created(name);
  if ((mask & IN_MOVED_TO) != 0) return opens.completed(name, clock_ns(CLOCK_REALTIME));
  if ((mask & IN_CLOSE_WRITE) != 0) return opens.closed_by_writer(name, clock_ns(CLOCK_REALTIME));
}

void SpoolWatcher::count_opens(std::size_t index, const std::string& name) {
  if (states_[index].counts_opens) states_[index].opens.watch(name);
}

void SpoolWatcher::keep(std::size_t index, const std::string& name) {
  State& state = states_[index];
  if (!sources_[index].arrivals || sources_[index].ready.kind != Readiness::Kind::kRename) return;  // a listing finds it
  if (state.kept.size() < kMaxKept) {
    state.kept.insert(name);
  } else {
    state.unseen = true;
  }
}

bool SpoolWatcher::ignored(const WatchedSource& source, const char* name) const {
  if (!source.arrivals) return name[0] == '.';
  return is_ignored(source.ignore, name);
}

bool SpoolWatcher::offer(std::size_t index, std::string name, Found found) {
  const Readiness::Kind kind = sources_[index].ready.kind;
  if (sources_[index].arrivals && kind == Readiness::Kind::kQuiet) {
    watch_quiet(index, name);
    return true;
  }
  if (sources_[index].arrivals && kind == Readiness::Kind::kRename && found == Found::kListed) return offer_renamed(index, std::move(name));
  return taker_.offer(index, std::move(name), found);
}

// Where only a rename makes a file complete. A listing does not tell how a name came to be: when renames went unseen, one that
// nothing is known of has to be quiet for long.
bool SpoolWatcher::offer_renamed(std::size_t index, std::string name) {
  State& state = states_[index];
  if (state.kept.erase(name) > 0) {
    if (taker_.offer(index, name, Found::kQuiet)) return true;
    state.kept.insert(std::move(name));
    return false;
  }
  if (!state.lists_unseen && !state.polled) return true;
  if (sources_[index].ready.quiet_s < 0 && !state.polled) {
    ++state.left;
  } else {
    watch_quiet(index, name);
  }
  return true;
}

// ---- listing

void SpoolWatcher::scan_slice() {
  for (std::size_t turn = 0; turn < states_.size(); ++turn) {  // one slice of each in turn
    const std::size_t source = (next_slice_ + turn) % states_.size();
    State& state = states_[source];
    if (state.lost || (!state.wanted && !state.listing)) continue;
    if (list_slice(source)) state.listing.reset();
    next_slice_ = source + 1;
    break;
  }
  const bool more = std::any_of(states_.begin(), states_.end(), [](const State& s) { return !s.lost && (s.wanted || s.listing); });
  if (more) loop_.arm(slice_timer_, EventLoop::now_ns());
}

// True when the listing is finished, for good or for want of room.
bool SpoolWatcher::list_slice(std::size_t index) {
  State& state = states_[index];
  const WatchedSource& source = sources_[index];
  if (!state.listing) {
    state.wanted = state.starved = false;
    forget_before_listing(index);
    state.listing.reset(::opendir(disk_.absolute(source.path).c_str()));
    if (!state.listing) {
      lose(index, std::strerror(errno));
      return true;
    }
  }
  for (int entries = 0; entries < kSlice; ++entries) {
    const dirent* entry = ::readdir(state.listing.get());
    if (!entry) {
      offer_found(index);
      end_listing(index);
      return true;
    }
    if (entry->d_type == DT_DIR || ignored(source, entry->d_name)) continue;
    std::int64_t age = 0;
    struct stat st;
    if (source.arrivals && ::fstatat(::dirfd(state.listing.get()), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0) age = nanoseconds(st.st_mtim);
    state.found.emplace_back(age, entry->d_name);
    if (state.found.size() >= kSortedAtOnce) {
      offer_found(index);
      if (state.starved) {
        end_listing(index);
        return true;
      }
    }
  }
  return false;
}

// What is queued of a directory is found again by its listing, but not what only an event could tell.
void SpoolWatcher::forget_before_listing(std::size_t index) {
  State& state = states_[index];
  const WatchedSource& source = sources_[index];
  state.found.clear();
  state.left = 0;
  state.lists_unseen = std::exchange(state.unseen, false);
  const auto stands = [&](const std::string& name) { return disk_.exists(source.path + '/' + name); };
  state.opens.drop_gone(stands);
  if (!source.arrivals || source.ready.kind != Readiness::Kind::kRename) return taker_.forget(index);
  std::erase_if(state.kept, [&](const std::string& name) { return !stands(name); });
}

void SpoolWatcher::end_listing(std::size_t index) {
  State& state = states_[index];
  if (state.starved) state.unseen = state.unseen || state.lists_unseen;
  if (state.left == 0) return;
  taker_.warn(std::to_string(state.left) + (state.left == 1 ? " file stands" : " files stand") + " in " + disk_.absolute(sources_[index].path) +
              " that came while nobody saw renames, and are left there (ready_at_start = \"leave\"): rename them to have them taken");
}

void SpoolWatcher::offer_found(std::size_t index) {
  State& state = states_[index];
  std::sort(state.found.begin(), state.found.end());
  for (auto& [age, name] : state.found) {
    if (offer(index, std::move(name), Found::kListed)) continue;
    state.starved = true;
    break;
  }
  state.found.clear();
  if (state.starved) state.found.shrink_to_fit();
}

// ---- files that are complete when they have been quiet

void SpoolWatcher::watch_quiet(std::size_t index, const std::string& name) {
  State& state = states_[index];
  if (state.quiet.size() >= max_quiet_) {
    state.starved = true;
    return;
  }
  auto status = disk_.status(sources_[index].path + '/' + name);
  if (!status) return;
  state.quiet.try_emplace(name, Quiet{status->st_size, nanoseconds(status->st_ctim), EventLoop::now_ns()});
}

void SpoolWatcher::check_quiet(std::size_t index, std::int64_t now_ns) {
  State& state = states_[index];
  const double quiet_s = sources_[index].ready.quiet_s;
  const auto quiet_ns = static_cast<std::int64_t>((quiet_s < 0 ? kPolledQuiet_s : quiet_s) * 1e9);
  for (auto at = state.quiet.begin(); at != state.quiet.end();) {
    auto status = disk_.status(sources_[index].path + '/' + at->first);
    if (!status) {
      at = state.quiet.erase(at);
      continue;
    }
    const std::int64_t changed = nanoseconds(status->st_ctim);
    if (status->st_size != at->second.size || changed != at->second.ctime_ns) {
      at->second = {status->st_size, changed, now_ns};
    } else if (now_ns - at->second.since_ns >= quiet_ns && taker_.offer(index, at->first, Found::kQuiet)) {
      if (state.counts_opens) state.opens.completed(at->first, clock_ns(CLOCK_REALTIME));
      at = state.quiet.erase(at);
      continue;
    }
    ++at;
  }
}

// ---- names that came without being closed

// link(2), and linkat(2) of a file without a name, raise no other event. Of a file that is being written the close will tell.
void SpoolWatcher::note_created(std::size_t index, const char* name) {
  const Readiness::Kind kind = sources_[index].ready.kind;
  State& state = states_[index];
  if (kind == Readiness::Kind::kQuiet) return watch_quiet(index, name);
  if (kind == Readiness::Kind::kClose && !state.polled) await_look(index, name, false);
}

void SpoolWatcher::await_single_link(std::size_t index, const std::string& name) { await_look(index, name, true); }

// Bounded: what does not fit is found by a listing.
void SpoolWatcher::await_look(std::size_t index, const std::string& name, bool refused) {
  auto& created = states_[index].created;
  const std::int64_t now = EventLoop::now_ns();
  if (created.size() >= kMaxCreated && !created.contains(name)) return;
  created.insert_or_assign(name, Created{now, now + kCreatedFirst, refused});
}

void SpoolWatcher::check_created(std::size_t index, std::int64_t now_ns) {
  State& state = states_[index];
  std::size_t looked_at = 0;
  for (auto at = state.created.begin(); at != state.created.end() && looked_at < kCreatedAtOnce;) {
    Created& created = at->second;
    if (now_ns < created.next_ns) {
      ++at;
      continue;
    }
    ++looked_at;
    if (settles_created(index, at->first, created, now_ns)) {
      at = state.created.erase(at);
      continue;
    }
    created.next_ns = now_ns + std::clamp(now_ns - created.since_ns, kCreatedFirst, kCreatedLast);
    ++at;
  }
}

// True when it needs no further look. Where nobody can tell whether it is written, one that nobody has opened under this name
// is offered; of one that is open, a close will tell. A second link of the same file is often about to go.
bool SpoolWatcher::settles_created(std::size_t index, const std::string& name, const Created& created, std::int64_t now_ns) {
  State& state = states_[index];
  auto file = disk_.open_file(sources_[index].path + '/' + name);
  if (file.is(Code::kGone)) {
    state.opens.forget(name);
    return true;
  }
  const bool open = state.opens.is_open(name);
  if (!file) return !open && offer(index, name, Found::kEvent);
  struct stat st;
  if (::fstat(file->get(), &st) != 0) return true;
  if (S_ISREG(st.st_mode)) {
    const OpenWriters writers = ask_by_lease(file->get());
    if (writers == OpenWriters::kSome || (writers == OpenWriters::kUnknown && open)) return false;
    if (st.st_nlink > 1 && (created.refused || now_ns - created.since_ns < kCreatedLast)) return false;
  }
  file->close();
  return offer(index, name, Found::kEvent);
}

// Something was mounted over it, or one of its parents was renamed: no event tells.
bool SpoolWatcher::is_another_directory(std::size_t index) const {
  const State& state = states_[index];
  struct stat st;
  if (!sources_[index].arrivals || state.lost || state.inode == 0 || ::stat(disk_.absolute(sources_[index].path).c_str(), &st) != 0) return false;
  return st.st_dev != state.device || st.st_ino != state.inode;
}

void SpoolWatcher::tick(std::int64_t now_ns) {
  bool wanted = false;
  for (std::size_t source = 0; source < states_.size(); ++source) {
    State& state = states_[source];
    if (state.removed) continue;
    if (state.lost && ::access(disk_.absolute(sources_[source].path).c_str(), R_OK | X_OK) == 0) {
      watch(source);
      state.wanted = !state.lost;
    }
    if (is_another_directory(source)) {
      taker_.warn("another directory stands at " + disk_.absolute(sources_[source].path) + " now, mounted or moved there: it is watched instead");
      state.listing.reset();
      state.quiet.clear();
      state.created.clear();
      watch(source);
      state.unseen = true;
      state.wanted = !state.lost;
    }
    if (!state.quiet.empty()) check_quiet(source, now_ns);
    if (!state.created.empty()) check_created(source, now_ns);
    if (state.polled && !state.listing) state.wanted = true;
    if (state.starved && !state.listing && taker_.has_room(source)) state.wanted = true;
    wanted = wanted || state.wanted;
  }
  if (wanted) loop_.arm(slice_timer_, EventLoop::now_ns());
}

}  // namespace mfdata
