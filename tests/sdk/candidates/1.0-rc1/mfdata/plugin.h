/* mfdata/plugin.h - the binary interface between the host (mfdata-worker) and a plugin (a shared object).
 *
 * A plugin exports one function, `mfdata_plugin_v1`, which returns its constant description: the components it
 * offers. The host creates components, calls them with a `mfdata_host` table and a context pointer, and takes what
 * they staged when they return OK. The rules of the interface are numbered in doc/plugin_abi.md; in short:
 *
 *  - Valid C99 to C17 and C++11 to C++20. No C++ type, exception, enum, bool, long, varargs or FILE* crosses.
 *  - Strings are bytes with a length (`mfdata_str`), not terminated, not necessarily UTF-8.
 *  - Nobody frees the other's memory. What the host returns lives until the callback that got it returns; what a
 *    plugin passes in is copied before the call returns.
 *  - Structures that begin with `struct_size` grow at the end, by whole 8-byte groups: test a member that is newer
 *    than MFDATA_NEED_MINOR with MFDATA_HAS before use. Members that are reserved are zero.
 *  - Threads. [create] [call] [any]: only in create; only on the thread and during the callback that was given this
 *    context; on any thread of the plugin from create until destroy returns.
 *  - Errors are negative codes. A wrong argument never crashes the host.
 */
#ifndef MFDATA_PLUGIN_H
#define MFDATA_PLUGIN_H
#include <stddef.h>
#include <stdint.h>

#define MFDATA_ABI_MAJOR 1u
#ifndef MFDATA_ABI_MINOR /* define it lower to build for an older host: newer members vanish */
#define MFDATA_ABI_MINOR 0u
#endif
#ifndef MFDATA_NEED_MINOR /* the oldest host the plugin loads on; default: the one it is built for */
#define MFDATA_NEED_MINOR MFDATA_ABI_MINOR
#endif

/* True when the structure behind `ptr` (of type T) is new enough to have member `m`, and it is set. */
#define MFDATA_HAS(T, ptr, m) ((ptr)->struct_size >= offsetof(T, m) + sizeof((ptr)->m) && (ptr)->m)

