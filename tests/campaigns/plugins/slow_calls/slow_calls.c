/* slow_calls: a preloaded library that pauses before each call that changes names, attributes or data.
 *
 * Without it a killed process is nearly always found computing or waiting, since the calls of the spool protocol take
 * microseconds. With it a SIGKILL lands between any two of them. MFDATA_SLOW_CALLS_US is the longest pause, in
 * microseconds (0 or missing: no pause); each pause is random below it.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static void pause_a_moment(void) {
  static long longest_us = -1;
  static __thread unsigned long long state = 0;
  struct timespec span;
  if (longest_us < 0) {
    const char *text = getenv("MFDATA_SLOW_CALLS_US");
    longest_us = text ? atol(text) : 0;
  }
  if (longest_us == 0) return;
  if (state == 0) {
    clock_gettime(CLOCK_MONOTONIC, &span);
    state = (unsigned long long)span.tv_nsec * 2654435761u + (unsigned long long)getpid();
  }
  state = state * 6364136223846793005ull + 1442695040888963407ull;
  span.tv_sec = 0;
  span.tv_nsec = (long)((state >> 33) % (unsigned long long)longest_us) * 1000;
  nanosleep(&span, NULL);
}

/* The same function of the next library. POSIX allows the conversion that ISO C does not know. */
#define NEXT(name)                        \
  __extension__({                         \
    union {                               \
      void *object;                       \
      __typeof__(&name) call;             \
    } next;                               \
    next.object = dlsym(RTLD_NEXT, #name); \
    next.call;                            \
  })

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags) {
  pause_a_moment();
  return NEXT(renameat2)(from_dir, from, to_dir, to, flags);
}

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags) {
  pause_a_moment();
  return NEXT(linkat)(from_dir, from, to_dir, to, flags);
}

int unlinkat(int dir, const char *path, int flags) {
  pause_a_moment();
  return NEXT(unlinkat)(dir, path, flags);
}

int mkdirat(int dir, const char *path, mode_t mode) {
  pause_a_moment();
  return NEXT(mkdirat)(dir, path, mode);
}

int fsetxattr(int file, const char *name, const void *value, size_t size, int flags);
int fsetxattr(int file, const char *name, const void *value, size_t size, int flags) {
  pause_a_moment();
  return NEXT(fsetxattr)(file, name, value, size, flags);
}

int openat(int dir, const char *path, int flags, ...) {
  mode_t mode = 0;
  if (flags & O_CREAT) {
    va_list more;
    va_start(more, flags);
    mode = va_arg(more, mode_t);
    va_end(more);
    pause_a_moment();
  }
  return NEXT(openat)(dir, path, flags, mode);
}

ssize_t write(int file, const void *bytes, size_t size) {
  pause_a_moment();
  return NEXT(write)(file, bytes, size);
}

int fsync(int file) {
  pause_a_moment();
  return NEXT(fsync)(file);
}
