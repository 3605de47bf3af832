/*
 * relay - the three hops of ceiling.c in the shape of mfdata: one process sees
 * the events and hands each file to the process of its step by a message, and
 * the first of these asks libmagic, as guess_file_type does.  What is left of
 * a loader and three workers when all their own code is taken away.
 *
 *   relay --base DIR [--no-xattr]
 *       DIR/incoming is the input, DIR/out the output, until it is killed or
 *       its parent ends.  Drive it with loadgen.
 *
 * A dispatcher reads the inotify events of incoming, step1 and step2 and sends
 * the name to the process of that step over a SOCK_SEQPACKET socketpair.  A
 * hop is that of ceiling.c: rename into tmp/, setxattr user.tags with 400
 * bytes, rename into the next directory; the first calls magic_file before
 * the setxattr, the last writes NAME.tags.  Nothing is checked, remembered,
 * counted or repeated.  All run as SCHED_BATCH, as the loader and its workers
 * do: otherwise whoever is woken interrupts the one that wakes it.
 *
 * Build: cc -O2 -Wall -o relay relay.c -lmagic
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <magic.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { HOPS = 3, TAGS = 400 };

static const char *const directory[HOPS + 1] = {"incoming", "step1", "step2", "out"};
static int no_xattr;

static void die(const char *what)
{
    fprintf(stderr, "relay: %s: %s\n", what, strerror(errno));
    exit(2);
}

static void write_companion(const char *file, const char *tags)
{
    char companion[320], hidden[340];
    snprintf(companion, sizeof companion, "%s.tags", file);
    snprintf(hidden, sizeof hidden, "%s.t", companion);
    int fd = open(hidden, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, tags, TAGS) != TAGS) die(hidden);
    close(fd);
    if (rename(hidden, companion)) die(companion);
}

static void hop(int step, const char *name, magic_t magic)
{
    char from[300], taken[300], to[300], tags[TAGS];
    snprintf(from, sizeof from, "%s/%s", directory[step], name);
    snprintf(taken, sizeof taken, "tmp/%s", name);
    snprintf(to, sizeof to, "%s/%s", directory[step + 1], name);
    if (rename(from, taken)) die(from);
    const char *kind = magic ? magic_file(magic, taken) : "";
    if (!kind) {
        fprintf(stderr, "relay: libmagic: %s\n", magic_error(magic));
        exit(2);
    }
    int length = snprintf(tags, sizeof tags, "first.core.original_basename = %s\nhop = %d\nkind = %.100s\n", name, step, kind);
    if (length < TAGS) memset(tags + length, 'x', sizeof tags - (size_t)length);
    if (!no_xattr && setxattr(taken, "user.tags", tags, sizeof tags, 0)) die("setxattr");
    if (step == HOPS - 1) write_companion(to, tags);
    if (rename(taken, to)) die(to);
}

static void work(int step, int socket)
{
    char name[256];
    magic_t magic = NULL;
    if (step == 0 && (!(magic = magic_open(MAGIC_NONE)) || magic_load(magic, NULL))) die("no magic database");
    if (send(socket, "", 1, 0) != 1) die("send");
    for (ssize_t length; (length = recv(socket, name, sizeof name - 1, 0)) > 0; ) {
        name[length] = 0;
        hop(step, name, magic);
    }
    exit(0);
}

static int start_worker(int step)
{
    int pair[2];
    char ready;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) die("socketpair");
    pid_t child = fork();
    if (child < 0) die("fork");
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(pair[0]);
        work(step, pair[1]);
    }
    close(pair[1]);
    if (recv(pair[0], &ready, 1, 0) != 1) die("a worker does not start");
    return pair[0];
}

int main(int argc, char **argv)
{
    const char *base = NULL;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--no-xattr")) no_xattr = 1;
        else if (!strcmp(argv[i], "--base") && i + 1 < argc) base = argv[++i];
    }
    if (!base) {
        fprintf(stderr, "usage: relay --base DIR [--no-xattr]\n");
        return 2;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    mkdir(base, 0777);
    if (chdir(base)) die(base);
    mkdir("tmp", 0777);
    for (int i = 0; i <= HOPS; i++) mkdir(directory[i], 0777);
    struct sched_param none = {0};
    if (sched_setscheduler(0, SCHED_BATCH, &none)) die("SCHED_BATCH");
    int worker[HOPS], watch[HOPS], events = inotify_init1(IN_CLOEXEC);
    for (int step = 0; step < HOPS; step++) worker[step] = start_worker(step);
    for (int step = 0; step < HOPS; step++) {
        watch[step] = inotify_add_watch(events, directory[step], IN_CLOSE_WRITE | IN_MOVED_TO | IN_ONLYDIR);
        if (watch[step] < 0) die("inotify_add_watch");
    }
    static char buffer[65536] __attribute__((aligned(8)));
    for (;;) {
        ssize_t length = read(events, buffer, sizeof buffer);
        if (length < 0) die("read inotify");
        for (char *at = buffer; at < buffer + length; ) {
            struct inotify_event *event = (void *)at;
            at += sizeof *event + event->len;
            if (event->mask & IN_Q_OVERFLOW) fprintf(stderr, "relay: queue overflow\n");
            size_t size = event->len ? strlen(event->name) : 0;
            if (size == 0 || (size > 2 && !strcmp(event->name + size - 2, ".t"))) continue;
            for (int step = 0; step < HOPS; step++) {
                if (watch[step] == event->wd && send(worker[step], event->name, size, MSG_NOSIGNAL) < 0) die("send");
            }
        }
    }
}