#ifdef __cplusplus
extern "C" {
#endif

typedef int32_t mfdata_rc;

/* Bytes that belong to somebody else. Frozen for ever. */
typedef struct mfdata_str {
  const char *p;
  size_t n;
} mfdata_str;

typedef struct mfdata_ctx mfdata_ctx;         /* one component instance, or one call to it; the host's */
typedef struct mfdata_file mfdata_file;       /* a file in the hands of a step; the host's, until process returns */
typedef struct mfdata_deposit mfdata_deposit; /* a new file that a listener writes; from open to commit or abort */

/* Results of a step. Every other value counts as MFDATA_FAIL. */
#define MFDATA_OK 0        /* done: what was staged becomes visible; an input that was not staged ends here */
#define MFDATA_FAIL 1      /* permanent: the step's failure policy applies; nothing staged becomes visible */
#define MFDATA_RETRY 2     /* transient: tried again later (retry_* keys), then the failure policy */
#define MFDATA_SKIP 3      /* not for this step: unmatched_policy applies */
#define MFDATA_CANCELLED 4 /* stopped on request (`cancelled`): back to the queue, nothing is charged */

/* Errors of host functions. Returned from a step they mean MFDATA_FAIL; but for MFDATA_E_FULL, when a write of its own met
 * a full disk: then the file waits for room, and no policy applies. */
#define MFDATA_E_ARG (-1)         /* an argument is wrong: a name, a NULL, a value out of range */
#define MFDATA_E_NOTFOUND (-2)    /* no such tag, key, step, directory */
#define MFDATA_E_UNSUPPORTED (-3) /* this host or component kind does not offer it */
#define MFDATA_E_IO (-4)          /* the system refused; the text is in the log */
#define MFDATA_E_NOMEM (-5)
#define MFDATA_E_STATE (-6)       /* not now: the file was moved already, the thread is not the right one */
#define MFDATA_E_LIMIT (-7)       /* a bound of the host was passed: tags, outputs, series, name length */
#define MFDATA_E_EXCEPTION (-8)   /* for plugins: an exception was caught at the boundary */
#define MFDATA_E_ABI (-9)
#define MFDATA_E_BUSY (-10)       /* back-pressure: try again after the delay of `pressure` */
#define MFDATA_E_FULL (-11)       /* no space left on the disk */

/* What emit and deliver do with a file. */
#define MFDATA_OP_MOVE 1 /* the file itself; it can be staged once as a move */
#define MFDATA_OP_COPY 2 /* a copy (reflink where the filesystem has it); an input only */
#define MFDATA_OP_LINK 3 /* steps only: a hard link, the target promises not to modify it; an input only */

#define MFDATA_LOG_DEBUG 0
#define MFDATA_LOG_INFO 1
#define MFDATA_LOG_WARNING 2
#define MFDATA_LOG_ERROR 3

/* Kinds of a metric. */
#define MFDATA_COUNTER 1
#define MFDATA_GAUGE 2
#define MFDATA_HISTOGRAM 3

/* Flags of mfdata_tag_set_hop. */
#define MFDATA_TAG_NO_LATEST 1u /* only "<n>.<plugin>.<step>.<name>", no "latest.<plugin>.<step>.<name>" */

/* Called for each tag, in the order of their names; another value than 0 ends the iteration and is returned. */
typedef mfdata_rc (*mfdata_tag_visit)(void *user, mfdata_str name, mfdata_str value);

/* How a file is delivered to an absolute directory. Since 1.0. */
typedef struct mfdata_delivery {
  uint32_t struct_size;
  uint32_t flags;          /* MFDATA_DELIVERY_* */
  uint32_t mode;           /* permission bits of the delivered file, 0: as they are */
  uint32_t reserved0;
  mfdata_str basename;     /* name there; empty: first.core.original_basename. May contain "/": sub-directories */
  mfdata_str tags_suffix;  /* companion "<name><suffix>" with the tags; empty: none */
} mfdata_delivery;
#define MFDATA_DELIVERY_DROP_TAGS 1u /* the delivered file carries no tags */
#define MFDATA_DELIVERY_MKDIRS 2u    /* missing directories are made, mode 0777 less the umask (077 by default) */

/* Tells the end of a deposit that was committed with a callback; on a thread of the host. */
typedef void (*mfdata_deposit_done)(void *user, mfdata_rc rc);

/* The host. All members are set unless a comment says otherwise; the table is constant. Since 1.0. */
typedef struct mfdata_host {
  uint32_t struct_size, abi_major, abi_minor, reserved0;
  mfdata_str name, version; /* of the host program */

  /* [any] A subsystem by id, "mfdata.NAME/1", whose table is at least min_size bytes; NULL: this host has none.
   * The table is constant and lives as long as the component. */
  const void *(*query)(mfdata_ctx *ctx, const char *id, uint32_t min_size);

  /* [any] One line to the step's log. Longer than 4096 bytes is cut; control bytes are escaped. */
  void (*log)(mfdata_ctx *ctx, int32_t level, mfdata_str message);
  int32_t (*log_enabled)(mfdata_ctx *ctx, int32_t level);

  /* [create] [call] The reason of the result that follows: to the log and to trash. Returns `code`. At most 4096
   * bytes. */
  mfdata_rc (*set_error)(mfdata_ctx *ctx, mfdata_rc code, mfdata_str reason);
  /* [call] In a batch: the reason of one file's result, and the delay of its retry (negative: the configured one). */
  mfdata_rc (*set_file_error)(mfdata_ctx *ctx, mfdata_file *file, mfdata_str reason, int64_t delay_ms);
  /* [call] The delay of a MFDATA_RETRY that follows, instead of the configured one; at most retry_max_wait. */
  mfdata_rc (*set_retry_delay)(mfdata_ctx *ctx, int64_t delay_ms);

  /* [any] Not 0 once the host wants the component to return soon (stop, upgrade). */
  int32_t (*cancelled)(mfdata_ctx *ctx);
  /* [any] CLOCK_MONOTONIC nanoseconds at which the host kills the process for this file; 0: none. */
  int64_t (*deadline_ns)(mfdata_ctx *ctx);

  /* [create] [call] The plugin's [custom] keys by dotted and indexed path ("a.b[2]"). Numbers and booleans read as
   * text too. With a [schema], durations are seconds and sizes bytes. E_NOTFOUND, or E_ARG for the wrong type. */
  mfdata_rc (*config_text)(mfdata_ctx *ctx, mfdata_str path, mfdata_str *value);
  mfdata_rc (*config_integer)(mfdata_ctx *ctx, mfdata_str path, int64_t *value);
  mfdata_rc (*config_real)(mfdata_ctx *ctx, mfdata_str path, double *value);
  /* Number of elements of an array, or of members of a table; the name of member `index` of a table. */
  mfdata_rc (*config_count)(mfdata_ctx *ctx, mfdata_str path, uint64_t *count);
  mfdata_rc (*config_key)(mfdata_ctx *ctx, mfdata_str path, uint64_t index, mfdata_str *name);

  /* [call] The absolute path of the file. An input may only be read: a file whose size or time changed under
   * `process` fails. A file of tmp_file is the plugin's to write. The name in it means nothing. */
  mfdata_rc (*file_path)(mfdata_ctx *ctx, mfdata_file *file, mfdata_str *path);

  /* [call] Tags of the file. Changes become visible with its outputs. E_ARG: bad or reserved name; E_LIMIT. */
  mfdata_rc (*tag_get)(mfdata_ctx *ctx, mfdata_file *file, mfdata_str name, mfdata_str *value);
  mfdata_rc (*tag_set)(mfdata_ctx *ctx, mfdata_file *file, mfdata_str name, mfdata_str value);
  mfdata_rc (*tag_delete)(mfdata_ctx *ctx, mfdata_file *file, mfdata_str name);
  mfdata_rc (*tag_each)(mfdata_ctx *ctx, mfdata_file *file, mfdata_tag_visit visit, void *user);
  /* Sets "<n>.<plugin>.<step>.<name>" of this hop and, unless flags say not, "latest.<plugin>.<step>.<name>". */
  mfdata_rc (*tag_set_hop)(mfdata_ctx *ctx, mfdata_file *file, mfdata_str name, mfdata_str value, uint32_t flags);
  /* "latest.<plugin>.<step>.<name>"; an empty plugin or step: this one. */
  mfdata_rc (*tag_get_latest)(mfdata_ctx *ctx, mfdata_file *file, mfdata_str plugin, mfdata_str step, mfdata_str name,
                              mfdata_str *value);

  /* [call] A new empty file on the spool's filesystem, mode 0600, with the tags of `inherit` (an input) or none. It
   * goes away unless it is staged. At most 10000 of them in one call. In a batch it belongs to the input that it
   * inherits from, and becomes visible when that one is OK; with `inherit` NULL, when any input of the batch is. */
  mfdata_rc (*tmp_file)(mfdata_ctx *ctx, const mfdata_file *inherit, mfdata_file **file);
  /* [call] An empty directory of this call, for child processes; and a regular file with one link that was made in
   * it as a file of ours (its path is relative to that directory, or absolute in it). */
  mfdata_rc (*scratch_dir)(mfdata_ctx *ctx, mfdata_str *path);
  mfdata_rc (*adopt)(mfdata_ctx *ctx, mfdata_str path, const mfdata_file *inherit, mfdata_file **file);

  /* [call] Stages the file for a step ("plugin/step", or "step" of this plugin). E_NOTFOUND: there is none. */
  mfdata_rc (*emit)(mfdata_ctx *ctx, mfdata_file *file, int32_t op, mfdata_str target);
  /* [call] Stages the file for an absolute directory; MOVE or COPY. `how` may be NULL. An existing name there is
   * never overwritten: "-1", "-2", ... is put behind it. E_NOTFOUND: the directory is missing. */
  mfdata_rc (*deliver)(mfdata_ctx *ctx, mfdata_file *file, int32_t op, mfdata_str directory, const mfdata_delivery *how);

  /* [create] A metric of the plugin, exported as mfdata_plugin_<name>. Names and label keys: [a-z_][a-z0-9_]{0,99}.
   * At most 8 label_keys, label values of 200 bytes, 32 buckets (rising upper bounds of a histogram), 1000 series.
   * E_UNSUPPORTED: in a predicate. */
  mfdata_rc (*metric_new)(mfdata_ctx *ctx, int32_t kind, mfdata_str name, mfdata_str help,
                          const mfdata_str *label_keys, uint32_t n_keys, const double *buckets, uint32_t n_buckets,
                          uint64_t *id);
  /* [any] Adds to a counter, sets a gauge, observes in a histogram. */
  mfdata_rc (*metric_add)(mfdata_ctx *ctx, uint64_t id, double value, const mfdata_str *label_values, uint32_t n);

  /* [any] For listeners only: E_UNSUPPORTED elsewhere. A new file for a step ("plugin/step") or, with an empty target, for [data] entry_step.
   * `name` becomes first.core.original_basename. E_BUSY, E_FULL: nothing new is accepted now. */
  mfdata_rc (*deposit_open)(mfdata_ctx *ctx, mfdata_str target, mfdata_str name, mfdata_deposit **deposit);
  mfdata_rc (*deposit_write)(mfdata_ctx *ctx, mfdata_deposit *deposit, const void *bytes, size_t n);
  mfdata_rc (*deposit_tag)(mfdata_ctx *ctx, mfdata_deposit *deposit, mfdata_str name, mfdata_str value);
  /* Consumes the deposit, whatever it returns. With `done` NULL it returns when the file is durable; otherwise it
   * may return at once, and `done` tells. Only an OK may be acknowledged to a sender. */
  mfdata_rc (*deposit_commit)(mfdata_ctx *ctx, mfdata_deposit *deposit, mfdata_deposit_done done, void *user);
  void (*deposit_abort)(mfdata_ctx *ctx, mfdata_deposit *deposit);
  /* [any] 0: files are welcome. E_BUSY or E_FULL otherwise, with the milliseconds to wait. */
  mfdata_rc (*pressure)(mfdata_ctx *ctx, int64_t *retry_after_ms);
} mfdata_host;

/* What `create` gets. Lives until create returns; `host` and `ctx` until destroy returns. Since 1.0. */
typedef struct mfdata_init {
  uint32_t struct_size, flags;
  const mfdata_host *host;
  mfdata_ctx *ctx;
  mfdata_str plugin_name; /* as installed: may differ from the description's */
  mfdata_str step_name;   /* of the step or listener this instance runs as */
  mfdata_str plugin_dir;  /* absolute; read-only */
} mfdata_init;

/* What `tick` gets: about once a second, between two files. Since 1.0. */
typedef struct mfdata_tick {
  uint32_t struct_size, flags;
  int64_t now_ns, last_ns; /* CLOCK_MONOTONIC; last_ns 0: the first */
} mfdata_tick;

/* A step: treats files one at a time, or in batches when process_batch is set. One instance, one thread. */
typedef struct mfdata_step {
  uint32_t struct_size, flags;
  /* Makes an instance. Anything but OK: the worker ends and the reason (set_error) is logged. */
  mfdata_rc (*create)(const mfdata_init *init, void **self);
  /* One file. NULL when process_batch is set. */
  mfdata_rc (*process)(void *self, mfdata_ctx *ctx, mfdata_file *file);
  /* Optional. 1 to max_size files; `each` holds n results, preset to MFDATA_FAIL: set all of them and return OK, or
   * return one result for all. */
  mfdata_rc (*process_batch)(void *self, mfdata_ctx *ctx, mfdata_file *const *files, uint32_t n, mfdata_rc *each);
  /* Optional. */
  mfdata_rc (*tick)(void *self, mfdata_ctx *ctx, const mfdata_tick *tick);
  /* Optional: before the stop, to flush what is held. */
  mfdata_rc (*drain)(void *self, mfdata_ctx *ctx);
  /* Optional, on another thread than process: makes a process that is running return soon. Only sets a flag. */
  void (*interrupt)(void *self);
  void (*destroy)(void *self, mfdata_ctx *ctx);
} mfdata_step;

/* A listener: brings files in, until it is stopped. */
typedef struct mfdata_listener {
  uint32_t struct_size, flags;
  mfdata_rc (*create)(const mfdata_init *init, void **self);
  mfdata_rc (*run)(void *self, mfdata_ctx *ctx); /* returns after stop(), or when it cannot go on */
  void (*stop)(void *self);                      /* on another thread; may be called twice */
  void (*destroy)(void *self, mfdata_ctx *ctx);
} mfdata_listener;

/* A predicate: a code rule of switch. It reads the file and its tags, and changes nothing. */
typedef struct mfdata_predicate {
  uint32_t struct_size, flags;
  mfdata_rc (*compile)(const mfdata_init *init, const mfdata_str *arguments, uint32_t n, void **self);
  int32_t (*test)(void *self, mfdata_ctx *ctx, mfdata_file *file); /* 1 yes, 0 no, negative: error, counts as no */
  void (*destroy)(void *self, mfdata_ctx *ctx);
} mfdata_predicate;

/* query("mfdata.rules/1"): the routing rules ([[switch_rules]]) that all plugins address to this one. Since 1.0. */
#define MFDATA_RULES "mfdata.rules/1"

typedef struct mfdata_rule {
  uint32_t struct_size, flags; /* struct_size by the caller: what it has room for; the host sets what fits */
  mfdata_str type;    /* "equal", "notequal", "fnmatch", "notfnmatch", "regex", "notregex", "alwaystrue", "plugin" */
  mfdata_str tag;     /* whose value is compared; empty for alwaystrue and plugin */
  mfdata_str pattern; /* any bytes; of a code rule the predicate with its arguments */
  mfdata_str plugin;  /* that has written the rule */
  mfdata_str where;   /* "file:line" */
  const mfdata_str *targets; /* "plugin/step", with a "*" behind it where a hard link is allowed */
  uint32_t n_targets, reserved0;
} mfdata_rule;

typedef struct mfdata_rules {
  uint32_t struct_size, flags;
  /* [create] Their number; and one of them, in the order of plugins and of their files. What it points to lives as
   * long as the component. E_NOTFOUND: no such index. */
  uint64_t (*count)(mfdata_ctx *ctx);
  mfdata_rc (*get)(mfdata_ctx *ctx, uint64_t index, mfdata_rule *rule);
  /* [call] The test of a rule of type "plugin", in a process of its own: 1 yes, 0 no, negative: it cannot tell, and
   * counts as no. E_NOTFOUND: the rule was left out; E_IO: the predicate crashed, or took longer than
   * predicate_timeout; E_STATE: it is suspended, since it did so three times in a row. */
  int32_t (*test)(mfdata_ctx *ctx, uint64_t index, mfdata_file *file);
} mfdata_rules;

#define MFDATA_KIND_STEP 1
#define MFDATA_KIND_LISTENER 2
#define MFDATA_KIND_PREDICATE 3

/* One component. `id` is what plugin.toml calls `component`; `table` is the structure of its kind. */
typedef struct mfdata_component {
  uint32_t struct_size;
  int32_t kind; /* MFDATA_KIND_*; a kind that the host does not know is left alone */
  const char *id;
  const char *summary;
  const void *table;
} mfdata_component;

/* The description. Constant; the same at every call. Text members are terminated UTF-8. */
typedef struct mfdata_plugin {
  uint32_t struct_size, abi_major, abi_minor, need_minor;
  const char *id, *version, *summary, *license, *sdk_version;
  const mfdata_component *const *components; /* an array of pointers: components may grow */
  uint32_t n_components, flags;
  const void *(*query)(const char *id, uint32_t min_size); /* optional extensions of the plugin, or NULL */
} mfdata_plugin;

#if defined(__GNUC__)
__attribute__((visibility("default")))
#endif
const mfdata_plugin *mfdata_plugin_v1(void); /* the only export; the major version is in the name */

#ifdef __cplusplus
}
#endif
#endif
