/* Notes what a process does to the files under a folder, so that a power cut can be played afterwards (powercut.py).
 *
 * Preloaded (LD_PRELOAD). Every call is done as it would be, and then written to a log outside of the folder; what the
 * log holds survives SIGKILL, as the page cache does. powercut.py knows from it what a disk would have kept.
 *
 * A record is written after its call, under a lock, so their order is the order of the calls. That of an fsync names the
 * end of the log as it was when the fsync began: only what was written before is durable by it.
 *
 * Seen are the calls of Python and SQLite. Not seen are stdio's own (fopen, fwrite), io_uring and a writable shared
 * mapping; the last is noted as something that the model does not know, but for SQLite's -shm, which is nothing durable.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { CREATE = 1, WRITE, TRUNCATE, SYNC, SYNC_FOLDER, SYNC_ALL, RENAME, UNLINK, MAKE_FOLDER, LINK, UNKNOWN, RENAME_FOLDER };
enum { OTHER = 0, FILE_HERE = 1, FOLDER_HERE = 2 };

struct record {
    uint32_t magic, kind;
    uint64_t inode, at, size; /* at: offset of a write; of a sync the end of the log when it began; of a file its mode */
    uint32_t path_bytes, to_bytes;
    uint64_t data_bytes;
};

#define MAGIC 0x54554350u
#define KNOWN 4096

static struct { dev_t device; ino_t inode; char what, synced; } known[KNOWN];
static char folder[PATH_MAX];
static size_t folder_bytes;
static int log_fd = -1;
static unsigned sync_us;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void take(void) { pthread_mutex_lock(&lock); }
static void give(void) { pthread_mutex_unlock(&lock); }
static void renew(void) { pthread_mutex_init(&lock, NULL); }

static void die(const char *why) {
    (void)!write(2, why, strlen(why));
    abort();
}

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("ANJU_POWERCUT_LOG"), *of = getenv("ANJU_POWERCUT_FOLDER");
    const char *delay = getenv("ANJU_POWERCUT_SYNC_US");
    if (!path || !of || !realpath(of, folder)) return;
    folder_bytes = strlen(folder);
    sync_us = delay ? (unsigned)atoi(delay) : 0;
    int fd = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) die("powercut: the log cannot be opened\n");
    log_fd = fcntl(fd, F_DUPFD_CLOEXEC, 700); /* where nobody expects one */
    if (log_fd < 0) log_fd = fd;
    else syscall(SYS_close, fd);
    flock(log_fd, LOCK_SH); /* for as long as this process lives */
    pthread_atfork(take, give, renew);
}

static void note(int kind, uint64_t inode, uint64_t at, uint64_t size, const char *path, const char *to,
                 const struct iovec *data, int parts, uint64_t data_bytes) {
    struct record r = {MAGIC, kind, inode, at, size, path ? strlen(path) : 0, to ? strlen(to) : 0, data_bytes};
    struct iovec all[8 + IOV_MAX];
    int n = 0;
    all[n++] = (struct iovec){&r, sizeof r};
    if (path) all[n++] = (struct iovec){(char *)path, r.path_bytes};
    if (to) all[n++] = (struct iovec){(char *)to, r.to_bytes};
    uint64_t left = data_bytes, total = sizeof r + r.path_bytes + r.to_bytes + data_bytes;
    for (int i = 0; i < parts && left; i++) {
        size_t bytes = data[i].iov_len < left ? data[i].iov_len : left;
        all[n++] = (struct iovec){data[i].iov_base, bytes};
        left -= bytes;
    }
    int error = errno;
    if (n > IOV_MAX || (uint64_t)syscall(SYS_writev, log_fd, all, n) != total) die("powercut: the log cannot be written\n");
    errno = error;
}

static uint64_t log_end(void) {
    struct stat s;
    return fstat(log_fd, &s) ? 0 : (uint64_t)s.st_size;
}

static int is_within(const char *path) {
    return !strncmp(path, folder, folder_bytes) && (path[folder_bytes] == '/' || !path[folder_bytes]);
}

