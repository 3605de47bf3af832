/* @NAME@: a step that writes the first byte of each file into a tag and passes the file on. */
#include <mfdata/plugin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static mfdata_str str(const char *text) {
  mfdata_str s;
  s.p = text;
  s.n = strlen(text);
  return s;
}

struct instance {
  const mfdata_host *host;
  char dest_dir[200];
};

static mfdata_rc create(const mfdata_init *init, void **self) {
  mfdata_str dest = {NULL, 0};
  struct instance *it;
  if (init->host->config_text(init->ctx, str("dest_dir"), &dest) != MFDATA_OK || dest.n == 0 || dest.n >= sizeof it->dest_dir) {
    return init->host->set_error(init->ctx, MFDATA_FAIL, str("write dest_dir = \"plugin/step\" in [custom]"));
  }
  it = (struct instance *)calloc(1, sizeof *it);
  if (it == NULL) return MFDATA_E_NOMEM;
  it->host = init->host;
  memcpy(it->dest_dir, dest.p, dest.n);
  *self = it;
  return MFDATA_OK;
}

static mfdata_rc process(void *self, mfdata_ctx *ctx, mfdata_file *file) {
  const struct instance *it = (const struct instance *)self;
  mfdata_str path;
  char text[8];
  int first;
  FILE *in;
  mfdata_rc rc = it->host->file_path(ctx, file, &path);
  if (rc != MFDATA_OK) return rc;
  in = fopen(path.p, "rb");
  if (in == NULL) return it->host->set_error(ctx, MFDATA_FAIL, str("cannot read the file"));
  first = getc(in);
  fclose(in);
  snprintf(text, sizeof text, "%d", first);
  rc = it->host->tag_set_hop(ctx, file, str("first_byte"), str(text), 0);
  if (rc != MFDATA_OK) return rc;
  return it->host->emit(ctx, file, MFDATA_OP_MOVE, str(it->dest_dir));
}

static void destroy(void *self, mfdata_ctx *ctx) {
  (void)ctx;
  free(self);
}

static const mfdata_step step = {sizeof(mfdata_step), 0, create, process, NULL, NULL, NULL, NULL, destroy};
static const mfdata_component component = {sizeof(mfdata_component), MFDATA_KIND_STEP, "main", "tags the first byte", &step};
static const mfdata_component *const components[] = {&component};
static const mfdata_plugin plugin = {sizeof(mfdata_plugin), MFDATA_ABI_MAJOR, MFDATA_ABI_MINOR, MFDATA_NEED_MINOR, "@NAME@", "0.1.0", "passes files on",
                                     "BSD-3-Clause", "1.0", components, 1, 0, NULL};

const mfdata_plugin *mfdata_plugin_v1(void) { return &plugin; }
