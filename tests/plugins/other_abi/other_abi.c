/* other_abi: a plugin of another major version. The host must not look at anything behind the version. */
#include <mfdata/plugin.h>

static const mfdata_component *const components[] = {(const mfdata_component *)(const void *)16};
static const mfdata_plugin plugin = {sizeof(mfdata_plugin), MFDATA_ABI_MAJOR + 1, 0, 0, "other_abi", "1.0.0",
                                     "of another major version", "BSD-3-Clause", "2.0", components, 1, 0, NULL};

const mfdata_plugin *mfdata_plugin_v1(void) { return &plugin; }