/* Where an open file is; its name within the folder, or NULL. */
static const char *name_of(int fd, char out[PATH_MAX]) {
    char link[40];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, out, PATH_MAX - 1);
    if (n <= 0) return NULL;
    out[n] = 0;
    if (!is_within(out)) return NULL;
    return out + folder_bytes + (out[folder_bytes] == '/');
}

/* Where a path leads, its last part taken as it is; its name within the folder, or NULL. */
static const char *name_at(int at, const char *path, char out[PATH_MAX]) {
    char whole[2 * PATH_MAX], real[PATH_MAX];
    if (log_fd < 0 || !path || !*path) return NULL;
    int error = errno;
    if (*path == '/') snprintf(whole, sizeof whole, "%s", path);
    else {
        char base[PATH_MAX], link[40];
        snprintf(link, sizeof link, "/proc/self/fd/%d", at);
        ssize_t n = readlink(at == AT_FDCWD ? "/proc/self/cwd" : link, base, sizeof base - 1);
        if (n <= 0) { errno = error; return NULL; }
        base[n] = 0;
        snprintf(whole, sizeof whole, "%s/%s", base, path);
    }
    size_t end = strlen(whole);
    while (end > 1 && whole[end - 1] == '/') whole[--end] = 0;
    char *last = strrchr(whole, '/');
    *last = 0;
    char *found = realpath(*whole ? whole : "/", real);
    errno = error;
    if (!found) return NULL;
    if (snprintf(out, PATH_MAX, "%s/%s", real, last + 1) >= PATH_MAX || !is_within(out) || !out[folder_bytes]) return NULL;
    return out + folder_bytes + 1;
}

/* What an open file is. `inode` is its own. */
static int what_is(int fd, ino_t *inode) {
    struct stat s;
    char path[PATH_MAX];
    int error = errno, what = OTHER;
    if (log_fd < 0 || fd < 0 || fstat(fd, &s) || !(S_ISREG(s.st_mode) || S_ISDIR(s.st_mode))) { errno = error; return OTHER; }
    *inode = s.st_ino;
    if (fd < KNOWN && known[fd].inode == s.st_ino && known[fd].device == s.st_dev) { errno = error; return known[fd].what; }
    if (name_of(fd, path)) what = S_ISREG(s.st_mode) ? FILE_HERE : FOLDER_HERE;
    if (fd < KNOWN) {
        known[fd].device = s.st_dev, known[fd].inode = s.st_ino, known[fd].what = what;
        known[fd].synced = (fcntl(fd, F_GETFL) & O_DSYNC) != 0; /* of which O_SYNC is a part */
    }
    errno = error;
    return what;
}

static int is_synced(int fd) { return fd < KNOWN ? known[fd].synced : (fcntl(fd, F_GETFL) & O_DSYNC) != 0; }

/* Opening */

static int opened(int at, const char *path, int flags, mode_t mode) {
    char whole[PATH_MAX];
    const char *name = log_fd >= 0 && flags & (O_CREAT | O_TRUNC) ? name_at(at, path, whole) : NULL;
    struct stat before;
    if (name) take();
    int error = errno;
    int is_new = name && fstatat(at, path, &before, 0);
    errno = error;
    int fd = syscall(SYS_openat, at, path, flags, mode);
    if (log_fd >= 0 && fd >= 0 && fd < KNOWN) known[fd].inode = 0;
    if (name) {
        struct stat s;
        if (fd >= 0 && !fstat(fd, &s) && S_ISREG(s.st_mode)) {
            if (is_new) note(CREATE, s.st_ino, s.st_mode, 0, name, NULL, NULL, 0, 0);
            else if (flags & O_TRUNC) note(TRUNCATE, s.st_ino, 0, 0, NULL, NULL, NULL, 0, 0);
        }
        give();
    }
    return fd;
}

static mode_t mode_of(int flags, va_list rest) {
    return flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(rest, mode_t) : 0;
}

#define OPEN(NAME) int NAME(const char *path, int flags, ...) { \
    va_list rest; va_start(rest, flags); mode_t mode = mode_of(flags, rest); va_end(rest); \
    return opened(AT_FDCWD, path, flags, mode); }
