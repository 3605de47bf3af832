/* reference: a plugin in C that touches every structure of the interface. tests/sdk/abi_matrix.py builds it from each
 * header, released or yet to come, and runs it on each host; the key `act` says what it does with a file.
 *
 *   work                 what the interface offers, and a file for archive/main
 *   ask, dare            calls a member of the host's table that only the next header has: asked for by MFDATA_HAS, or not
 *   delivery_flag, tag_flag, operation, result
 *                        a value that only the next header knows, or nobody
 *   subsystem            a subsystem that nobody has, and the rules with every member that the header knows
 *
 * Macros change its description: SHORT_STEP, SHORT_DELIVERY, SHORT_RULE, SHORT_COMPONENT, SHORT_PLUGIN (a
 * structure that says less than it had in 1.0), HUGE (they claim 4 GiB), UNKNOWN_KIND, ONLY_UNKNOWN_KIND, UNKNOWN_FLAGS. */
#include <mfdata/plugin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef MFDATA_NEXT_VALUE
#define MFDATA_NEXT_VALUE
#endif
#ifndef MFDATA_NEXT_MAJOR
#define MFDATA_NEXT_MAJOR
#endif
#ifndef MFDATA_ENTRY
#define MFDATA_ENTRY mfdata_plugin_v1
#endif
#ifndef MFDATA_NEXT
#define MFDATA_NEXT_RESULT 5
#define MFDATA_NEXT_KIND 4
#define MFDATA_DELIVERY_NEXT 4u
#define MFDATA_TAG_NEXT 2u
#endif
#if defined(HUGE)
#define SIZE(T) UINT32_MAX
#else
#define SIZE(T) (uint32_t)sizeof(T)
#endif
#ifdef SHORT_STEP
#define STEP_SIZE (uint32_t)offsetof(mfdata_step, process_batch)
#else
#define STEP_SIZE SIZE(mfdata_step)
#endif
#ifdef SHORT_DELIVERY
#define DELIVERY_SIZE (uint32_t)offsetof(mfdata_delivery, basename)
#else
#define DELIVERY_SIZE SIZE(mfdata_delivery)
#endif
#ifdef SHORT_RULE
#define RULE_SIZE (uint32_t)offsetof(mfdata_rule, targets)
#else
#define RULE_SIZE SIZE(mfdata_rule)
#endif
#ifdef UNKNOWN_FLAGS
#define FLAGS UINT32_MAX
#else
#define FLAGS 0
#endif
#define MAYBE __attribute__((unused))

struct reference {
  const mfdata_host *host;
  char act[40];
  char folder[400];
};

static mfdata_str str(const char *text) {
  mfdata_str s;
  s.p = text;
  s.n = strlen(text);
  return s;
}

static mfdata_rc copied(const mfdata_init *init, const char *key, char *to, size_t room) {
  mfdata_str value = {NULL, 0};
  const mfdata_rc rc = init->host->config_text(init->ctx, str(key), &value);
  if (rc != MFDATA_OK || value.n >= room) return init->host->set_error(init->ctx, MFDATA_FAIL, str("a key is missing or too long"));
  memcpy(to, value.p, value.n);
  return MFDATA_OK;
}

static mfdata_rc create(const mfdata_init *init, void **self) {
  struct reference *reference = (struct reference *)calloc(1, sizeof *reference);
  if (reference == NULL) return MFDATA_E_NOMEM;
  reference->host = init->host;
  if (copied(init, "act", reference->act, sizeof reference->act) != MFDATA_OK || copied(init, "folder", reference->folder, sizeof reference->folder) != MFDATA_OK) {
    free(reference);
    return MFDATA_FAIL;
  }
  *self = reference;
  return MFDATA_OK;
}

