// One predicate with its arguments, compiled, and the questions to it. Shared by the process of the code rules and the test
// harness. Used on one thread; destroyed with the object.
#pragma once

#include <string>

#include "worker/plugin_host.hpp"

namespace mfdata {

class PredicateInstance {
 public:
  // `pattern` as a rule has it: "is_synop(AAXX)". The host outlives the instance.
  static Result<PredicateInstance> compile(PluginHost& host, const mfdata_plugin* plugin, const std::string& pattern);
  PredicateInstance(PredicateInstance&& other) noexcept : host_(std::exchange(other.host_, nullptr)), table_(other.table_), self_(other.self_) {}
  PredicateInstance& operator=(PredicateInstance&&) = delete;
  ~PredicateInstance();

  // 1 yes, 0 no, negative: it cannot tell, for the reason in `reason`.
  std::int32_t test(Treatment& treatment, const std::string& path, const TagSet& tags, std::int64_t deadline_ns, std::string& reason);

 private:
  PredicateInstance(PluginHost& host, const mfdata_predicate& table, void* self) : host_(&host), table_(table), self_(self) {}

  PluginHost* host_;  // none: it was moved from
  mfdata_predicate table_;
  void* self_;
};

}  // namespace mfdata
