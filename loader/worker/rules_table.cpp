#include "worker/rules_table.hpp"

#include <algorithm>
#include <cstring>

#include "worker/guarded_call.hpp"
#include "worker/least_sizes.hpp"
#include "worker/plugin_host.hpp"

namespace mfdata {
namespace {

mfdata_str str(const std::string& text) { return {text.data(), text.size()}; }

std::uint64_t count(mfdata_ctx* ctx) { return ctx ? PluginHost::of(ctx).rules().size() : 0; }

mfdata_rc get(mfdata_ctx* ctx, std::uint64_t index, mfdata_rule* rule) {
  if (!ctx || !rule || rule->struct_size < kLeastRule) return MFDATA_E_ARG;
  const auto& rules = PluginHost::of(ctx).rules();
  if (index >= rules.size()) return MFDATA_E_NOTFOUND;
  const PluginHost::Rule& known = rules[index];
  mfdata_rule full{};
  full.struct_size = static_cast<std::uint32_t>(std::min<std::size_t>(rule->struct_size, sizeof full));
  full.type = str(known.rule->type);
  full.tag = str(known.rule->tag);
  full.pattern = str(known.rule->pattern);
  full.plugin = str(known.rule->plugin);
  full.where = str(known.where);
  full.targets = known.targets.data();
  full.n_targets = static_cast<std::uint32_t>(known.targets.size());
  std::memcpy(rule, &full, full.struct_size);
  return MFDATA_OK;
}

std::int32_t test(mfdata_ctx* ctx, std::uint64_t index, mfdata_file* file) {
  if (!ctx) return MFDATA_E_ARG;
  PluginHost& host = PluginHost::of(ctx);
  Treatment* treatment = host.treatment();
  if (!treatment) return MFDATA_E_STATE;
  if (!file || !treatment->owns(file) || index >= host.rules().size() || host.rules()[index].rule->type != "plugin") return MFDATA_E_ARG;
  const wire::Answer answer = host.predicates().test(static_cast<std::uint32_t>(index), file->absolute, file->tags, host.deadline_ns());
  if (answer.code < 0) host.write_log(MFDATA_LOG_DEBUG, host.rules()[index].where + ": " + answer.reason);
  return answer.code < 0 ? answer.code : answer.code != 0;
}

}  // namespace

const mfdata_rules* rules_table() {
  static constexpr mfdata_rules kTable = {sizeof(mfdata_rules), 0, GuardedCall<count>::call, GuardedCall<get>::call, GuardedCall<test>::call};
  return &kTable;
}

}  // namespace mfdata
