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

// What a component cannot run without; empty: it has all of it.
static std::string missing_functions(const mfdata_component* component) {
  switch (component->kind) {
    case MFDATA_KIND_STEP: {
      const mfdata_step step = step_table(component);
      if (!step.create) return "no create";
      return step.process || step.process_batch ? "" : "neither process nor process_batch";
    }
    case MFDATA_KIND_LISTENER: {
      const mfdata_listener listener = listener_table(component);
      return !listener.create ? "no create" : !listener.run ? "no run" : !listener.stop ? "no stop" : "";
    }
    case MFDATA_KIND_PREDICATE: {
      const mfdata_predicate predicate = predicate_table(component);
      return !predicate.compile ? "no compile" : !predicate.test ? "no test" : "";
    }
    default: return "";
  }
}

// A plugin with a component that can never run is refused before it is installed.
static Result<void> check_functions(const mfdata_plugin& plugin) {
  for (std::uint32_t i = 0; i < plugin.n_components; ++i) {
    const mfdata_component* component = plugin.components[i];
    const std::string missing = missing_functions(component);
    if (missing.empty()) continue;
    return Error{Code::kRefused, 0, std::string("the ") + kind_word(component->kind) + " \"" + (component->id ? component->id : "") + "\" has " + missing +
                                        ": it can never run. Fill its table in, or leave the component out"};
  }
  return {};
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
  if (const auto complete = check_functions(**plugin); !complete) {
    std::fprintf(stderr, "%s\n", complete.error().text.c_str());
    return 1;
  }
  nlohmann::json out = shown(**plugin);
  const auto again = load_plugin(library, ::geteuid());
  out["constant"] = again && *again == *plugin && shown(**again) == out;
  std::puts(out.dump(2, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
  return 0;
}

}  // namespace mfdata
