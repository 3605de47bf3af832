/* future: what a plugin of a later minor version looks like to this host. Each structure is larger than the host knows,
 * and there is a component of a kind that it has never heard of; it needs none of that. */
#include <mfdata/plugin.h>
#include <stdlib.h>
#include <string.h>

struct future {
  const mfdata_host *host;
  char dest_dir[200];
};

static mfdata_rc create(const mfdata_init *init, void **self) {
  struct future *future = (struct future *)calloc(1, sizeof *future);
  const mfdata_str key = {"dest_dir", 8};
  mfdata_str dest = {NULL, 0};
  if (future == NULL || init->host->config_text(init->ctx, key, &dest) != MFDATA_OK || dest.n >= sizeof future->dest_dir) {
    free(future);
    return MFDATA_FAIL;
  }
  future->host = init->host;
  memcpy(future->dest_dir, dest.p, dest.n);
  *self = future;
  return MFDATA_OK;
}

static mfdata_rc process(void *self, mfdata_ctx *ctx, mfdata_file *file) {
  const struct future *future = (const struct future *)self;
  mfdata_str dest;
  dest.p = future->dest_dir;
  dest.n = strlen(future->dest_dir);
  return future->host->emit(ctx, file, MFDATA_OP_MOVE, dest);
}

static void destroy(void *self, mfdata_ctx *ctx) {
  (void)ctx;
  free(self);
}

struct larger_step {
  mfdata_step known;
  const char *unknown[4];
};
struct larger_component {
  mfdata_component known;
  const char *unknown[4];
};
struct larger_plugin {
  mfdata_plugin known;
  const char *unknown[4];
};

static const struct larger_step step = {
    {sizeof(struct larger_step), 0, create, process, NULL, NULL, NULL, NULL, destroy}, {"?", "?", "?", "?"}};
static const struct larger_component unheard_of = {
    {sizeof(struct larger_component), 1999, "main", "of a kind that this host does not know", &step}, {"?", "?", "?", "?"}};
static const struct larger_component component = {
    {sizeof(struct larger_component), MFDATA_KIND_STEP, "main", "passes the file on", &step}, {"?", "?", "?", "?"}};
static const mfdata_component *const components[] = {&unheard_of.known, &component.known};

static const struct larger_plugin plugin = {
    {sizeof(struct larger_plugin), MFDATA_ABI_MAJOR, MFDATA_ABI_MINOR + 7, 0, "future", "1.0.0", "of a later minor version",
     "BSD-3-Clause", "1.7", components, 2, 0, NULL},
    {"?", "?", "?", "?"}};

const mfdata_plugin *mfdata_plugin_v1(void) { return &plugin.known; }
