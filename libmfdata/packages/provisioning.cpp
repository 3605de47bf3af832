// What an administrator lays into etc/provision for the next start.
#include <algorithm>
#include <boost/filesystem/operations.hpp>
#include <map>

#include "libmfdata/package.hpp"
#include "libmfdata/plugin_store.hpp"
#include "libmfdata/version.hpp"

namespace fs = boost::filesystem;

namespace mfdata {
namespace {

struct Offer {
  std::string path, name, version;
};

Result<Offer> offer_of(const fs::path& path) {
  if (path.extension() == ".mfplugin") {
    auto manifest = read_manifest(path.string());
    return manifest ? Result<Offer>({path.string(), manifest->name, manifest->version}) : manifest.error();
  }
  Problems problems;
  const PluginSettings folder = load_plugin_folder(path.string(), problems);
  return problems.empty() ? Result<Offer>({path.string(), folder.name, folder.version}) : Error{Code::kBadConfig, 0, problems.front().spell()};
}

std::vector<Offer> offers_of(const Home& home, std::vector<Error>& errors) {
  std::vector<Offer> offers;
  boost::system::error_code code;
  for (fs::directory_iterator at(home.root / "etc/provision", code), end; !code && at != end; at.increment(code)) {
    if (at->path().extension() != ".mfplugin" && !fs::is_regular_file(at->path() / "plugin.toml", code)) continue;
    auto offer = offer_of(at->path());
    offer ? offers.push_back(std::move(*offer)) : errors.push_back(offer.error());
  }
  std::sort(offers.begin(), offers.end(), [](const Offer& a, const Offer& b) {
    const int order = a.name.compare(b.name);
    return order != 0 ? order < 0 : compare_versions(a.version, b.version) < 0;
  });
  return offers;
}

// One that is kept was installed once: somebody went back.
bool is_wanted(const Offer& offer, const std::map<std::string, InstalledPlugin>& known) {
  const auto there = known.find(offer.name);
  if (there == known.end()) return true;
  const std::vector<std::string>& kept = there->second.versions;
  return compare_versions(offer.version, there->second.version) > 0 && std::find(kept.begin(), kept.end(), offer.version) == kept.end();
}

}  // namespace

std::vector<Error> provision_plugins(const Home& home, const GeneralSettings& settings, std::vector<InstalledPlugin>& installed) {
  std::vector<Error> unreadable, errors;
  std::vector<Offer> offers = offers_of(home, unreadable);
  std::map<std::string, InstalledPlugin> known;
  for (const InstalledPlugin& plugin : list_plugins(home)) known[plugin.name] = plugin;
  InstallOptions options;
  options.patience_s = settings.postinstall_timeout_s;
  for (bool progress = true; progress;) {  // what failed for want of another one may be right once that is there
    progress = false;
    errors = unreadable;
    std::erase_if(offers, [&](const Offer& offer) {
      if (!is_wanted(offer, known)) return true;
      auto done = install_plugin(home, settings, offer.path, options);
      if (!done) {
        errors.push_back(done.error());
        return false;
      }
      known[done->name] = *done;
      installed.push_back(*done);
      return progress = true;
    });
  }
  return errors;
}

}  // namespace mfdata
