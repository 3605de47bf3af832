// A configuration as it is handed from the thread that reads it to the loop: whole, and never changed again.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "event_loop.hpp"
#include "libmfdata/file_descriptor.hpp"
#include "libmfdata/settings.hpp"
#include "wire/start_trials.hpp"
#include "wire/worker_settings.hpp"

namespace mfdata {

struct Configuration {
  // Without what the loader itself has no use for, the rules and the [custom] of the plugins: `workers` has them.
  Settings settings;
  // What the workers of each step are told, sealed, in the order of the plugins and of their steps; sources and targets are
  // the loop's to add.
  std::vector<wire::WorkerSettings> workers;
  std::vector<KeyPlaces> places;  // where the keys of each of them are written
  Problems problems;              // with any of them it is not to be used
};

// Reads everything that is on disk now. May take seconds where there are very many rules.
std::shared_ptr<const Configuration> read_configuration(const Home& home);

// Reads beside the loop, one configuration at a time, and hands it over on the loop's thread. Where no thread can be had (a limit
// of processes), the loop reads by itself.
class ConfigurationReader {
 public:
  using Taker = std::function<void(std::shared_ptr<const Configuration>)>;
  ConfigurationReader(EventLoop& loop, const Home& home, Taker taker);
  ~ConfigurationReader();  // waits for what is being read
  ConfigurationReader(const ConfigurationReader&) = delete;
  ConfigurationReader& operator=(const ConfigurationReader&) = delete;

  bool busy() const { return busy_; }
  void start();  // when it is not busy

 private:
  void read();
  void finish();

  const Home& home_;
  const Taker taker_;
  FileDescriptor done_;  // an eventfd
  EventLoop::Handle on_done_;
  bool busy_ = false;
  std::thread thread_;
  std::shared_ptr<const Configuration> read_;  // the thread's until it ends
};

}  // namespace mfdata
