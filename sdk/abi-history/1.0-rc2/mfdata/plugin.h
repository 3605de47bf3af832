/* mfdata/plugin.h - the binary interface between the host (mfdata-worker) and a plugin (a shared object).
 *
 * A plugin exports one function, `mfdata_plugin_v1`, which returns its constant description: the components it
 * offers. The host creates components, calls them with a `mfdata_host` table and a context pointer, and takes what
 * they staged when they return OK. This is release candidate 1.0-rc2: from it on the interface is only appended to. Its
 * rules are numbered in doc/plugin_abi.md; in short:
 *
 *  - Valid C99 to C17 and C++11 to C++20. No C++ type, exception, enum, bool, long, varargs or FILE* crosses.
 *  - Strings are bytes with a length (`mfdata_str`), not necessarily UTF-8. Those of the host have a zero byte behind
 *    their end; those of a plugin need none. A zero byte inside is a byte as any other.
 *  - Nobody frees the other's memory. What the host returns lives until the callback that got it returns; what a
 *    plugin passes in is copied before the call returns.
 *  - Structures that begin with `struct_size` grow at the end, by whole 8-byte groups: test a member that is newer
 *    than MFDATA_NEED_MINOR with MFDATA_HAS before use. Members that are reserved are zero. Who fills a structure sets
 *    struct_size to its sizeof: less than it was in 1.0 is E_ARG, and in a description the plugin is refused.
 *  - Threads. [create] [call] [any]: only in create; only on the thread and during the callback that was given this
 *    context; on any thread of the plugin from create until destroy returns.
 *  - Errors are negative codes. A wrong argument never crashes the host: E_ARG (also a length above 2^30, and NULL with
 *    a length); a flag that it does not know: E_UNSUPPORTED, and nothing is done.
 *  - No exception leaves a host function: when memory runs out in it, it returns E_NOMEM. One that leaves a function of
 *    the plugin which the host calls inside of its own (mfdata_tag_visit) ends there with E_EXCEPTION.
 *  - Time. `timeout` bounds every call for a file, and tick, drain, destroy and the stop of a listener; `start_timeout`
 *    bounds create. What takes longer is killed with everything it started.
 *  - Processes. A plugin may fork. The child calls no host function and never returns from a callback: it calls exec, and
 *    _exit when that fails. The host ends a child that returns (exit status 127).
 *  - Descriptors. The host keeps descriptors of its own in the process, close-on-exec and at high numbers. A plugin closes
 *    only what it has opened, each once, and leaves resource limits and the umask as they are. A worker without what its
 *    host needs counts as crashed and is replaced.
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
#define MFDATA_CANCELLED 4 /* stopped on request (`cancelled`): back to the queue, nothing is charged; unasked it is a
                            * MFDATA_RETRY */
#define MFDATA_YIELD 5     /* not now: back to the queue, nothing is charged, and the step treats no file before the
                            * delay of set_retry_delay (1 second when none is set) has passed */

/* Errors of host functions. A step may return the one that it met: MFDATA_E_IO, MFDATA_E_NOMEM and MFDATA_E_BUSY mean
 * MFDATA_RETRY, since the system may grant the next time what it refuses now; MFDATA_E_FULL (also of its own writes) means
 * that the file waits for room, and no policy applies; every other one means MFDATA_FAIL. plugin.hpp makes the same of an
 * exception. */
#define MFDATA_E_ARG (-1)         /* an argument is wrong: a name, a NULL, a value out of range */
#define MFDATA_E_NOTFOUND (-2)    /* no such tag, key, step, directory */
#define MFDATA_E_UNSUPPORTED (-3) /* this host or component kind does not offer it */
#define MFDATA_E_IO (-4)          /* the system refused; the text is in the log */
#define MFDATA_E_NOMEM (-5)
#define MFDATA_E_STATE (-6)       /* not now: the file was moved or the deposit ended already, the thread is not the right one */
#define MFDATA_E_LIMIT (-7)       /* a bound of the host was passed: tags, outputs, series, name length */
#define MFDATA_E_EXCEPTION (-8)   /* for plugins: an exception was caught at the boundary */
#define MFDATA_E_ABI (-9)
#define MFDATA_E_BUSY (-10)       /* back-pressure: try again after the delay of `pressure` */
#define MFDATA_E_FULL (-11)       /* no space left on the disk */
#define MFDATA_E_MISMATCH (-12)   /* a deposit has not the size or the digest that was expected */

