/* A wall clock that can be put forward and back while a program runs: preloaded into it by tests/kit/src/faults/clock_faults.rs.
 *
 * The file named by SLUICEGATE_CLOCK holds the shift in nanoseconds as one 64-bit number. The monotonic clock stays as it is.
 * A wait for a moment of the wall clock ends when the shifted clock says so, also when it is shifted while the wait goes on,
 * as with a real clock. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECOND INT64_C(1000000000)
/* How often a wait looks at the clock. */
#define LOOK (SECOND / 50)

static const volatile int64_t unshifted;

static int64_t shift(void) {
    static const volatile int64_t *place;
    if (place == NULL) {
        const char *path = getenv("SLUICEGATE_CLOCK");
        int file = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
        void *page = file < 0 ? MAP_FAILED : mmap(NULL, sizeof *place, PROT_READ, MAP_SHARED, file, 0);
        place = page == MAP_FAILED ? &unshifted : page;
    }
    return *place;
}

static int64_t now(clockid_t clock) {
    struct timespec time = {0, 0};
    syscall(SYS_clock_gettime, clock, &time);
    return time.tv_sec * SECOND + time.tv_nsec;
}

static struct timespec timespec_of(int64_t moment) {
    struct timespec time = {moment / SECOND, moment % SECOND};
    return time;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    int failed = (int)syscall(SYS_clock_gettime, clock, time);
    if (failed == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        *time = timespec_of(time->tv_sec * SECOND + time->tv_nsec + shift());
    return failed;
}

int timespec_get(struct timespec *time, int base) {
    return base == TIME_UTC && clock_gettime(CLOCK_REALTIME, time) == 0 ? base : 0;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
    (void)zone;
    int64_t moment = now(CLOCK_REALTIME) + shift();
    time->tv_sec = moment / SECOND;
    time->tv_usec = moment % SECOND / 1000;
    return 0;
}

time_t time(time_t *place) {
    time_t seconds = (now(CLOCK_REALTIME) + shift()) / SECOND;
    if (place != NULL)
        *place = seconds;
    return seconds;
}

int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex, const struct timespec *until) {
    int64_t moment = until->tv_sec * SECOND + until->tv_nsec;
    for (;;) {
        int64_t left = moment - (now(CLOCK_REALTIME) + shift());
        if (left <= 0)
            return ETIMEDOUT;
        struct timespec look = timespec_of(now(CLOCK_MONOTONIC) + (left < LOOK ? left : LOOK));
        int ended = pthread_cond_clockwait(condition, mutex, CLOCK_MONOTONIC, &look);
        if (ended != ETIMEDOUT)
            return ended;
    }
}
