// The subsystem "mfdata.rules/1" of the host: the routing rules addressed to this plugin.
#pragma once

#include <mfdata/plugin.h>

namespace mfdata {

const mfdata_rules* rules_table();

}  // namespace mfdata