/* Not an error: deposit_open knows the key, and what was deposited with it first is or was in the spool. */
#define MFDATA_REPEATED 1

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

/* Called for each tag, in the order of their names; another value than 0 ends the iteration and is returned. Both texts
 * live until it returns. */
typedef mfdata_rc (*mfdata_tag_visit)(void *user, mfdata_str name, mfdata_str value);

/* How a file is delivered to an absolute directory. Since 1.0. */
typedef struct mfdata_delivery {
  uint32_t struct_size;
  uint32_t flags;          /* MFDATA_DELIVERY_* */
  uint32_t mode;           /* permission bits of the delivered file (at most 0777), 0: as they are */
  uint32_t directory_mode; /* the same of directories that are made (at most 03777), 0: those of the one they are made in */
  mfdata_str basename;     /* name there; empty: first.core.original_basename. May contain "/": sub-directories */
  mfdata_str tags_suffix;  /* companion "<name><suffix>" with the tags; empty: none */
} mfdata_delivery;
#define MFDATA_DELIVERY_DROP_TAGS 1u /* the delivered file carries no tags */
#define MFDATA_DELIVERY_MKDIRS 2u    /* missing sub-directories of the directory are made; it itself only inside the home */

/* More about a deposit. Since 1.0. */
typedef struct mfdata_deposit_options {
  uint32_t struct_size;
  uint32_t flags;             /* MFDATA_DEPOSIT_* */
  mfdata_str dirname;         /* first.core.original_dirname; empty: the name of the watched directory, or of the listener */
  uint64_t expected_size;     /* in bytes; counts with MFDATA_DEPOSIT_SIZED */
  mfdata_str digest_algorithm;/* "md5", "sha-256", "sha-384", "sha-512", "sha3-256", "sha3-384", "sha3-512"; empty: none */
  mfdata_str digest;          /* the expected digest of the content, as bytes */
  mfdata_str idempotency_key; /* 1 to 1024 bytes; empty: none. Deposits of this listener with the same key are one file */
} mfdata_deposit_options;
#define MFDATA_DEPOSIT_SIZED 1u /* expected_size counts: another size is a mismatch */

/* How a component fares: report_health. */
#define MFDATA_HEALTH_OK 0       /* all is well */
#define MFDATA_HEALTH_DEGRADED 1 /* it works, or tries to: reconnecting, for example */
#define MFDATA_HEALTH_FAILED 2   /* it cannot do its work; /readyz says so */

/* Tells the end of a deposit that was committed with a callback; on a thread of the host. */
typedef void (*mfdata_deposit_done)(void *user, mfdata_rc rc);

