/* Names every structure of the interface, so that a comparison of two builds of this library sees all of it. */
#include <mfdata/plugin.h>

struct mfdata_interface {
  mfdata_host *host;
  mfdata_init *init;
  mfdata_tick *tick;
  mfdata_step *step;
  mfdata_listener *listener;
  mfdata_predicate *predicate;
  mfdata_rule *rule;
  mfdata_rules *rules;
  mfdata_component *component;
  mfdata_plugin *plugin;
  mfdata_delivery *delivery;
};

const void *mfdata_interface(struct mfdata_interface *all);
const void *mfdata_interface(struct mfdata_interface *all) { return all; }
