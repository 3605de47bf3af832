// A home that is there for one plugin and goes away with the object: where mfdata-plugin run, validate and the test harness
// treat files as a loader's worker would, without a loader.
//
// The plugin is a folder (linked, not copied) or the text of its plugin.toml; the machine's own configuration plays no part in it. Every step that
// its configuration names is one that files can be sent to. Any number of them in one process, on any thread.
#pragma once

#include <string>
#include <vector>

#include "libmfdata/spool.hpp"
#include "wire/worker_settings.hpp"

namespace mfdata {

struct TrialPlan {
  std::string place;                 // directory that the home is made in; empty: that of temporary files
  bool keep = false;                 // the home stays, once all went well
  std::string folder;                // of the plugin, absolute; empty: there is none, but
  std::string manifest;              // the text of its plugin.toml
  std::string installed_as;          // its name in the home; empty: that of plugin.toml
  std::string override_file;         // a layer between that and `configuration`; empty: none
  std::string configuration;         // TOML, the last layer
  std::vector<std::string> targets;  // more "plugin/step" that files can be sent to
};

class TrialHome {
 public:
  static Result<TrialHome> make(TrialPlan plan);

  const Home& home() const { return home_; }
  // From now on it stays when the plan says so; whether it does.
  bool keep() { return place_.keep(plan_.keep); }
  const Settings& settings() const { return settings_; }
  const PluginSettings& plugin() const { return settings_.plugins.front(); }

  // With an empty name: the only one of its kind.
  Result<const StepSettings*> find(WorkerKind kind, const std::string& name) const;
  Result<wire::WorkerSettings> worker_settings(const StepSettings& step) const;
  Result<Spool> open_spool() const;

 private:
  // A directory that is removed with its content.
  class Place {
   public:
    explicit Place(std::string path) : path_(std::move(path)) {}
    Place(Place&& other) noexcept : path_(std::exchange(other.path_, "")), keep_(other.keep_) {}
    Place& operator=(Place&&) = delete;
    ~Place();
    bool keep(bool keeps) { return keep_ = keeps; }

   private:
    std::string path_;
    bool keep_ = false;
  };

  TrialHome(Place place, Home home, TrialPlan plan) : place_(std::move(place)), home_(std::move(home)), plan_(std::move(plan)) {}
  Result<void> install();
  Result<void> configure();

  Place place_;
  Home home_;
  TrialPlan plan_;
  Settings settings_;
};

// A plain copy, 0600, to another filesystem as well (copy_file of Boost 1.74 fails there).
Result<void> copy_plain_file(const std::string& from, const std::string& to);

// Every directory that a worker with these settings needs, and slot 0 of its step.
Result<void> prepare(const Spool& spool, const wire::WorkerSettings& worker);

}  // namespace mfdata