#define OPENAT(NAME) int NAME(int at, const char *path, int flags, ...) { \
    va_list rest; va_start(rest, flags); mode_t mode = mode_of(flags, rest); va_end(rest); \
    return opened(at, path, flags, mode); }
OPEN(open) OPEN(open64) OPENAT(openat) OPENAT(openat64)
int __open_2(const char *path, int flags) { return opened(AT_FDCWD, path, flags, 0); }
int __open64_2(const char *path, int flags) { return opened(AT_FDCWD, path, flags, 0); }
int __openat_2(int at, const char *path, int flags) { return opened(at, path, flags, 0); }
int __openat64_2(int at, const char *path, int flags) { return opened(at, path, flags, 0); }
int creat(const char *path, mode_t mode) { return opened(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return creat(path, mode); }

/* Writing */

/* `long` holds an offset: 64-bit machines alone. */
_Static_assert(sizeof(long) == 8, "a 64-bit machine");

static ssize_t written(int fd, const struct iovec *data, int parts, off_t at, int flags, int is_placed) {
    ino_t inode;
    if (what_is(fd, &inode) != FILE_HERE)
        return is_placed ? syscall(SYS_pwritev2, fd, data, parts, (long)at, 0L, flags) : syscall(SYS_writev, fd, data, parts);
    take();
    ssize_t n = is_placed ? syscall(SYS_pwritev2, fd, data, parts, (long)at, 0L, flags) : syscall(SYS_writev, fd, data, parts);
    if (n > 0) {
        if (!is_placed) at = lseek(fd, 0, SEEK_CUR) - n;
        note(WRITE, inode, at, n, NULL, NULL, data, parts, n);
        if (is_synced(fd) || flags & (RWF_DSYNC | RWF_SYNC)) note(SYNC, inode, log_end(), 0, NULL, NULL, NULL, 0, 0);
    }
    give();
    return n;
}

ssize_t write(int fd, const void *data, size_t bytes) {
    ino_t inode;
    struct iovec one = {(void *)data, bytes};
    return what_is(fd, &inode) == FILE_HERE ? written(fd, &one, 1, 0, 0, 0) : syscall(SYS_write, fd, data, bytes);
}
ssize_t pwrite64(int fd, const void *data, size_t bytes, off64_t at) {
    ino_t inode;
    struct iovec one = {(void *)data, bytes};
    return what_is(fd, &inode) == FILE_HERE ? written(fd, &one, 1, at, 0, 1) : syscall(SYS_pwrite64, fd, data, bytes, at);
}
ssize_t pwrite(int fd, const void *data, size_t bytes, off_t at) { return pwrite64(fd, data, bytes, at); }
ssize_t writev(int fd, const struct iovec *data, int parts) { return written(fd, data, parts, 0, 0, 0); }
ssize_t pwritev64(int fd, const struct iovec *data, int parts, off64_t at) { return written(fd, data, parts, at, 0, 1); }
ssize_t pwritev(int fd, const struct iovec *data, int parts, off_t at) { return written(fd, data, parts, at, 0, 1); }
ssize_t pwritev64v2(int fd, const struct iovec *data, int parts, off64_t at, int flags) {
    return written(fd, data, parts, at, flags, at != -1);
}
ssize_t pwritev2(int fd, const struct iovec *data, int parts, off_t at, int flags) {
    return written(fd, data, parts, at, flags, at != -1);
}

/* Notes what another call has just put into a file, by reading it again. */
static void note_again(int fd, ino_t inode, off_t at, ssize_t bytes) {
    char path[40], buffer[65536];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int again = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    while (bytes > 0) {
        ssize_t n = pread(again, buffer, bytes < (ssize_t)sizeof buffer ? bytes : (ssize_t)sizeof buffer, at);
        if (n <= 0) die("powercut: what was copied cannot be read\n");
        struct iovec one = {buffer, n};
        note(WRITE, inode, at, n, NULL, NULL, &one, 1, n);
        at += n, bytes -= n;
    }
    syscall(SYS_close, again);
}
ssize_t sendfile64(int to, int from, off64_t *at, size_t bytes) {
    ino_t inode;
    if (what_is(to, &inode) != FILE_HERE) return syscall(SYS_sendfile, to, from, at, bytes);
    take();
    ssize_t n = syscall(SYS_sendfile, to, from, at, bytes);
    if (n > 0) note_again(to, inode, lseek(to, 0, SEEK_CUR) - n, n);
    give();
    return n;
}
ssize_t sendfile(int to, int from, off_t *at, size_t bytes) { return sendfile64(to, from, at, bytes); }
ssize_t copy_file_range(int from, off64_t *from_at, int to, off64_t *to_at, size_t bytes, unsigned flags) {
    ino_t inode;
    if (what_is(to, &inode) != FILE_HERE) return syscall(SYS_copy_file_range, from, from_at, to, to_at, bytes, flags);
    take();
    ssize_t n = syscall(SYS_copy_file_range, from, from_at, to, to_at, bytes, flags);
    if (n > 0) note_again(to, inode, (to_at ? *to_at : lseek(to, 0, SEEK_CUR)) - n, n);
    give();
    return n;
}

int ftruncate64(int fd, off64_t size) {
    ino_t inode;
    int is_here = what_is(fd, &inode) == FILE_HERE;
    if (is_here) take();
    int done = syscall(SYS_ftruncate, fd, size);
    if (is_here) {
        if (!done) note(TRUNCATE, inode, 0, size, NULL, NULL, NULL, 0, 0);
        give();
    }
    return done;
}
int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }
int truncate64(const char *path, off64_t size) {
    int fd = opened(AT_FDCWD, path, O_WRONLY | O_CLOEXEC, 0);
    if (fd < 0) return -1;
    int done = ftruncate64(fd, size), error = errno;
    syscall(SYS_close, fd);
    errno = error;
    return done;
}
int truncate(const char *path, off_t size) { return truncate64(path, size); }
int fallocate64(int fd, int mode, off64_t at, off64_t bytes) {
    ino_t inode;
    int is_here = what_is(fd, &inode) == FILE_HERE;
    if (is_here) take();
    struct stat before, after;
    int known_size = is_here && !fstat(fd, &before);
    int done = syscall(SYS_fallocate, fd, mode, at, bytes);
    if (is_here) {
        if (!done && mode & ~FALLOC_FL_KEEP_SIZE) note(UNKNOWN, inode, 0, 0, "fallocate of a special mode", NULL, NULL, 0, 0);
        else if (!done && known_size && !fstat(fd, &after) && after.st_size != before.st_size)
            note(TRUNCATE, inode, 0, after.st_size, NULL, NULL, NULL, 0, 0);
        give();
    }
    return done;
}
int fallocate(int fd, int mode, off_t at, off_t bytes) { return fallocate64(fd, mode, at, bytes); }
int posix_fallocate64(int fd, off64_t at, off64_t bytes) {
    int before = errno, done = fallocate64(fd, 0, at, bytes) ? errno : 0;
    errno = before;
    return done;
}
int posix_fallocate(int fd, off_t at, off_t bytes) { return posix_fallocate64(fd, at, bytes); }

