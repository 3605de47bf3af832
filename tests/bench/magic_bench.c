/*
 * magic_bench - what libmagic alone costs, as guess_file_type calls it: one
 * file is identified again and again, by path.
 *
 *   magic_bench FILE N RATE
 *       N times, RATE times a second (0: one after the other).  Prints the
 *       milliseconds of one call as JSON: median and 99th percentile.
 *
 * At 100 times a second the processor's caches are cold each time: libmagic
 * walks through some megabytes of rules, and takes several times as long.
 */
#include <magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e3 + t.tv_nsec * 1e-6;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    long n = argc == 4 ? atol(argv[2]) : 0, rate = argc == 4 ? atol(argv[3]) : 0;
    magic_t magic = magic_open(MAGIC_NONE);
    double *took = n > 0 ? malloc((size_t)n * sizeof *took) : NULL;
    if (!took || !magic || magic_load(magic, NULL) != 0) {
        fprintf(stderr, "magic_bench: FILE N RATE, and a magic database\n");
        return 2;
    }
    for (long i = 0; i < n; ++i) {
        double began = now_ms();
        if (!magic_file(magic, argv[1])) return 2;
        took[i] = now_ms() - began;
        if (rate > 0) usleep((useconds_t)(1000000 / rate));
    }
    qsort(took, (size_t)n, sizeof *took, by_size);
    printf("{\"p50_ms\": %.4f, \"p99_ms\": %.4f}\n", took[n / 2], took[n * 99 / 100]);
    free(took);
    magic_close(magic);
    return 0;
}
