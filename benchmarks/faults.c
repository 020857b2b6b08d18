/* Faults of the system, for benchmarks/faults.py: gcc -shared -fPIC -o faults.so faults.c -ldl, then LD_PRELOAD.

FAULTS_EIO=n: the n-th write, pwrite or fsync of a file whose path contains "/.work/" fails with EIO, once per process.
FAULTS_CLOCK=n: after every n questions for the time of day, the clock is set forward or back by hours or days. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static atomic_long writes, questions;

static long setting(const char *name) {
    const char *value = getenv(name);
    return value ? atol(value) : 0;
}

static int fails(int file) {
    char link[64], path[4096];
    long at = setting("FAULTS_EIO");
    if (!at) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return strstr(path, "/.work/") && atomic_fetch_add(&writes, 1) + 1 == at;
}

ssize_t write(int file, const void *bytes, size_t count) {
    static ssize_t (*real)(int, const void *, size_t);
    if (!real) real = dlsym(RTLD_NEXT, "write");
    if (fails(file)) { errno = EIO; return -1; }
    return real(file, bytes, count);
}

ssize_t pwrite(int file, const void *bytes, size_t count, off_t offset) {
    static ssize_t (*real)(int, const void *, size_t, off_t);
    if (!real) real = dlsym(RTLD_NEXT, "pwrite");
    if (fails(file)) { errno = EIO; return -1; }
    return real(file, bytes, count, offset);
}

ssize_t pwrite64(int file, const void *bytes, size_t count, off_t offset) { return pwrite(file, bytes, count, offset); }

int fsync(int file) {
    static int (*real)(int);
    if (!real) real = dlsym(RTLD_NEXT, "fsync");
    if (fails(file)) { errno = EIO; return -1; }
    return real(file);
}

static long jump(void) {
    long every = setting("FAULTS_CLOCK"), now = atomic_fetch_add(&questions, 1);
    return every ? 31000 * (now / every * 5 % 7 - 3) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, time);
    if (!result && clock == CLOCK_REALTIME) time->tv_sec += jump();
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    static int (*real)(struct timeval *, void *);
    if (!real) real = dlsym(RTLD_NEXT, "gettimeofday");
    int result = real(now, zone);
    if (!result) now->tv_sec += jump();
    return result;
}

time_t time(time_t *out) {
    static time_t (*real)(time_t *);
    if (!real) real = dlsym(RTLD_NEXT, "time");
    time_t now = real(NULL) + jump();
    if (out) *out = now;
    return now;
}
