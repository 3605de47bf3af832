#include "arrival_warnings.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "control_client.hpp"
#include "libmfdata/filesystem_kind.hpp"
#include "libmfdata/open_writers.hpp"
#include "libmfdata/spool_layout.hpp"

namespace mfdata::tools {
namespace {

using nlohmann::json;

// The loader runs as the owner of its home, whoever starts it.
bool loader_may_lease(const Home& home) {
  const auto reply = ask_loader(home, R"({"command":"status"})");
  const json status = reply ? json::parse(*reply, nullptr, false) : json();
  if (status.is_object() && status.contains("pid")) {
    return may_lease_any_file(status.value("pid", 0));
  }
  struct stat st {};
  if (::stat(home.root.c_str(), &st) != 0) return false;
  return st.st_uid == 0 || (st.st_uid == ::geteuid() && may_lease_any_file());
}

std::string seconds(double value) {
  std::ostringstream out;
  out << value << " s";
  return out.str();
}

void add(Problems& problems, std::string text, std::string hint) {
  problems.push_back({Location{}, std::move(text), std::move(hint), Severity::kWarning});
}

std::set<std::string> watched_directories(const Settings& settings) {
  std::set<std::string> all = {layout::kIncoming};
  for (const WatchSettings& watch : settings.general.watches) all.insert(watch.directory);
  for (const PluginSettings& plugin : settings.plugins) {
    for (const StepSettings& step : plugin.steps) {
      all.insert(step.watched_directories.begin(), step.watched_directories.end());
    }
  }
  return all;
}

}  // namespace

Problems arrival_warnings(const Home& home, const Settings& settings) {
  Problems problems;
  if (!loader_may_lease(home)) {
    add(problems,
        "the loader may not ask whether a file of another user is still being written: it is not root, and has no "
        "CAP_LEASE. Such a file that only a listing finds, at a start or a reload, or that is known to be open, is taken "
        "when it has not changed for foreign_quiet (" +
            seconds(settings.general.defaults.foreign_quiet_s) + ')',
        "grant it in the unit with AmbientCapabilities=CAP_LEASE, or let senders write under a hidden name and rename");
  }
  for (const std::string& directory : watched_directories(settings)) {
    const std::string path = directory.starts_with('/') ? directory : settings.general.data_dir + '/' + directory;
    const auto kind = filesystem_of(path);
    if (!kind || kind->local) continue;
    add(problems,
        path + " is on " + kind->name + ", which tells nothing of what other machines change: it is listed every second",
        "senders there write under a name that [data] ignore leaves alone, and rename");
  }
  return problems;
}

}  // namespace mfdata::tools