static mfdata_rc delivery(const struct reference *reference, mfdata_ctx *ctx, mfdata_file *file, uint32_t flags) {
  mfdata_delivery how;
  memset(&how, 0xaa, sizeof how); /* what is behind the size is not looked at */
  how.struct_size = DELIVERY_SIZE;
  how.flags = MFDATA_DELIVERY_MKDIRS | flags;
  how.mode = 0640;
  how.directory_mode = 0;
  how.basename = str("delivered");
  how.tags_suffix = str("");
  return reference->host->deliver(ctx, file, MFDATA_OP_COPY, str(reference->folder), &how);
}

/* The first rule, into a structure that is as large as the header knows it; what the host does not know stays as it was. */
static mfdata_rc rule(const struct reference *reference, mfdata_ctx *ctx, mfdata_file *file, size_t table) {
  const mfdata_host *host = reference->host;
  const mfdata_rules *rules;
  mfdata_rule first;
  char size[24];
  if (host->query(ctx, "mfdata.nobody/1", 8) != NULL) return host->set_error(ctx, MFDATA_FAIL, str("a subsystem that nobody has"));
  rules = (const mfdata_rules *)host->query(ctx, MFDATA_RULES, (uint32_t)table);
  if (rules == NULL) return host->tag_set_hop(ctx, file, str("rules"), str("none of this size"), 0);
  memset(&first, 0xaa, sizeof first);
  first.struct_size = RULE_SIZE;
  if (rules->count(ctx) != 1 || rules->get(ctx, 0, &first) != MFDATA_OK) return host->set_error(ctx, MFDATA_FAIL, str("the rules are not there"));
  snprintf(size, sizeof size, "%lu of %lu bytes", (unsigned long)first.struct_size, (unsigned long)sizeof first);
  if (first.n_targets != 1 || first.targets[0].n != strlen("reference/batch")) return host->set_error(ctx, MFDATA_FAIL, str("the rule is not whole"));
  return host->tag_set_hop(ctx, file, str("rule"), str(size), 0);
}

static mfdata_rc work(const struct reference *reference, mfdata_ctx *ctx, mfdata_file *file) {
  const mfdata_host *host = reference->host;
  mfdata_file *made = NULL;
  mfdata_str path = {NULL, 0};
  FILE *out;
  mfdata_rc rc = rule(reference, ctx, file, offsetof(mfdata_rules, test));
  if (rc == MFDATA_OK) rc = delivery(reference, ctx, file, 0);
  if (rc == MFDATA_OK) rc = host->tmp_file(ctx, file, &made);
  if (rc == MFDATA_OK) rc = host->file_path(ctx, made, &path);
  if (rc != MFDATA_OK) return rc;
  out = fopen(path.p, "w");
  if (out == NULL) return MFDATA_RETRY;
  fputs("made by the reference\n", out);
  if (fclose(out) != 0) return MFDATA_RETRY;
  rc = host->tag_set_hop(ctx, made, str("worked"), str("yes"), MFDATA_TAG_NO_LATEST);
  return rc == MFDATA_OK ? host->emit(ctx, made, MFDATA_OP_MOVE, str("archive/main")) : rc;
}

static mfdata_rc next_member(const struct reference *reference, mfdata_ctx *ctx, mfdata_file *file) {
  const mfdata_host *host = reference->host;
  const char *found = "the header has none";
#ifdef MFDATA_NEXT
  found = "no";
  if (strcmp(reference->act, "dare") == 0 || MFDATA_HAS(mfdata_host, host, next_member)) {
    host->next_member();
    found = "called";
  }
#endif
  const mfdata_rc rc = host->tag_set_hop(ctx, file, str("next"), str(found), 0);
  return rc == MFDATA_OK ? host->emit(ctx, file, MFDATA_OP_MOVE, str("archive/main")) : rc;
}