void *mmap64(void *where, size_t bytes, int protection, int flags, int fd, off64_t at) {
    ino_t inode;
    char path[PATH_MAX];
    if (log_fd >= 0 && !(flags & MAP_ANONYMOUS) && protection & PROT_WRITE && (flags & MAP_TYPE) != MAP_PRIVATE &&
        what_is(fd, &inode) == FILE_HERE) {
        const char *name = name_of(fd, path);
        size_t n = name ? strlen(name) : 0;
        if (n < 4 || strcmp(name + n - 4, "-shm")) {
            take();
            note(UNKNOWN, inode, 0, 0, "a writable shared mapping", NULL, NULL, 0, 0);
            give();
        }
    }
    return (void *)syscall(SYS_mmap, where, bytes, protection, flags, fd, at);
}
void *mmap(void *where, size_t bytes, int protection, int flags, int fd, off_t at) {
    return mmap64(where, bytes, protection, flags, fd, at);
}

/* Making durable */

static int synced(int fd, long call) {
    ino_t inode;
    char path[PATH_MAX];
    int what = what_is(fd, &inode);
    take();
    uint64_t upto = what == OTHER ? 0 : log_end();
    give();
    int done = syscall(call, fd);
    if (what == OTHER || done) return done;
    if (sync_us) {
        struct timespec time = {sync_us / 1000000, sync_us % 1000000 * 1000L};
        nanosleep(&time, NULL);
    }
    take();
    if (what == FILE_HERE) note(SYNC, inode, upto, 0, NULL, NULL, NULL, 0, 0);
    else {
        const char *name = name_of(fd, path);
        if (name) note(SYNC_FOLDER, 0, upto, 0, name, NULL, NULL, 0, 0);
    }
    give();
    return 0;
}
int fsync(int fd) { return synced(fd, SYS_fsync); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }
static void all_synced(void) {
    if (log_fd < 0) return;
    take();
    note(SYNC_ALL, 0, log_end(), 0, NULL, NULL, NULL, 0, 0);
    give();
}
void sync(void) { syscall(SYS_sync); all_synced(); }
int syncfs(int fd) { int done = syscall(SYS_syncfs, fd); if (!done) all_synced(); return done; }

