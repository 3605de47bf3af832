#include "worker/describe.hpp"

#include <unistd.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "worker/plugin_library.hpp"

namespace mfdata {

static const char* kind_word(int kind) {
  switch (kind) {
    case MFDATA_KIND_STEP: return "step";
    case MFDATA_KIND_LISTENER: return "listener";
    case MFDATA_KIND_PREDICATE: return "predicate";
    default: return "unknown";
  }
}

static nlohmann::json shown(const mfdata_plugin& plugin) {
  const auto text = [](const char* value) { return std::string(value ? value : ""); };
  nlohmann::json out;
  out["id"] = text(plugin.id);
  out["version"] = text(plugin.version);
  out["summary"] = text(plugin.summary);
  out["license"] = text(plugin.license);
  out["abi"] = {plugin.abi_major, plugin.abi_minor};
  out["need_minor"] = plugin.need_minor;
  out["components"] = nlohmann::json::array();
  for (std::uint32_t i = 0; i < plugin.n_components; ++i) {
    const mfdata_component* component = plugin.components[i];
    out["components"].push_back({{"kind", kind_word(component->kind)}, {"id", text(component->id)}, {"summary", text(component->summary)}});
  }
  return out;
}

int describe(const std::string& library) {
  const auto plugin = load_plugin(library, ::geteuid());
  if (!plugin) {
    std::fprintf(stderr, "%s\n", plugin.error().text.c_str());
    return 1;
  }
  nlohmann::json out = shown(**plugin);
  const auto again = load_plugin(library, ::geteuid());
  out["constant"] = again && *again == *plugin && shown(**again) == out;
  std::puts(out.dump(2, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
  return 0;
}

}  // namespace mfdata
