/* The plugin is loaded from its folder, with its plugin.toml, as a worker loads it. */
#undef NDEBUG
#include <assert.h>
#include <mfdata/harness.h>
#include <stdio.h>
#include <string.h>

static mfdata_harness *opened(const char *config) {
  mfdata_harness_options options = {0};
  mfdata_harness *harness = NULL;
  options.struct_size = sizeof options;
  options.plugin = ".";
  options.config = config;
  if (mfdata_harness_open(&options, &harness) != MFDATA_OK) fprintf(stderr, "%s\n", mfdata_harness_error(harness));
  assert(*mfdata_harness_error(harness) == '\0');
  return harness;
}

static const mfdata_harness_result *run(mfdata_harness *harness, const char *text) {
  mfdata_harness_file file = {0};
  file.struct_size = sizeof file;
  file.content.p = text;
  file.content.n = strlen(text);
  file.name = "greeting.txt";
  return mfdata_harness_run(harness, "main", &file, 1);
}

static const char *tag(const mfdata_harness_output *output, const char *name) {
  uint32_t i;
  for (i = 0; i < output->n_tags; ++i) {
    if (strcmp(output->tags[i].name.p, name) == 0) return output->tags[i].value.p;
  }
  return "";
}

static void the_first_byte_is_tagged(void) {
  mfdata_harness *harness = opened("[custom]\ndest_dir = \"other/main\"\n");
  const mfdata_harness_result *result = run(harness, "hello\n");
  assert(result != NULL && strcmp(result->outcome.p, "ok") == 0);
  assert(result->n_outputs == 1);
  assert(strcmp(result->outputs[0]->to.p, "other/main") == 0);
  assert(strcmp(result->outputs[0]->name.p, "greeting.txt") == 0);
  assert(strcmp(result->outputs[0]->content.p, "hello\n") == 0);
  assert(strcmp(tag(result->outputs[0], "latest.first_byte.main.first_byte"), "104") == 0);
  mfdata_harness_close(harness);
}

static void a_failing_call_sends_the_file_to_trash(void) {
  mfdata_harness *harness = opened(NULL);
  const mfdata_harness_result *result;
  assert(mfdata_harness_fail(harness, "tag_set_hop", 1, MFDATA_E_LIMIT) == MFDATA_OK);
  result = run(harness, "hello\n");
  assert(strcmp(result->outcome.p, "failed") == 0);
  assert(strcmp(result->ends[0]->fate.p, "trash") == 0);
  assert(result->ends[0]->code == MFDATA_E_LIMIT);
  assert(result->failed_calls == 1 && result->n_outputs == 0);
  assert(strcmp(run(harness, "hello\n")->outcome.p, "ok") == 0); /* the first call of its name, and no other */
  mfdata_harness_close(harness);
}

static void a_full_disk_is_waited_for(void) {
  mfdata_harness *harness = opened(NULL);
  assert(mfdata_harness_fail(harness, "emit", 0, MFDATA_E_FULL) == MFDATA_OK);
  assert(strcmp(run(harness, "hello\n")->ends[0]->fate.p, "queue") == 0);
  assert(mfdata_harness_heal(harness) == MFDATA_OK);
  assert(strcmp(mfdata_harness_rerun(harness, NULL)->outcome.p, "ok") == 0);
  mfdata_harness_close(harness);
}

int main(void) {
  the_first_byte_is_tagged();
  a_failing_call_sends_the_file_to_trash();
  a_full_disk_is_waited_for();
  puts("3 passed");
  return 0;
}
