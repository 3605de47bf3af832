// How large each structure was in 1.0, which is the least that a plugin may give: one that says less was not filled, or not
// for this interface. sizeof would refuse the plugins of then once the structures grow.
#pragma once

#include <mfdata/plugin.h>

#include <cstddef>

namespace mfdata {

#define MFDATA_END_OF(structure, last) (offsetof(structure, last) + sizeof(structure::last))
inline constexpr std::size_t kLeastPlugin = MFDATA_END_OF(mfdata_plugin, query);
inline constexpr std::size_t kLeastComponent = MFDATA_END_OF(mfdata_component, table);
inline constexpr std::size_t kLeastStep = MFDATA_END_OF(mfdata_step, destroy);
inline constexpr std::size_t kLeastListener = MFDATA_END_OF(mfdata_listener, path_changed);
inline constexpr std::size_t kLeastPredicate = MFDATA_END_OF(mfdata_predicate, destroy);
inline constexpr std::size_t kLeastDelivery = MFDATA_END_OF(mfdata_delivery, tags_suffix);
inline constexpr std::size_t kLeastDepositOptions = MFDATA_END_OF(mfdata_deposit_options, idempotency_key);
inline constexpr std::size_t kLeastRule = MFDATA_END_OF(mfdata_rule, reserved0);
#undef MFDATA_END_OF

}  // namespace mfdata