/* Names */

static int renamed(int at, const char *from, int to_at, const char *to, unsigned flags) {
    char a[PATH_MAX], b[PATH_MAX];
    const char *old = name_at(at, from, a), *new = name_at(to_at, to, b);
    struct stat s = {0};
    if (!old && !new) return syscall(SYS_renameat2, at, from, to_at, to, flags);
    take();
    int error = errno;
    fstatat(at, from, &s, AT_SYMLINK_NOFOLLOW);
    errno = error;
    int done = syscall(SYS_renameat2, at, from, to_at, to, flags);
    if (!done) {
        if (flags & ~RENAME_NOREPLACE || !old || !new)
            note(UNKNOWN, s.st_ino, 0, 0, "a rename into or out of the folder, or an exchange", NULL, NULL, 0, 0);
        else note(S_ISDIR(s.st_mode) ? RENAME_FOLDER : RENAME, s.st_ino, 0, 0, old, new, NULL, 0, 0);
    }
    give();
    return done;
}
int rename(const char *from, const char *to) { return renamed(AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int at, const char *from, int to_at, const char *to) { return renamed(at, from, to_at, to, 0); }
int renameat2(int at, const char *from, int to_at, const char *to, unsigned flags) { return renamed(at, from, to_at, to, flags); }

static int removed(int at, const char *path, int flags) {
    char a[PATH_MAX];
    const char *name = name_at(at, path, a);
    if (!name) return syscall(SYS_unlinkat, at, path, flags);
    take();
    int done = syscall(SYS_unlinkat, at, path, flags);
    if (!done) note(UNLINK, 0, 0, 0, name, NULL, NULL, 0, 0);
    give();
    return done;
}
int unlink(const char *path) { return removed(AT_FDCWD, path, 0); }
int unlinkat(int at, const char *path, int flags) { return removed(at, path, flags); }
int rmdir(const char *path) { return removed(AT_FDCWD, path, AT_REMOVEDIR); }
int remove(const char *path) {
    int done = removed(AT_FDCWD, path, 0);
    return done && errno == EISDIR ? rmdir(path) : done;
}

int mkdirat(int at, const char *path, mode_t mode) {
    char a[PATH_MAX];
    const char *name = name_at(at, path, a);
    if (!name) return syscall(SYS_mkdirat, at, path, mode);
    take();
    int done = syscall(SYS_mkdirat, at, path, mode);
    struct stat s = {0};
    if (!done && !fstatat(at, path, &s, 0)) note(MAKE_FOLDER, s.st_ino, s.st_mode, 0, name, NULL, NULL, 0, 0);
    give();
    return done;
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

int linkat(int at, const char *from, int to_at, const char *to, int flags) {
    char b[PATH_MAX];
    const char *new = name_at(to_at, to, b);
    if (!new) return syscall(SYS_linkat, at, from, to_at, to, flags);
    take();
    int done = syscall(SYS_linkat, at, from, to_at, to, flags);
    struct stat s = {0};
    if (!done && !fstatat(to_at, to, &s, AT_SYMLINK_NOFOLLOW)) note(LINK, s.st_ino, 0, 0, new, NULL, NULL, 0, 0);
    give();
    return done;
}
int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }
