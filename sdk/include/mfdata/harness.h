/* mfdata/harness.h - runs a plugin inside a test program, as mfdata-worker would, and shows what it did.
 *
 * Link with libmfdata-harness (pkg-config mfdata-harness). The plugin is loaded (a .so, or a folder with plugin.toml) or
 * linked into the test program. A harness makes a home of its own in a temporary directory, or in memory, and removes it
 * when it is closed; the host code is that of mfdata-worker, so what a test sees is what happens in earnest, but for:
 *
 *  - The plugin runs in the test program, on the thread that calls: its crash is the test's, and a debugger sees it.
 *    Nothing is killed when a deadline passes, the limits rlimit_* do not apply, and the umask is the program's.
 *  - Each "plugin/step" that the configuration names is a step that files can be sent to; they stay there.
 *  - A loaded library is never unloaded: its static variables live on in the next harness.
 *
 *   mfdata_harness_options options = {0};
 *   mfdata_harness_file file = {0};
 *   mfdata_harness *harness;
 *   const mfdata_harness_result *result;
 *   options.struct_size = sizeof options;
 *   options.plugin = "lines/lines.so";
 *   file.struct_size = sizeof file;
 *   file.content.p = "one\ntwo\n";
 *   file.content.n = 8;
 *   if (mfdata_harness_open(&options, &harness) == MFDATA_OK) {
 *     result = mfdata_harness_run(harness, "main", &file, 1);
 *     assert(strcmp(result->outcome.p, "ok") == 0);
 *   }
 *   mfdata_harness_close(harness);
 *
 * Rules, besides those of plugin.h:
 *  - A harness is used by one thread at a time, but for mfdata_harness_cancel. Any number of them may be open, each on its thread.
 *  - All memory that it hands out is its own, and lives until mfdata_harness_close. What is passed in is copied.
 *  - A function that returns a code returns MFDATA_OK or an MFDATA_E_*; one that returns a result returns NULL when it could not
 *    begin. mfdata_harness_error says why. That the plugin failed is a result, not an error.
 *  - Every mfdata_str in a result has a zero byte behind its end, so that strcmp serves where the text has none in it.
 */
#ifndef MFDATA_HARNESS_H
#define MFDATA_HARNESS_H
#include <mfdata/plugin.h>

#if defined(__GNUC__)
#define MFDATA_HARNESS_API __attribute__((visibility("default")))
#else
#define MFDATA_HARNESS_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mfdata_harness mfdata_harness;

/* Flags of mfdata_harness_options. */
#define MFDATA_HARNESS_MEMORY 1u /* the home stands in /dev/shm, not in the directory of temporary files (TMPDIR) */
#define MFDATA_HARNESS_KEEP 2u   /* the home stays when the harness is closed (mfdata_harness_home tells where) */

/* What is run, and how. Members that are left zero take their defaults. Since 1.0. */
typedef struct mfdata_harness_options {
  uint32_t struct_size;
  uint32_t flags; /* MFDATA_HARNESS_* */
  /* The plugin: its folder with plugin.toml, or the .so alone. NULL: `entry` is all there is of it. */
  const char *plugin;
  /* mfdata_plugin_v1 of a plugin that is linked into the test program. With it no library is loaded; `plugin` may still
   * name the folder whose plugin.toml counts. */
  const mfdata_plugin *(*entry)(void);
  /* The text of plugin.toml where `plugin` is no folder. NULL: one that offers every step and listener of the description under its
   * own name, and knows every key of `config`. */
  const char *manifest;
  /* TOML, the last layer of the plugin's configuration: "[custom]\ndest_dir = \"archive/main\"\n". NULL: none. */
  const char *config;
  /* More "plugin/step" that files can be sent to; the list ends with NULL. NULL: none. */
  const char *const *targets;
} mfdata_harness_options;

/* A file that is given to the plugin. Since 1.0. */
typedef struct mfdata_harness_file {
  uint32_t struct_size, flags;
  const char *path;        /* copied from there; NULL: `content` is what is in it */
  mfdata_str content;
  const char *name;        /* its first.core.original_basename, one name in a directory; NULL: the last part of `path`, or "file" */
  const char *const *tags; /* "NAME=VALUE", the list ends with NULL; NULL: none */
} mfdata_harness_file;

/* A name and a value: a tag, or a label of a metric. Frozen. */
typedef struct mfdata_harness_pair {
  mfdata_str name, value;
} mfdata_harness_pair;

/* No single input that an output came from: it is of a whole batch of several files (tmp_file or adopt without `inherit`), of a
 * listener, or it was delivered from a batch without its tags. */
#define MFDATA_HARNESS_NO_INPUT UINT32_MAX

/* A file that came out. Since 1.0. */
typedef struct mfdata_harness_output {
  uint32_t struct_size;
  uint32_t input;     /* index of the file that it came from, or MFDATA_HARNESS_NO_INPUT */
  mfdata_str to;      /* "plugin/step", or the absolute directory that it was delivered to */
  mfdata_str name;    /* of a delivery the name it has there; else first.core.original_basename */
  mfdata_str path;    /* where it stands, until the harness is closed; a delivery for good, unless it is in the home */
  mfdata_str content; /* empty when it is larger than 64 MiB: read `path` */
  uint64_t size;
  const mfdata_harness_pair *tags; /* in the order of their names */
  uint32_t n_tags, reserved0;
} mfdata_harness_output;

/* What became of a file that was given to the plugin. Since 1.0. */
typedef struct mfdata_harness_end {
  uint32_t struct_size;
  mfdata_rc code;     /* as the step returned it */
  /* "ok", "failed" (the failure policy applied), "retried", "skipped", "cancelled", "full" (it waits for room on the disk), "error" (of
   * the system), "settled" (not run: too many crashes, a broken context), "not started" (create failed). */
  mfdata_str outcome;
  mfdata_str reason;  /* as it reaches the log and trash; empty: none */
  /* "done" (it ended, or went on as an output), "trash", "retry" (it waits for another attempt), "queue" (it is back before its step). */
  mfdata_str fate;
  int64_t retry_ms;   /* "retry": milliseconds until then */
} mfdata_harness_end;

/* One line of the log. Since 1.0. */
typedef struct mfdata_harness_log {
  uint32_t struct_size;
  int32_t level;      /* MFDATA_LOG_*; all levels are recorded */
  mfdata_str text;
} mfdata_harness_log;

/* The changes of one series of a metric. Since 1.0. */
typedef struct mfdata_harness_metric {
  uint32_t struct_size;
  int32_t kind;       /* MFDATA_COUNTER, MFDATA_GAUGE, MFDATA_HISTOGRAM */
  mfdata_str name;    /* as exported: mfdata_plugin_<plugin>_<name> */
  const mfdata_harness_pair *labels;
  uint32_t n_labels;
  uint32_t changes;   /* observations of a histogram, settings of a gauge; of a counter it says nothing */
  double value;       /* what was added to a counter; the last value of a gauge; the sum of what a histogram observed */
} mfdata_harness_metric;

/* Flags of mfdata_harness_result. */
#define MFDATA_HARNESS_LATE 1u /* it took longer than its deadline: in earnest the worker is killed, and the file charged with it */

/* What one call to the plugin came to. Lists are arrays of pointers: their structures may grow. Since 1.0. */
typedef struct mfdata_harness_result {
  uint32_t struct_size;
  uint32_t flags;      /* MFDATA_HARNESS_LATE */
  /* Of the first file; of a predicate "yes", "no" or "error"; of a listener, a tick or a drain "ok" or "failed"; of each of them
   * "not started" when create (or compile) failed. */
  mfdata_str outcome, reason;
  const mfdata_harness_end *const *ends; /* one for each file, in the order they were given */
  const mfdata_harness_output *const *outputs; /* in the order of their files, and of their staging */
  const mfdata_harness_log *const *logs;
  const mfdata_harness_metric *const *metrics;
  uint32_t n_ends, n_outputs, n_logs, n_metrics;
  uint64_t calls;        /* of the plugin to its host that could have failed, create included when it ran */
  uint64_t failed_calls; /* those that were made to fail: mfdata_harness_fail */
  int64_t duration_ns;   /* of the plugin's part */
} mfdata_harness_result;

/* Opens a harness: the plugin is loaded and described, its configuration checked; nothing is created yet. On an error
 * *harness is set too, for mfdata_harness_error and mfdata_harness_close; or NULL, when there was no memory for it.
 * E_NOTFOUND: no such file or folder; E_ABI: the library is no plugin for this host; E_ARG: the options or the configuration; E_IO. */
MFDATA_HARNESS_API mfdata_rc mfdata_harness_open(const mfdata_harness_options *options, mfdata_harness **harness);
/* Stops a listener, drains and destroys what runs, and frees everything. NULL is nothing. */
MFDATA_HARNESS_API void mfdata_harness_close(mfdata_harness *harness);
/* Why the last function failed; "" when it did not. Never NULL. */
MFDATA_HARNESS_API const char *mfdata_harness_error(const mfdata_harness *harness);
/* The home, absolute: "{home}" in [custom]. */
MFDATA_HARNESS_API const char *mfdata_harness_home(const mfdata_harness *harness);

/* Gives an array of n files to a step (NULL: the only one) and ends them by its policies. A batch step gets them as one batch (at most
 * its max_size in each), any other one after the other. The instance is created by the first run and stays; see mfdata_harness_restart. */
MFDATA_HARNESS_API const mfdata_harness_result *mfdata_harness_run(mfdata_harness *harness, const char *step,
                                                                   const mfdata_harness_file *files, uint32_t n);
/* The files of the last run of the step whose fate was "retry" or "queue" once more, now, in their order. E_NOTFOUND: there are none. */
MFDATA_HARNESS_API const mfdata_harness_result *mfdata_harness_rerun(mfdata_harness *harness, const char *step);
/* Calls the step's tick. Without one it does nothing. */
MFDATA_HARNESS_API const mfdata_harness_result *mfdata_harness_tick(mfdata_harness *harness, const char *step);
/* Drains and destroys all instances of steps; the next run creates one anew. Ends a cancellation. The result is of the drains. */
MFDATA_HARNESS_API const mfdata_harness_result *mfdata_harness_restart(mfdata_harness *harness);

/* Asks a predicate, named with its arguments as a rule does: "is_synop(AAXX)". It is compiled for this question alone. */
MFDATA_HARNESS_API const mfdata_harness_result *mfdata_harness_ask(mfdata_harness *harness, const char *predicate,
                                                                   const mfdata_harness_file *file);

/* Creates a listener (NULL: the only one) and lets it run on a thread of the harness. One at a time. E_STATE: one runs; E_IO: it does
 * not start, the text says why. */
MFDATA_HARNESS_API mfdata_rc mfdata_harness_start(mfdata_harness *harness, const char *listener);
/* Waits until it has deposited at least n files since its start. E_BUSY: not within the time; E_STATE: none runs, or it has ended. */
MFDATA_HARNESS_API mfdata_rc mfdata_harness_wait(mfdata_harness *harness, uint32_t n, uint32_t timeout_ms);
/* Stops it and waits for its end. The outputs are its deposits, oldest first. */
MFDATA_HARNESS_API const mfdata_harness_result *mfdata_harness_stop(mfdata_harness *harness);

/* Makes a call to the host fail: `call` is the name of a member of mfdata_host (NULL: any that can fail), `number` says the how manyth of
 * them from now on (0: each), `code` what it returns (0: MFDATA_E_IO); query returns NULL. May be called again for more. All but log,
 * log_enabled, set_error, cancelled, deadline_ns and deposit_abort can fail. E_NOTFOUND: there is no such call. */
MFDATA_HARNESS_API mfdata_rc mfdata_harness_fail(mfdata_harness *harness, const char *call, uint32_t number, mfdata_rc code);
/* As on a full disk: what makes or writes a file of the host returns MFDATA_E_FULL. The plugin's own writes succeed. */
MFDATA_HARNESS_API mfdata_rc mfdata_harness_fill_disk(mfdata_harness *harness);
/* What `pressure` and deposit_open say: MFDATA_OK, MFDATA_E_BUSY or MFDATA_E_FULL, with the delay. */
MFDATA_HARNESS_API mfdata_rc mfdata_harness_pressure(mfdata_harness *harness, mfdata_rc state, uint32_t retry_after_ms);
/* The time that a run has from now on, instead of the step's `timeout`; negative: the step's again. */
MFDATA_HARNESS_API mfdata_rc mfdata_harness_deadline(mfdata_harness *harness, int64_t timeout_ms);
/* Ends all of that: no call fails, no pressure, the deadline of the configuration. */
MFDATA_HARNESS_API mfdata_rc mfdata_harness_heal(mfdata_harness *harness);
/* On any thread: `cancelled` is not 0 from now on, and a step's interrupt is called within 100 ms, as when a worker is to stop. Stays
 * until mfdata_harness_restart. A listener is stopped by mfdata_harness_stop alone. */
MFDATA_HARNESS_API mfdata_rc mfdata_harness_cancel(mfdata_harness *harness);

#ifdef __cplusplus
}
#endif
#endif
