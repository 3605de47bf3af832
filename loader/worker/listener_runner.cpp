#include "worker/listener_runner.hpp"

#include <atomic>

namespace mfdata {

Result<void> run_listener(PluginHost& host, Channel& channel, const mfdata_listener& listener) {
  if (!listener.create || !listener.run || !listener.stop) return Error{Code::kRefused, 0, "the listener has no create, run or stop"};
  void* self = nullptr;
  const mfdata_init* init = host.init_for_create();
  host.enter(nullptr, 0);
  const mfdata_rc made = listener.create(init, &self);
  if (made != MFDATA_OK) return Error{Code::kBadConfig, 0, "the listener does not start: " + host.create_error()};
  channel.send(wire::Ready{"", 0});

  std::atomic<bool> finished{false};
  std::thread watcher([&] {
    std::deque<wire::JobName> none;
    while (!finished && !channel.receive(none, 250) && !host.cancelled()) {
      channel.send_metrics(host.take_metrics());
    }
    if (finished) return;
    host.cancel();
    listener.stop(self);
  });
  const mfdata_rc rc = listener.run(self, &host);
  finished = true;
  watcher.join();
  host.leave();
  const std::string why = host.create_error();
  if (listener.destroy) listener.destroy(self, &host);
  if (rc == MFDATA_OK || host.cancelled()) return {};
  return Error{Code::kIo, 0, "the listener ended: " + (why.empty() ? "run returned " + std::to_string(rc) : why)};
}

}  // namespace mfdata
