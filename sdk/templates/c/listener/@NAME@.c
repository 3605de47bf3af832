/* @NAME@: a listener that takes what arrives on a unix socket, one file for each connection, and answers "ok" once it is durable.
 *
 *   printf 'name.txt\ncontent' | socat - UNIX-CONNECT:/path/to/socket     (the first line is the file's name) */
#define _GNU_SOURCE
#include <errno.h>
#include <mfdata/plugin.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { kMaxName = 4096, kBlock = 65536 }; /* what is longer is no name: nobody fills our memory with it */

struct instance {
  const mfdata_host *host;
  char dest_dir[200];
  struct sockaddr_un address;
  int64_t patience; /* seconds that a sender has for its file */
  int listening;
  int stopping[2]; /* a pipe: it is readable once we are told to stop */
  char block[kBlock];
};

static mfdata_str str(const char *text) {
  mfdata_str s;
  s.p = text;
  s.n = strlen(text);
  return s;
}

static mfdata_str part(const char *bytes, size_t n) {
  mfdata_str s;
  s.p = bytes;
  s.n = n;
  return s;
}

/* Whether somebody answers there: then it is not ours to take away. */
static int is_in_use(const struct sockaddr_un *address) {
  const int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const int used = connect(probe, (const struct sockaddr *)address, sizeof *address) == 0 || errno == EAGAIN;
  close(probe);
  return used;
}

static void destroy(void *self, mfdata_ctx *ctx) {
  struct instance *it = (struct instance *)self;
  (void)ctx;
  if (it->listening >= 0) {
    close(it->listening);
    unlink(it->address.sun_path);
  }
  close(it->stopping[0]);
  close(it->stopping[1]);
  free(it);
}

/* Why it cannot be opened; NULL: it is open. */
static const char *open_socket(struct instance *it) {
  if (is_in_use(&it->address)) return "another program listens on the socket";
  unlink(it->address.sun_path); /* what one that was killed has left */
  it->listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (it->listening < 0) return "cannot make a socket";
  if (bind(it->listening, (const struct sockaddr *)&it->address, sizeof it->address) == 0 && listen(it->listening, 16) == 0) return NULL;
  close(it->listening);
  it->listening = -1;
  return "cannot listen on the socket";
}

static mfdata_rc create(const mfdata_init *init, void **self) {
  const mfdata_host *host = init->host;
  mfdata_str path = {NULL, 0}, dest = {NULL, 0};
  const char *trouble;
  struct instance *it = (struct instance *)calloc(1, sizeof *it);
  if (it == NULL) return MFDATA_E_NOMEM;
  it->host = host;
  it->listening = -1;
  it->patience = 60;
  if (pipe(it->stopping) != 0) {
    free(it);
    return host->set_error(init->ctx, MFDATA_E_IO, str("cannot make a pipe"));
  }
  if (host->config_text(init->ctx, str("socket"), &path) != MFDATA_OK || path.n == 0 || path.n >= sizeof it->address.sun_path) {
    destroy(it, init->ctx);
    return host->set_error(init->ctx, MFDATA_E_ARG, str("write socket, a path of at most 107 bytes, in [custom]"));
  }
  it->address.sun_family = AF_UNIX;
  memcpy(it->address.sun_path, path.p, path.n);
  if (host->config_text(init->ctx, str("dest_dir"), &dest) == MFDATA_OK && dest.n < sizeof it->dest_dir && dest.n > 0) memcpy(it->dest_dir, dest.p, dest.n);
  (void)host->config_integer(init->ctx, str("patience"), &it->patience);
  trouble = open_socket(it);
  if (trouble != NULL) {
    destroy(it, init->ctx);
    return host->set_error(init->ctx, MFDATA_E_IO, str(trouble));
  }
  *self = it;
  return MFDATA_OK;
}

static int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* What has come, at least a byte; 0: the sender has ended; negative: it cannot be read, its time is over, or we are told to stop. */
static ssize_t receive(struct instance *it, int client, int64_t until_ms) {
  struct pollfd both[2];
  const int64_t left = until_ms - now_ms();
  memset(both, 0, sizeof both);
  both[0].fd = client;
  both[1].fd = it->stopping[0];
  both[0].events = both[1].events = POLLIN;
  if (left <= 0 || poll(both, 2, (int)left) <= 0 || both[1].revents != 0) return -1;
  return read(client, it->block, sizeof it->block);
}

/* Only an OK of commit may be acknowledged: then the file is durable. */
static const char *take(struct instance *it, mfdata_ctx *ctx, int client) {
  const int64_t until = now_ms() + it->patience * 1000;
  char head[kMaxName + kBlock];
  size_t n = 0;
  ssize_t got = 0;
  const char *end = NULL;
  mfdata_deposit *deposit = NULL;
  mfdata_rc rc;
  while (end == NULL && n <= kMaxName && (got = receive(it, client, until)) > 0) {
    memcpy(head + n, it->block, (size_t)got);
    n += (size_t)got;
    end = (const char *)memchr(head, '\n', n);
  }
  if (got < 0) return "failed\n";
  if (end == NULL) return n > kMaxName ? "bad name\n" : "no name\n";
  rc = it->host->deposit_open(ctx, str(it->dest_dir), part(head, (size_t)(end - head)), NULL, &deposit);
  if (rc != MFDATA_OK) return rc == MFDATA_E_BUSY || rc == MFDATA_E_FULL ? "busy\n" : rc == MFDATA_E_ARG ? "bad name\n" : "failed\n";
  rc = it->host->deposit_write(ctx, deposit, end + 1, (size_t)(head + n - end - 1));
  while (rc == MFDATA_OK && (got = receive(it, client, until)) > 0) rc = it->host->deposit_write(ctx, deposit, it->block, (size_t)got);
  if (rc != MFDATA_OK || got < 0) {
    it->host->deposit_abort(ctx, deposit);
    return "failed\n";
  }
  return it->host->deposit_commit(ctx, deposit, NULL, NULL) == MFDATA_OK ? "ok\n" : "failed\n";
}

static mfdata_rc run(void *self, mfdata_ctx *ctx) {
  struct instance *it = (struct instance *)self;
  struct pollfd both[2];
  memset(both, 0, sizeof both);
  both[0].fd = it->listening;
  both[1].fd = it->stopping[0];
  both[0].events = both[1].events = POLLIN;
  for (;;) {
    const char *answer;
    int client;
    if (poll(both, 2, -1) <= 0) continue;
    if (both[1].revents != 0) return MFDATA_OK;
    client = accept4(it->listening, NULL, NULL, SOCK_CLOEXEC);
    if (client < 0) continue;
    answer = take(it, ctx, client);
    (void)!send(client, answer, strlen(answer), MSG_NOSIGNAL);
    close(client);
  }
}

/* Comes on another thread. */
static void stop(void *self) { (void)!write(((struct instance *)self)->stopping[1], "", 1); }

static const mfdata_listener listener = {sizeof(mfdata_listener), 0, create, run, stop, destroy, NULL, NULL, NULL};
static const mfdata_component component = {sizeof(mfdata_component), MFDATA_KIND_LISTENER, "main", "one file for each connection", &listener};
static const mfdata_component *const components[] = {&component};
static const mfdata_plugin plugin = {sizeof(mfdata_plugin), MFDATA_ABI_MAJOR, MFDATA_ABI_MINOR, MFDATA_NEED_MINOR, "@NAME@", "0.1.0", "files from a unix socket",
                                     "BSD-3-Clause", "1.0", components, 1, 0, NULL};

const mfdata_plugin *mfdata_plugin_v1(void) { return &plugin; }
