#include "worker/predicate_instance.hpp"

#include "libmfdata/switch_rules.hpp"
#include "worker/callback.hpp"
#include "worker/plugin_library.hpp"

namespace mfdata {

Result<PredicateInstance> PredicateInstance::compile(PluginHost& host, const mfdata_plugin* plugin, const std::string& pattern) {
  const auto call = parse_predicate_call(pattern);
  if (!call) return Error{Code::kBadConfig, 0, "\"" + pattern + "\" is no predicate"};
  auto component = find_component(plugin, MFDATA_KIND_PREDICATE, call->predicate);
  if (!component) return component.error();
  const mfdata_predicate table = predicate_table(*component);
  if (!table.compile || !table.test) return Error{Code::kRefused, 0, "the predicate has no compile, or no test"};
  std::vector<mfdata_str> arguments;
  for (const std::string& argument : call->arguments) arguments.push_back({argument.data(), argument.size()});
  const mfdata_init* init = host.init_for_create();
  void* self = nullptr;
  host.create_error().clear();
  mfdata_rc rc = MFDATA_FAIL;
  {
    const Callback callback(host, "compile", nullptr, 0);
    rc = table.compile(init, arguments.data(), static_cast<std::uint32_t>(arguments.size()), &self);
  }
  if (rc == MFDATA_OK) return PredicateInstance(host, table, self);
  const std::string& why = host.create_error();
  return Error{Code::kBadConfig, 0, "the predicate does not accept it: " + (why.empty() ? "compile returned " + std::to_string(rc) : why)};
}

PredicateInstance::~PredicateInstance() {
  if (!host_ || !table_.destroy) return;
  const ForkGuard guard("destroy");
  table_.destroy(self_, host_);
}

std::int32_t PredicateInstance::test(Treatment& treatment, const std::string& path, const TagSet& tags, std::int64_t deadline_ns,
                                     std::string& reason) {
  treatment.begin_reading(path, tags);
  std::int32_t code = MFDATA_E_IO;
  {
    const Callback callback(*host_, "test", &treatment, deadline_ns);
    code = table_.test(self_, host_, treatment.input(0));
  }
  reason = code < 0 && treatment.reason.empty() ? "it returned " + std::to_string(code) : treatment.reason;
  return code;
}

}  // namespace mfdata