/* The host. All members are set unless a comment says otherwise; the table is constant. Since 1.0. */
typedef struct mfdata_host {
  uint32_t struct_size, abi_major, abi_minor, reserved0;
  mfdata_str name, version; /* of the host program */

  /* [any] A subsystem by id, "mfdata.NAME/1", whose table is at least min_size bytes (up to the last member that the
   * plugin needs: sizeof asks for all that its header knows); NULL: this host has none. The table is constant and
   * lives as long as the component. */
  const void *(*query)(mfdata_ctx *ctx, const char *id, uint32_t min_size);

  /* [any] One line to the step's log. Longer than 4096 bytes is cut; control bytes are escaped. */
  void (*log)(mfdata_ctx *ctx, int32_t level, mfdata_str message);
  int32_t (*log_enabled)(mfdata_ctx *ctx, int32_t level);

  /* [create] [call] The reason of the result that follows: to the log and to trash. Returns `code`, whatever happens.
   * At most 4096 bytes; line ends and blanks behind it are left out. */
  mfdata_rc (*set_error)(mfdata_ctx *ctx, mfdata_rc code, mfdata_str reason);
  /* [call] In a batch: the reason of an input's result, and the delay of its retry (negative: the configured one). */
  mfdata_rc (*set_file_error)(mfdata_ctx *ctx, mfdata_file *file, mfdata_str reason, int64_t delay_ms);
  /* [call] The delay of a MFDATA_RETRY that follows, instead of the configured one; at most retry_max_wait. */
  mfdata_rc (*set_retry_delay)(mfdata_ctx *ctx, int64_t delay_ms);

  /* [any] Not 0 once the host wants the component to return soon (stop, upgrade). */
  int32_t (*cancelled)(mfdata_ctx *ctx);
  /* [any] CLOCK_MONOTONIC nanoseconds at which the host kills the process for this call; 0: none. */
  int64_t (*deadline_ns)(mfdata_ctx *ctx);

  /* [create] [call] The plugin's [custom] keys by dotted and indexed path ("a.b[2]"). Numbers and booleans read as
   * text too. With a [schema], durations are seconds and sizes bytes. E_NOTFOUND, or E_ARG for the wrong type. */
  mfdata_rc (*config_text)(mfdata_ctx *ctx, mfdata_str path, mfdata_str *value);
  mfdata_rc (*config_integer)(mfdata_ctx *ctx, mfdata_str path, int64_t *value);
  mfdata_rc (*config_real)(mfdata_ctx *ctx, mfdata_str path, double *value);
  /* Number of elements of an array, or of members of a table; the name of member `index` of a table. */
  mfdata_rc (*config_count)(mfdata_ctx *ctx, mfdata_str path, uint64_t *count);
  mfdata_rc (*config_key)(mfdata_ctx *ctx, mfdata_str path, uint64_t index, mfdata_str *name);

  /* [call] The absolute path of the file. An input may only be read: a file whose size, time of modification or, on a local
   * filesystem, time of change is another one after `process` fails. A file of tmp_file is the plugin's to write. The name
   * in it means nothing. */
  mfdata_rc (*file_path)(mfdata_ctx *ctx, mfdata_file *file, mfdata_str *path);

  /* [call] Tags of the file. Changes become visible with its outputs. E_ARG: bad or reserved name; E_LIMIT. */
  mfdata_rc (*tag_get)(mfdata_ctx *ctx, mfdata_file *file, mfdata_str name, mfdata_str *value);
  mfdata_rc (*tag_set)(mfdata_ctx *ctx, mfdata_file *file, mfdata_str name, mfdata_str value);
  mfdata_rc (*tag_delete)(mfdata_ctx *ctx, mfdata_file *file, mfdata_str name);
  mfdata_rc (*tag_each)(mfdata_ctx *ctx, mfdata_file *file, mfdata_tag_visit visit, void *user);
  /* Sets "<n>.<plugin>.<step>.<name>" of this hop and, unless flags say not, "latest.<plugin>.<step>.<name>". <n> is the
   * hop of the input that the file is, or inherits from. A new file that inherits from none gets the hop of the input of
   * its call; in a batch, whose inputs may have made different numbers of hops, the highest of theirs. */
  mfdata_rc (*tag_set_hop)(mfdata_ctx *ctx, mfdata_file *file, mfdata_str name, mfdata_str value, uint32_t flags);
  /* "latest.<plugin>.<step>.<name>"; an empty plugin or step: this one. */
  mfdata_rc (*tag_get_latest)(mfdata_ctx *ctx, mfdata_file *file, mfdata_str plugin, mfdata_str step, mfdata_str name,
                              mfdata_str *value);

  /* [call] A new empty file on the spool's filesystem, mode 0600, with the tags of `inherit` (an input) or none. It
   * goes away unless it is staged. At most 10000 of them in one call. In a batch it belongs to the input that it
   * inherits from, and becomes visible when that one is OK; with `inherit` NULL, when any input of the batch is. */
  mfdata_rc (*tmp_file)(mfdata_ctx *ctx, const mfdata_file *inherit, mfdata_file **file);
  /* [call] An empty directory of this call, for child processes; and a regular file with one link that was made in
   * it as a file of ours (its path is relative to that directory, or absolute in it, and leads over no symbolic link). */
  mfdata_rc (*scratch_dir)(mfdata_ctx *ctx, mfdata_str *path);
  mfdata_rc (*adopt)(mfdata_ctx *ctx, mfdata_str path, const mfdata_file *inherit, mfdata_file **file);

  /* [call] Stages the file for a step ("plugin/step", or "step" of this plugin). E_NOTFOUND: there is none. */
  mfdata_rc (*emit)(mfdata_ctx *ctx, mfdata_file *file, int32_t op, mfdata_str target);
  /* [call] Stages the file for an absolute directory; MOVE or COPY. `how` may be NULL. An existing name there is
   * never overwritten: "-1", "-2", ... is put behind it. E_NOTFOUND: the directory is missing. */
  mfdata_rc (*deliver)(mfdata_ctx *ctx, mfdata_file *file, int32_t op, mfdata_str directory, const mfdata_delivery *how);

  /* [create] A metric of the plugin, exported as mfdata_plugin_<plugin>_<name> with the label plugin="<plugin>", the name
   * that the plugin is installed as; "-" in it becomes "_". Names and label keys: [a-z_][a-z0-9_]{0,99}; no key twice, none
   * that begins with "__", and not le, quantile or plugin. `help` is one line of UTF-8 of at most 1000 bytes. At most 8
   * label_keys, label values of 200 bytes (what is no UTF-8 in them is escaped), 32 finite buckets (rising upper bounds of a
   * histogram), 1000 series. A metric that is made again has the id that it had. E_ARG: one of that name, or of a name
   * that a histogram makes (<name>_bucket, _sum, _count), is there with another kind, other keys or buckets.
   * E_UNSUPPORTED: in a predicate. */
  mfdata_rc (*metric_new)(mfdata_ctx *ctx, int32_t kind, mfdata_str name, mfdata_str help,
                          const mfdata_str *label_keys, uint32_t n_keys, const double *buckets, uint32_t n_buckets,
                          uint64_t *id);
  /* [any] Adds to a counter (E_ARG: a negative value), sets a gauge, observes in a histogram. */
  mfdata_rc (*metric_add)(mfdata_ctx *ctx, uint64_t id, double value, const mfdata_str *label_values, uint32_t n);

  /* [any] The deposits of a listener: E_UNSUPPORTED in other components. A new file for `target`: a step
   * ("plugin/step"), the path of a watched directory as watched_directory gives it, or, when it is empty, [data]
   * entry_step. `name` becomes first.core.original_basename: 1 to 255 bytes without "/" and zero byte, not "." or
   * ".."; an empty one stands for the deposit's uid. `how` may be NULL. E_BUSY, E_FULL: nothing new is accepted now. With
   * an idempotency key: MFDATA_REPEATED with a deposit that takes what is written and forgets it, and whose commit
   * confirms the first one. A deposit that was committed or aborted is no more: each call with it returns E_STATE. */
  mfdata_rc (*deposit_open)(mfdata_ctx *ctx, mfdata_str target, mfdata_str name, const mfdata_deposit_options *how,
                            mfdata_deposit **deposit);
  mfdata_rc (*deposit_write)(mfdata_ctx *ctx, mfdata_deposit *deposit, const void *bytes, size_t n);
  mfdata_rc (*deposit_tag)(mfdata_ctx *ctx, mfdata_deposit *deposit, mfdata_str name, mfdata_str value);
  /* Consumes the deposit, whatever it returns; E_STATE: it was consumed already. With `done` NULL it returns when the
   * file is durable. Otherwise OK means that `done` is called exactly once, on a thread of the host, never inside this
   * call, before destroy; an error means that it is never called. It is E_STATE during create, and once run has
   * returned. Only an OK, returned or told, may be acknowledged to a sender. E_MISMATCH: nothing was deposited; E_BUSY:
   * another deposit with this key has come first, or is on its way: open it again. */
  mfdata_rc (*deposit_commit)(mfdata_ctx *ctx, mfdata_deposit *deposit, mfdata_deposit_done done, void *user);
  void (*deposit_abort)(mfdata_ctx *ctx, mfdata_deposit *deposit);
  /* [any] 0: files are welcome. E_BUSY or E_FULL otherwise, with the milliseconds to wait. */
  mfdata_rc (*pressure)(mfdata_ctx *ctx, int64_t *retry_after_ms);
  /* The uid that the file has in the spool (of a repeat: that of the first one), for an answer to the sender. It lives
   * until the deposit is committed or aborted. */
  mfdata_rc (*deposit_uid)(mfdata_ctx *ctx, mfdata_deposit *deposit, mfdata_str *uid);
  /* Sets "0.<plugin>.<listener>.<name>" and, unless flags say not, "latest.<plugin>.<listener>.<name>". */
  mfdata_rc (*deposit_tag_hop)(mfdata_ctx *ctx, mfdata_deposit *deposit, mfdata_str name, mfdata_str value,
                               uint32_t flags);
  /* [any] The watched directories, absolute and sorted; E_NOTFOUND: no such index. The string lives as long as the
   * component. */
  mfdata_rc (*watched_directory)(mfdata_ctx *ctx, uint64_t index, mfdata_str *path);
  /* [create] [call], of a listener [any]: a directory for what the component has to remember, made when it is missing,
   * mode 0700; it stays over restarts and upgrades, one for each component. The string lives as long as the component. */
  mfdata_rc (*state_dir)(mfdata_ctx *ctx, mfdata_str *path);
  /* [any] How the component fares (MFDATA_HEALTH_*), with a text of at most 1000 bytes, for status, metrics and /readyz;
   * kept until the next one, or until its process ends. */
  mfdata_rc (*report_health)(mfdata_ctx *ctx, int32_t state, mfdata_str text);
  /* [any] Of a listener: its path_changed is called after the file or directory at this absolute path, links followed,
   * has become another one, or has changed; it is looked at about once a second. At most 64 paths. */
  mfdata_rc (*watch_path)(mfdata_ctx *ctx, mfdata_str path);
  /* [create] Of a listener: a bound, listening, non-blocking stream socket that the host keeps over restarts and
   * upgrades of the listener, so that nobody who connects meanwhile is refused, and that all its processes share.
   * `address`: "127.0.0.1:9091", "[::1]:9091" in numbers, or a path beginning with "/" of a unix socket; `mode`: of that socket's
   * permission bits, 0: 0660. The descriptor is the plugin's to close. E_ARG: no address; E_IO: it cannot be bound, the
   * text is in the log. */
  mfdata_rc (*listen_socket)(mfdata_ctx *ctx, mfdata_str address, uint32_t mode, int32_t *fd);
  /* [call] Of a file of tmp_file or adopt: its first.core.original_basename, a name as for deposit_open, not empty.
   * E_STATE: it is an input. */
  mfdata_rc (*file_set_name)(mfdata_ctx *ctx, mfdata_file *file, mfdata_str name);
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
  /* Makes an instance, within `start_timeout`. Anything but OK: the worker ends and the reason (set_error) is logged. */
  mfdata_rc (*create)(const mfdata_init *init, void **self);
  /* One file. NULL when process_batch is set. */
  mfdata_rc (*process)(void *self, mfdata_ctx *ctx, mfdata_file *file);
  /* Optional. 1 to max_size files; `each` holds n results, preset to MFDATA_FAIL: set all of them and return OK, or
   * return one result for all. */
  mfdata_rc (*process_batch)(void *self, mfdata_ctx *ctx, mfdata_file *const *files, uint32_t n, mfdata_rc *each);
  /* Optional. Anything but OK: the reason (set_error) is logged; of drain too. */
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
  /* Returns after stop(). Whatever it returns before that is a crash: it is logged with its reason (set_error), and the
   * listener is started again, later each time. */
  mfdata_rc (*run)(void *self, mfdata_ctx *ctx);
  void (*stop)(void *self); /* on another thread; may be called twice. `timeout` begins with it */
  void (*destroy)(void *self, mfdata_ctx *ctx);
  /* Optional, on one thread of the host, another one than that of run: about once a second; when `pressure` would answer
   * something else; when a path of watch_path has changed. One may be under way when run returns, never in destroy. In
   * them the functions marked [call] that concern no file work. */
  mfdata_rc (*tick)(void *self, mfdata_ctx *ctx, const mfdata_tick *tick);
  void (*pressure_changed)(void *self, mfdata_ctx *ctx, mfdata_rc pressure, int64_t retry_after_ms);
  void (*path_changed)(void *self, mfdata_ctx *ctx, mfdata_str path);
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
  mfdata_str type;    /* "equal", "fnmatch", "regex", "bytes", each also with "not" before it, "alwaystrue", "plugin" */
  mfdata_str tag;     /* whose value is compared; empty for bytes, alwaystrue and plugin */
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