static mfdata_rc process(void *self, mfdata_ctx *ctx, mfdata_file *file) {
  const struct reference *reference = (const struct reference *)self;
  const mfdata_host *host = reference->host;
  const char *act = reference->act;
  mfdata_rc rc = MFDATA_OK;
  if (strcmp(act, "work") == 0) return work(reference, ctx, file);
  if (strcmp(act, "ask") == 0 || strcmp(act, "dare") == 0) return next_member(reference, ctx, file);
  if (strcmp(act, "subsystem") == 0) rc = rule(reference, ctx, file, sizeof(mfdata_rules));
  if (strcmp(act, "delivery_flag") == 0) rc = delivery(reference, ctx, file, MFDATA_DELIVERY_NEXT);
  if (strcmp(act, "tag_flag") == 0) rc = host->tag_set_hop(ctx, file, str("flag"), str("yes"), MFDATA_TAG_NEXT);
  if (strcmp(act, "operation") == 0) rc = host->emit(ctx, file, 1999, str("archive/main"));
  if (rc == MFDATA_E_UNSUPPORTED) return host->set_error(ctx, MFDATA_FAIL, str("the host does not support it"));
  if (rc == MFDATA_E_ARG) return host->set_error(ctx, MFDATA_FAIL, str("the host says that it is wrong"));
  if (rc != MFDATA_OK) return rc;
  rc = host->emit(ctx, file, MFDATA_OP_MOVE, str("archive/main"));
  return rc == MFDATA_OK && strcmp(act, "result") == 0 ? MFDATA_NEXT_RESULT : rc;
}

static mfdata_rc process_batch(void *self, mfdata_ctx *ctx, mfdata_file *const *files, uint32_t n, mfdata_rc *each) {
  uint32_t i;
  for (i = 0; i < n; ++i) each[i] = process(self, ctx, files[i]);
  return MFDATA_OK;
}

static void destroy(void *self, mfdata_ctx *ctx) {
  (void)ctx;
  free(self);
}

static const mfdata_step step = {STEP_SIZE, FLAGS, create, process, NULL, NULL, NULL, NULL, destroy MFDATA_NEXT_VALUE};
static const mfdata_step batch = {sizeof(mfdata_step), FLAGS, create, NULL, process_batch, NULL, NULL, NULL, destroy MFDATA_NEXT_VALUE};

#ifdef SHORT_COMPONENT
#define COMPONENT_SIZE 8
#elif defined(HUGE)
#define COMPONENT_SIZE UINT32_MAX
#else
#define COMPONENT_SIZE sizeof(mfdata_component)
#endif
MAYBE static const mfdata_component main_component = {COMPONENT_SIZE, MFDATA_KIND_STEP, "main", "does as it is told", &step MFDATA_NEXT_VALUE};
MAYBE static const mfdata_component batch_component = {COMPONENT_SIZE, MFDATA_KIND_STEP, "batch", "the same in batches", &batch MFDATA_NEXT_VALUE};
MAYBE static const mfdata_component unheard_of = {8, MFDATA_NEXT_KIND, "main", "of a kind that the host does not know", NULL MFDATA_NEXT_VALUE};
static const mfdata_component *const components[] = {
#ifdef ONLY_UNKNOWN_KIND
    &unheard_of
#elif defined(UNKNOWN_KIND)
    &unheard_of, &main_component, &batch_component
#else
    &main_component, &batch_component
#endif
};

#ifdef SHORT_PLUGIN
#define PLUGIN_SIZE 16
#elif defined(HUGE)
#define PLUGIN_SIZE UINT32_MAX
#else
#define PLUGIN_SIZE sizeof(mfdata_plugin)
#endif
static const mfdata_plugin plugin = {
    PLUGIN_SIZE, MFDATA_ABI_MAJOR, MFDATA_ABI_MINOR, MFDATA_NEED_MINOR, MFDATA_NEXT_MAJOR "reference", "1.0.0", "of the matrix of headers and hosts",
    "BSD-3-Clause", "1.0", components, sizeof components / sizeof components[0], FLAGS, NULL MFDATA_NEXT_VALUE};

const mfdata_plugin *MFDATA_ENTRY(void) { return &plugin; }
