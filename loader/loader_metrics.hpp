// The metrics of DESIGN section 8, and the HTTP server that shows them (/metrics, /healthz, /readyz). The only place that
// knows prometheus-cpp. Counters are atomic: the server's threads read them while the loop counts.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "http_server.hpp"
#include "libmfdata/result.hpp"
#include "wire/worker_protocol.hpp"

namespace mfdata {

class LoaderMetrics {
 public:
  LoaderMetrics();
  ~LoaderMetrics();

  // Serves on "address:port" (port 0: any; `port` tells), or no more when it is empty. /healthz is well while the loop turns,
  // /readyz while nothing keeps files from flowing.
  Result<void> serve(const std::string& listen);
  int port() const;
  void set_unready(const std::vector<std::string>& reasons);  // none: ready
  void turned(std::int64_t now_ns) { last_turn_ns_ = now_ns; }  // of CLOCK_MONOTONIC

  void file_done(const std::string& plugin, const std::string& step, const wire::Done& done, bool arrived,
                 const std::string& source);
  void accepted(const std::string& source);
  void deposited(const std::string& source, std::uint64_t files, std::uint64_t bytes, std::uint64_t repeats);
  void routed(const std::string& from, const std::string& to);
  void refused(const std::string& source, const std::string& reason);
  void worker_exit(const std::string& plugin, const std::string& step, const std::string& reason);
  void overflow();
  // What has to be told about it, once: why it is dropped. Empty: nothing.
  std::string plugin_metric(const std::string& plugin, const wire::MetricDelta& delta);

  void set_queue(const std::string& plugin, const std::string& step, double files);
  void set_workers(const std::string& plugin, const std::string& step, const std::string& state, double number);
  void set_oldest(const std::string& plugin, const std::string& step, double seconds);
  void set_trash_files(double files);
  void set_step_trash(const std::map<std::string, std::size_t>& files);  // by dotted step; one that is left out keeps its number
  void set_suspended(const std::string& plugin, const std::string& step, bool suspended);
  void set_health(const std::string& plugin, const std::string& step, std::optional<std::uint8_t> state);  // MFDATA_HEALTH_*; nothing: it says nothing
  void set_room(bool entrances_open, double free_bytes, double free_inodes);
  void set_log_problems(std::size_t files);
  void set_config_generation(double generation);
  void config_error();
  void forget_step(const std::string& plugin, const std::string& step);  // its queue and workers; what was counted stays

 private:
  struct Families;
  struct PluginFamily;
  PluginFamily* plugin_family(const std::string& name, int kind);
  HttpServer::Reply answer(const std::string& path) const;
  std::unique_ptr<Families> families_;
  std::atomic<std::int64_t> last_turn_ns_{0};
  mutable std::mutex unready_mutex_;
  std::string unready_;  // why; a reason each line
  std::string listen_;   // where server_ serves
  std::unique_ptr<HttpServer> server_;  // the last: its thread reads what stands above
};

}  // namespace mfdata
