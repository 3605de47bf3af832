#include "worker/listener_events.hpp"

#include "libmfdata/clock.hpp"
#include "worker/callback.hpp"

namespace mfdata {

namespace {

constexpr std::int64_t kSecond_ns = 1'000'000'000;

// The listener's timeout holds for these calls too.
class Timed {
 public:
  explicit Timed(PluginHost& host) : page_(host.progress()), guard_("tick") {
    page_.call = static_cast<std::uint32_t>(wire::Call::kTick);
    page_.called_ns = static_cast<std::uint64_t>(monotonic_ns());
  }
  Timed(const Timed&) = delete;
  Timed& operator=(const Timed&) = delete;
  ~Timed() { page_.called_ns = 0; }

 private:
  wire::ProgressPage& page_;
  ForkGuard guard_;
};

}  // namespace

ListenerEvents::ListenerEvents(PluginHost& host, const mfdata_listener& listener, void* self)
    : host_(host), listener_(listener), self_(self), pressure_(host.progress().pressure) {
  for (const std::string& path : host.watched_paths()) paths_[path] = version_of(path);  // as create found them
}

ListenerEvents::Version ListenerEvents::version_of(const std::string& path) {
  struct stat st;
  if (::stat(path.c_str(), &st) != 0) return {};
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
  {
    const Timed timed(host_);
    rc = listener_.tick(self_, &host_, tick);
  }
  if (rc != MFDATA_OK) host_.write_log(MFDATA_LOG_WARNING, "tick returned " + std::to_string(rc));
}

void ListenerEvents::tell_pressure() {
  const std::uint32_t now = host_.progress().pressure;
  if (now == pressure_) return;
  pressure_ = now;
  if (!listener_.pressure_changed) return;
  const mfdata_rc rc = now == 0 ? MFDATA_OK : now == 1 ? MFDATA_E_BUSY : MFDATA_E_FULL;
  const Timed timed(host_);
  listener_.pressure_changed(self_, &host_, rc, now == 0 ? 0 : host_.progress().retry_after_ms.load());
}

void ListenerEvents::tell_paths() {
  if (!listener_.path_changed) return;
  for (const std::string& path : host_.watched_paths()) {
    const Version now = version_of(path);
    const auto [known, fresh] = paths_.try_emplace(path, now);
    if (fresh || known->second == now) continue;
    known->second = now;
    const Timed timed(host_);
    listener_.path_changed(self_, &host_, {path.data(), path.size()});
  }
}

}  // namespace mfdata
