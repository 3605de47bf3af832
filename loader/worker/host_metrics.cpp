// The functions of mfdata_host for metrics: arguments are checked here, definitions by wire::check_metric.
#include <cmath>

#include "worker/host_calls.hpp"
#include "worker/plugin_host.hpp"

namespace mfdata::host_calls {

mfdata_rc metric_new(mfdata_ctx* ctx, int32_t kind, mfdata_str name, mfdata_str help, const mfdata_str* label_keys, uint32_t n_keys,
                     const double* buckets, uint32_t n_buckets, uint64_t* id) {
  if (!ctx || !id || !usable(name) || !usable(help)) return MFDATA_E_ARG;
  if (n_keys > 8 || n_buckets > 32 || (n_keys && !label_keys) || (n_buckets && !buckets)) return MFDATA_E_ARG;
  PluginHost& host = PluginHost::of(ctx);
  if (!host.in_callback()) return MFDATA_E_STATE;
  if (host.settings().task == wire::Task::kPredicates) return MFDATA_E_UNSUPPORTED;
  wire::MetricDefinition metric{kind, std::string(view(name).substr(0, 200)), std::string(view(help).substr(0, 2000)), {}, {}};
  for (uint32_t i = 0; i < n_keys; ++i) {
    if (!usable(label_keys[i])) return MFDATA_E_ARG;
    metric.label_keys.emplace_back(view(label_keys[i]).substr(0, 200));
  }
  if (n_buckets) metric.buckets.assign(buckets, buckets + n_buckets);
  if (auto good = wire::check_metric(metric); !good) return refuse(ctx, good.error());
  auto made = host.add_metric(std::move(metric));
  if (!made) return refuse(ctx, made.error());
  *id = *made;
  return MFDATA_OK;
}

mfdata_rc metric_add(mfdata_ctx* ctx, uint64_t id, double value, const mfdata_str* label_values, uint32_t n) {
  if (!ctx || !std::isfinite(value) || (n && !label_values) || n > 8) return MFDATA_E_ARG;
  std::vector<std::string> labels;
  for (uint32_t i = 0; i < n; ++i) {
    if (!usable(label_values[i])) return MFDATA_E_ARG;
    labels.push_back(wire::label_value(view(label_values[i])));
  }
  return answer(ctx, PluginHost::of(ctx).change_metric(id, value, std::move(labels)));
}

}  // namespace mfdata::host_calls
