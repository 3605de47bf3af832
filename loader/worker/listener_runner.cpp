#include "worker/listener_runner.hpp"

#include <atomic>
#include <optional>

#include "worker/callback.hpp"
#include "worker/listener_events.hpp"

namespace mfdata {
namespace {

// One listener from create to destroy.
class ListenerRun {
 public:
  ListenerRun(PluginHost& host, Channel& channel, const mfdata_listener& listener) : host_(host), channel_(channel), listener_(listener) {}

  Result<void> create() {
    host_.connect(channel_);
    pressure_ = host_.progress().pressure;
    const mfdata_init* init = host_.init_for_create();
    const Callback callback(host_, wire::Call::kCreate);
    if (listener_.create(init, &self_) == MFDATA_OK) return {};
    return Error{Code::kBadConfig, 0, "the listener does not start: " + host_.create_error()};
  }

  mfdata_rc run() {
    std::thread watcher([this] { watch(); });
    mfdata_rc rc = MFDATA_FAIL;
    {
      const Callback callback(host_, "run", nullptr, 0);
      rc = listener_.run(self_, &host_);
    }
    finished_ = true;
    timed([&] { watcher.join(); });  // an event that is under way
    timed([&] { host_.committer().close(); });  // every `done` comes before destroy
    return rc;
  }

  void destroy() {
    if (!listener_.destroy) return;
    const Callback callback(host_, wire::Call::kDestroy);
    listener_.destroy(self_, &host_);
  }

  bool asked() const { return asked_; }  // after `run`

 private:
  // What takes longer than the timeout is killed; a stop has its time already.
  template <class Wait>
  void timed(const Wait& wait) {
    std::optional<Callback> callback;
    if (!host_.cancelled()) callback.emplace(host_, wire::Call::kDrain);
    wait();
  }

  void watch() {
    std::deque<wire::JobName> none;
    bool asked = false;
    ListenerEvents events(host_, listener_, self_, pressure_);
    while (!finished_ && !(asked = channel_.receive(none, 250) || host_.cancelled())) {
      channel_.send_metrics(host_.take_metrics());
      events.turn();
    }
    asked_ = asked;
    if (finished_) return;
    host_.cancel();
    const ForkGuard guard("stop");
    listener_.stop(self_);
  }

  PluginHost& host_;
  Channel& channel_;
  const mfdata_listener& listener_;
  void* self_ = nullptr;
  std::uint32_t pressure_ = 0;  // before create
  std::atomic<bool> finished_{false};
  std::atomic<bool> asked_{false};
};

std::string shown(mfdata_rc rc) {
  return rc == MFDATA_OK ? "MFDATA_OK" : rc == MFDATA_CANCELLED ? "MFDATA_CANCELLED" : std::to_string(rc);
}

}  // namespace

Result<void> run_listener(PluginHost& host, Channel& channel, const mfdata_listener& listener) {
  if (!listener.create || !listener.run || !listener.stop) return Error{Code::kRefused, 0, "the listener has no create, run or stop"};
  ListenerRun it(host, channel, listener);
  MFDATA_TRY(it.create());
  channel.send(wire::Ready{"", 0});
  host.create_error().clear();
  const mfdata_rc rc = it.run();
  const std::string why = std::exchange(host.create_error(), "");
  it.destroy();
  channel.send_metrics(host.take_metrics());
  if (channel.lost()) return Error{Code::kIo, 0, "the listener is stopped: " + *channel.lost()};
  if (it.asked()) {
    if (rc != MFDATA_OK && rc != MFDATA_CANCELLED) {
      host.write_log(MFDATA_LOG_WARNING, "run returned " + shown(rc) + " when the listener was stopped" + (why.empty() ? "" : ": " + why));
    }
    host.progress().farewell = static_cast<std::uint32_t>(wire::Farewell::kAsked);
    return {};
  }
  return Error{Code::kIo, 0, "the listener ended although nobody has asked it to: run returned " + shown(rc) + (why.empty() ? "" : ", " + why)};
}

}  // namespace mfdata
