#include "worker/predicate_runner.hpp"

#include <algorithm>
#include <map>

#include "libmfdata/clock.hpp"
#include "libmfdata/context.hpp"
#include "worker/plugin_library.hpp"
#include "worker/predicate_instance.hpp"

namespace mfdata {
namespace {

std::int64_t deadline_ns(double timeout_s) { return monotonic_ns() + static_cast<std::int64_t>(timeout_s * 1e9); }

// A plugin whose predicates are named, with the configuration that they see.
class PredicatePlugin {
 public:
  PredicatePlugin(const Spool& spool, const wire::WorkerSettings& common, const wire::PredicateLibrary& library, wire::ProgressPage& progress, unsigned owner,
                  const Surroundings& surroundings)
      : settings_(settings_of(common, library)), host_(spool, settings_, progress, surroundings), loaded_(load_plugin(library.library, owner)) {}

  PluginHost& host() { return host_; }
  const Result<const mfdata_plugin*>& loaded() const { return loaded_; }

 private:
  static wire::WorkerSettings settings_of(const wire::WorkerSettings& common, const wire::PredicateLibrary& library) {
    wire::WorkerSettings settings = common;
    settings.rules.clear();
    settings.step.plugin = library.plugin;
    settings.step.name.clear();
    settings.library = library.library;
    settings.plugin_dir = library.plugin_dir;
    settings.custom = library.custom;
    return settings;
  }

  wire::WorkerSettings settings_;
  PluginHost host_;
  Result<const mfdata_plugin*> loaded_;
};

Result<PredicateInstance> compile(PredicatePlugin& plugin, const SwitchRule& rule) {
  return plugin.loaded() ? PredicateInstance::compile(plugin.host(), *plugin.loaded(), rule.pattern) : plugin.loaded().error();
}

}  // namespace

Result<void> run_predicates(const Spool& spool, const wire::WorkerSettings& settings, wire::ProgressPage& progress, Channel& channel, unsigned owner,
                            const Surroundings& surroundings) {
  std::map<std::string, PredicatePlugin> plugins;
  std::map<std::uint32_t, PredicateInstance> rules;
  for (const std::uint32_t number : settings.code_rules) {
    const SwitchRule& rule = settings.rules.at(number);
    auto library = std::find_if(settings.predicates.begin(), settings.predicates.end(), [&](const auto& one) { return one.plugin == rule.plugin; });
    // Loaded for its first rule: what that does to this process is charged to it.
    auto compiled = library == settings.predicates.end()
                        ? Result<PredicateInstance>(Error{Code::kNotFound, 0, "its plugin is not known"})
                        : compile(plugins.try_emplace(library->plugin, spool, settings, *library, progress, owner, surroundings).first->second, rule);
    channel.send(wire::Answer{0, number, compiled ? MFDATA_OK : MFDATA_E_NOTFOUND, compiled ? "" : compiled.error().text});
    if (compiled) rules.emplace(number, std::move(*compiled));
  }
  const Slot nowhere{settings.step.dotted(), settings.slot};
  Treatment treatment(spool, nowhere, settings);
  std::string text;
  Context context;
  while (auto message = channel.next()) {
    if (std::holds_alternative<wire::Stop>(*message)) break;
    if (const auto* part = std::get_if<wire::ContextPart>(&*message)) {
      text = part->first ? part->text : text + part->text;
      if (auto decoded = decode(text)) context = std::move(*decoded);
    } else if (const auto* question = std::get_if<wire::Question>(&*message)) {
      const auto rule = rules.find(question->rule);
      wire::Answer answer{question->serial, question->rule, MFDATA_E_NOTFOUND, "no such rule"};
      if (rule != rules.end()) {
        answer.code = rule->second.test(treatment, question->path, context.tags, deadline_ns(settings.predicate_timeout_s), answer.reason);
      }
      channel.send(std::move(answer));
    }
  }
  return {};
}

}  // namespace mfdata
