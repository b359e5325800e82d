/* A wall clock that is wrong by what a file says, for a process that is to be shown how little it may go by it.
 *
 * Preloaded (LD_PRELOAD). ANJU_WALLCLOCK names a file of eight bytes: nanoseconds, signed, in this machine's order. The
 * file may be changed at any time. The monotonic clocks stay as they are, and adjtimex says that nobody keeps the clock
 * right, as on a box without a network.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *off_ns;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("ANJU_WALLCLOCK");
    if (!path) return;
    int fd = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) abort();
    void *page = mmap(NULL, sizeof *off_ns, PROT_READ, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED) abort();
    off_ns = page;
    syscall(SYS_close, fd);
}

int clock_gettime(clockid_t clock, struct timespec *at) {
    int result = syscall(SYS_clock_gettime, clock, at);
    if (result == 0 && off_ns && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        int64_t ns = (int64_t)at->tv_sec * 1000000000 + at->tv_nsec + *off_ns;
        at->tv_sec = ns / 1000000000;
        at->tv_nsec = ns % 1000000000;
    }
    return result;
}

int gettimeofday(struct timeval *at, void *zone) {
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}

int adjtimex(struct timex *asked) {
    int result = syscall(SYS_adjtimex, asked);
    if (result < 0 || !off_ns) return result;
    asked->status |= STA_UNSYNC;
    return TIME_ERROR;
}

int ntp_adjtime(struct timex *asked) { return adjtimex(asked); }
