/* no_entry: a shared object like any other, but no plugin. */
#include <mfdata/plugin.h>

__attribute__((visibility("default"))) int not_a_plugin(void);
int not_a_plugin(void) { return MFDATA_OK; }
