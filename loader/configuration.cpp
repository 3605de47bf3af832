#include "configuration.hpp"

#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include <exception>
#include <system_error>

namespace mfdata {
namespace {

constexpr int kNice = 5;  // files that flow come first

}  // namespace

std::shared_ptr<const Configuration> read_configuration(const Home& home) {
  auto all = std::make_shared<Configuration>();
  all->settings = load_settings(home, all->problems);
  if (!all->problems.empty()) return all;
  for (const PluginSettings& plugin : all->settings.plugins) {
    for (const StepSettings& step : plugin.steps) {
      all->workers.push_back(wire::settings_for(all->settings, home, plugin, step, all->problems));
      wire::seal(all->workers.back());
      all->places.push_back(key_places(plugin));
    }
  }
  for (PluginSettings& plugin : all->settings.plugins) {
    plugin.rules = {};
    plugin.custom = ConfigValue(ConfigValue::Table());
  }
  return all;
}

ConfigurationReader::ConfigurationReader(EventLoop& loop, const Home& home, Taker taker)
    : home_(home), taker_(std::move(taker)), done_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  check(static_cast<bool>(done_), "no eventfd");
  on_done_ = loop.on_readable(done_.get(), [this] { finish(); });
}

ConfigurationReader::~ConfigurationReader() {
  if (thread_.joinable()) thread_.join();
}

void ConfigurationReader::start() {
  check(!busy(), "two configurations are read at a time");
  busy_ = true;
  try {
    thread_ = std::thread([this] {
      (void)::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), kNice);  // of this thread alone, and of those that it starts
      read();
    });
  } catch (const std::system_error&) {
    read();
  }
}

void ConfigurationReader::read() {
  try {
    read_ = read_configuration(home_);
  } catch (const std::exception& error) {  // no memory, for example
    auto none = std::make_shared<Configuration>();
    none->problems.push_back({Location{}, std::string("the configuration cannot be read: ") + error.what(), "", Severity::kError});
    read_ = std::move(none);
  }
  const std::uint64_t one = 1;
  (void)!::write(done_.get(), &one, sizeof one);
}

void ConfigurationReader::finish() {
  std::uint64_t ignored = 0;
  (void)!::read(done_.get(), &ignored, sizeof ignored);
  if (!busy()) return;
  if (thread_.joinable()) thread_.join();
  busy_ = false;
  taker_(std::move(read_));
}

}  // namespace mfdata
