/* minimal: the whole of a plugin in C, by hand, as a tutorial of mfdata/plugin.h.
 *
 * It writes the length of each file into a tag and passes the file on to the step named by the key dest_dir.
 * Read it from the bottom: the description names a component, the component has a table of functions, and the
 * functions are called with a host table that offers everything else.
 */
#include <mfdata/plugin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* The host passes and takes strings as pointer and length; literals need a small wrapper. */
static mfdata_str str(const char *text) {
  mfdata_str s;
  s.p = text;
  s.n = strlen(text);
  return s;
}

/* One instance of the step: what `create` makes and every other function gets back as `self`. */
struct minimal {
  const mfdata_host *host;
  char dest_dir[200];
};

/* create: called once in each worker process. Reads the configuration and keeps the host table, which is constant
 * and lives until `destroy` returns. What config_text returns lives only until create returns: it is copied. */
static mfdata_rc create(const mfdata_init *init, void **self) {
  const mfdata_host *host = init->host;
  struct minimal *minimal;
  mfdata_str dest = {NULL, 0};
  if (host->config_text(init->ctx, str("dest_dir"), &dest) != MFDATA_OK || dest.n == 0) {
    return host->set_error(init->ctx, MFDATA_FAIL, str("write dest_dir = \"plugin/step\" in [custom]"));
  }
  minimal = (struct minimal *)calloc(1, sizeof *minimal);
  if (minimal == NULL || dest.n >= sizeof minimal->dest_dir) {
    free(minimal);
    return host->set_error(init->ctx, MFDATA_FAIL, str("dest_dir is too long"));
  }
  minimal->host = host;
  memcpy(minimal->dest_dir, dest.p, dest.n);
  *self = minimal;
  return MFDATA_OK;
}

/* process: called for each file. Nothing that it does is visible to anybody until it returns MFDATA_OK; with any
 * other result the host forgets the tag and the emit below, and applies the policy that belongs to the result. */
static mfdata_rc process(void *self, mfdata_ctx *ctx, mfdata_file *file) {
  const struct minimal *minimal = (const struct minimal *)self;
  const mfdata_host *host = minimal->host;
  mfdata_str path;
  struct stat st;
  char text[24];
  mfdata_rc rc = host->file_path(ctx, file, &path); /* an absolute path; this host ends it with a NUL as well */
  if (rc != MFDATA_OK) return rc;
  if (stat(path.p, &st) != 0) return host->set_error(ctx, MFDATA_FAIL, str("cannot look at the file"));
  snprintf(text, sizeof text, "%lld", (long long)st.st_size);

  /* A tag of this hop: becomes "<n>.minimal.main.length" and "latest.minimal.main.length". */
  rc = host->tag_set_hop(ctx, file, str("length"), str(text), 0);
  if (rc != MFDATA_OK) return rc;

  /* The input itself goes on. Had we emitted nothing, returning OK would end the file here. */
  rc = host->emit(ctx, file, MFDATA_OP_MOVE, str(minimal->dest_dir));
  if (rc == MFDATA_E_NOTFOUND) return host->set_error(ctx, MFDATA_FAIL, str("there is no step dest_dir"));
  return rc;
}

static void destroy(void *self, mfdata_ctx *ctx) {
  (void)ctx;
  free(self);
}

/* The tables. struct_size tells a host of another age which members are there. */
static const mfdata_step step = {sizeof(mfdata_step), 0, create, process, NULL, NULL, NULL, NULL, destroy};

static const mfdata_component component = {sizeof(mfdata_component), MFDATA_KIND_STEP, "main",
                                           "tags the length and passes the file on", &step};
static const mfdata_component *const components[] = {&component};

static const mfdata_plugin plugin = {
    sizeof(mfdata_plugin), MFDATA_ABI_MAJOR, MFDATA_ABI_MINOR, MFDATA_NEED_MINOR,
    "minimal",             "1.0.0",          "the smallest plugin in C", "BSD-3-Clause", "1.0",
    components,            1,                0,                 NULL};

/* The only export of the library (sdk/mfdata_plugin.map hides the rest). */
const mfdata_plugin *mfdata_plugin_v1(void) { return &plugin; }
