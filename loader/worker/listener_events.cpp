#include "worker/listener_events.hpp"

#include "libmfdata/clock.hpp"
#include "worker/callback.hpp"

namespace mfdata {

namespace {

constexpr std::int64_t kSecond_ns = 1'000'000'000;

// The listener's timeout holds for these calls too.
class Timed {
 public:
  Timed(PluginHost& host, std::string& reason) : host_(host), page_(host.progress()), guard_("tick") {
    host.enter_event(reason);
    page_.call = static_cast<std::uint32_t>(wire::Call::kTick);
    page_.called_ns = static_cast<std::uint64_t>(monotonic_ns());
  }
  Timed(const Timed&) = delete;
  Timed& operator=(const Timed&) = delete;
  ~Timed() {
    host_.leave_event();
    page_.called_ns = 0;
  }

 private:
  PluginHost& host_;
  wire::ProgressPage& page_;
  ForkGuard guard_;
};

}  // namespace

ListenerEvents::ListenerEvents(PluginHost& host, const mfdata_listener& listener, void* self, std::uint32_t pressure)
    : host_(host), listener_(listener), self_(self), pressure_(pressure) {}

ListenerEvents::Version ListenerEvents::version_of(const struct stat& st) {
  if (st.st_ino == 0) return {};
  return {st.st_dev, st.st_ino, st.st_size, st.st_ctim.tv_sec * kSecond_ns + st.st_ctim.tv_nsec};
}

void ListenerEvents::turn() {
  tell_pressure();
  const std::int64_t now = monotonic_ns();
  if (now < next_ns_) return;
  next_ns_ = now + kSecond_ns;
  tell_paths();
  if (!listener_.tick) return;
  const mfdata_tick* tick = host_.tick_at(now, last_tick_ns_);
  last_tick_ns_ = now;
  mfdata_rc rc = MFDATA_OK;
  std::string reason;
  {
    const Timed timed(host_, reason);
    rc = listener_.tick(self_, &host_, tick);
  }
  tell(rc == MFDATA_OK ? "" : "tick returned " + std::to_string(rc) + (reason.empty() ? "" : ": " + reason));
}

void ListenerEvents::tell_pressure() {
  const std::uint32_t now = host_.progress().pressure;
  if (now == pressure_) return;
  pressure_ = now;
  if (!listener_.pressure_changed) return;
  const mfdata_rc rc = now == 0 ? MFDATA_OK : now == 1 ? MFDATA_E_BUSY : MFDATA_E_FULL;
  std::string reason;
  {
    const Timed timed(host_, reason);
    listener_.pressure_changed(self_, &host_, rc, now == 0 ? 0 : host_.progress().retry_after_ms.load());
  }
  if (!reason.empty()) host_.write_log(MFDATA_LOG_WARNING, "pressure_changed: " + reason);
}

void ListenerEvents::tell_paths() {
  if (!listener_.path_changed) return;
  for (const PluginHost::WatchedPath& watched : host_.watched_paths()) {
    struct stat st {};
    if (::stat(watched.path.c_str(), &st) != 0) st = {};
    const Version now = version_of(st);
    const auto [known, fresh] = paths_.try_emplace(watched.path, version_of(watched.first));
    if (known->second == now) continue;
    known->second = now;
    std::string reason;
    {
      const Timed timed(host_, reason);
      listener_.path_changed(self_, &host_, {watched.path.c_str(), watched.path.size()});
    }
    if (!reason.empty()) host_.write_log(MFDATA_LOG_WARNING, "path_changed: " + reason);
  }
}

// Once, until it is another one.
void ListenerEvents::tell(std::string trouble) {
  if (trouble == told_) return;
  told_ = std::move(trouble);
  if (!told_.empty()) host_.write_log(MFDATA_LOG_WARNING, told_);
}

}  // namespace mfdata
