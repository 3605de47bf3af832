// Loading of a plugin's shared object: the only place that calls dlopen.
//
// The file and its folder must belong to root or to the owner of the home, and nobody else may write them. The
// object is loaded RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE and never unloaded: an upgrade is a new process. Everything
// that the description says is checked before use, through the sizes that it states itself.
#pragma once

#include <mfdata/plugin.h>

#include <string>

#include "libmfdata/result.hpp"

namespace mfdata {

// The host's own version of the ABI.
inline constexpr unsigned kHostAbiMinor = MFDATA_ABI_MINOR;

// `owner` is the user whose files are trusted besides root's.
Result<const mfdata_plugin*> load_plugin(const std::string& library, unsigned owner);
// The same of a library that its author has just built: whoever owns it, and may write it.
Result<const mfdata_plugin*> load_own_plugin(const std::string& library);
// What both check of a description; `library` is for the message.
Result<void> check_description(const std::string& library, const mfdata_plugin* plugin);

// The component `id` of that kind, or an error that names what there is.
Result<const mfdata_component*> find_component(const mfdata_plugin* plugin, int kind, const std::string& id);

// The table of a component, copied as far as the plugin filled it; the rest is zero.
mfdata_step step_table(const mfdata_component* component);
mfdata_listener listener_table(const mfdata_component* component);
mfdata_predicate predicate_table(const mfdata_component* component);

// Owner and mode of the library and of its folder: the error says what to do.
Result<void> check_ownership(const std::string& library, unsigned owner);

}  // namespace mfdata
