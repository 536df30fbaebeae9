// Makes file operations below one folder fail, or ends the process there. Loaded by LD_PRELOAD; faults.rs sets the variables.
//
// FAULT_FOLDER   the folder, as an absolute path
// FAULT_LOG      a file that gets a line for each operation below the folder
// FAULT_AT       the number of the operation that fails, counted from 1; 0: none
// FAULT_TIMES    how many operations fail, one after the other
// FAULT_ERRNO    the error; 0: the process is killed before the operation, or in the middle of a write
//
// Operations are done by system calls of their own: the functions here replace those of the C library. Programs that make
// system calls without the C library are not seen.
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static char folder[PATH_MAX];
static size_t length;
static long at, times, error;
static int record = -1;
static atomic_long count;

static long number(const char *name, long otherwise) {
    const char *text = getenv(name);
    return text != NULL ? atol(text) : otherwise;
}

__attribute__((constructor)) static void begin(void) {
    const char *wanted = getenv("FAULT_FOLDER");
    if (wanted == NULL) {
        return;
    }
    at = number("FAULT_AT", 0);
    times = number("FAULT_TIMES", 1);
    error = number("FAULT_ERRNO", 0);
    const char *log = getenv("FAULT_LOG");
    if (log != NULL) {
        record = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    }
    snprintf(folder, sizeof folder, "%s", wanted);
    length = strlen(folder);
}

// The absolute path of a file that is named relative to an open folder, or of an open file where there is no name.
static void absolute(int file, const char *name, char *path) {
    char start[PATH_MAX] = "";
    if (name != NULL && name[0] == '/') {
        snprintf(path, PATH_MAX, "%s", name);
        return;
    }
    char link[64];
    snprintf(link, sizeof link, file == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", file);
    ssize_t got = readlink(link, start, sizeof start - 1);
    start[got > 0 ? got : 0] = '\0';
    if (name == NULL) {
        snprintf(path, PATH_MAX, "%s", start);
    } else if (strlen(start) + strlen(name) + 2 < PATH_MAX) {
        strcat(strcat(strcpy(path, start), "/"), name);
    } else {
        path[0] = '\0';
    }
}

// Counts an operation; returns whether it is the one to fail.
static int strikes(const char *operation, int file, const char *name) {
    if (length == 0) {
        return 0;
    }
    int saved = errno;
    char path[PATH_MAX];
    absolute(file, name, path);
    errno = saved;
    if (strncmp(path, folder, length) != 0 || (path[length] != '/' && path[length] != '\0')) {
        return 0;
    }
    long now = atomic_fetch_add(&count, 1) + 1;
    int due = at > 0 && now >= at && now - at < times;
    if (record >= 0) {
        char line[PATH_MAX + 64];
        int size = snprintf(line, sizeof line, "%ld %s %s%s\n", now, operation, path + length, due ? " fails" : "");
        syscall(SYS_write, record, line, (size_t)size);
        errno = saved;
    }
    return due;
}

static void die(void) {
    syscall(SYS_kill, getpid(), SIGKILL);
    for (;;) {
        pause();
    }
}

// Fails with the chosen error, or ends the process.
static long fail(void) {
    if (error == 0) {
        die();
    }
    errno = (int)error;
    return -1;
}

static int opened(int where, const char *name, int flags, mode_t mode) {
    if (strikes("open", where, name)) {
        return (int)fail();
    }
    return (int)syscall(SYS_openat, where, name, flags, mode);
}

static mode_t mode_of(int flags, va_list more) {
    return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(more, mode_t) : 0;
}

#define OPEN(name)                                                                                                     \
    int name(const char *path, int flags, ...) {                                                                       \
        va_list more;                                                                                                  \
        va_start(more, flags);                                                                                         \
        mode_t mode = mode_of(flags, more);                                                                            \
        va_end(more);                                                                                                  \
        return opened(AT_FDCWD, path, flags, mode);                                                                    \
    }
#define OPENAT(name)                                                                                                   \
    int name(int where, const char *path, int flags, ...) {                                                            \
        va_list more;                                                                                                  \
        va_start(more, flags);                                                                                         \
        mode_t mode = mode_of(flags, more);                                                                            \
        va_end(more);                                                                                                  \
        return opened(where, path, flags, mode);                                                                       \
    }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

DIR *opendir(const char *path) {
    static DIR *(*real)(const char *);
    if (real == NULL) {
        real = (DIR * (*)(const char *)) dlsym(RTLD_NEXT, "opendir");
    }
    if (strikes("opendir", AT_FDCWD, path)) {
        fail();
        return NULL;
    }
    return real(path);
}

int mkdir(const char *path, mode_t mode) {
    return strikes("mkdir", AT_FDCWD, path) ? (int)fail() : (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
}

int rename(const char *from, const char *to) {
    return strikes("rename", AT_FDCWD, to) ? (int)fail() : (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int unlink(const char *path) {
    return strikes("unlink", AT_FDCWD, path) ? (int)fail() : (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

int rmdir(const char *path) {
    return strikes("rmdir", AT_FDCWD, path) ? (int)fail() : (int)syscall(SYS_unlinkat, AT_FDCWD, path, AT_REMOVEDIR);
}

int unlinkat(int where, const char *path, int flags) {
    return strikes("unlinkat", where, path) ? (int)fail() : (int)syscall(SYS_unlinkat, where, path, flags);
}

int fsync(int file) {
    return strikes("fsync", file, NULL) ? (int)fail() : (int)syscall(SYS_fsync, file);
}

int fdatasync(int file) {
    return strikes("fdatasync", file, NULL) ? (int)fail() : (int)syscall(SYS_fdatasync, file);
}

int ftruncate(int file, off_t size) {
    return strikes("ftruncate", file, NULL) ? (int)fail() : (int)syscall(SYS_ftruncate, file, size);
}

int ftruncate64(int file, off64_t size) {
    return ftruncate(file, size);
}

ssize_t read(int file, void *bytes, size_t size) {
    return file > 2 && strikes("read", file, NULL) ? fail() : syscall(SYS_read, file, bytes, size);
}

ssize_t pread64(int file, void *bytes, size_t size, off64_t place) {
    return strikes("pread", file, NULL) ? fail() : syscall(SYS_pread64, file, bytes, size, place);
}

ssize_t pread(int file, void *bytes, size_t size, off_t place) {
    return pread64(file, bytes, size, place);
}

ssize_t write(int file, const void *bytes, size_t size) {
    if (file > 2 && strikes("write", file, NULL)) {
        if (error == 0) {
            syscall(SYS_write, file, bytes, size / 2);
        }
        return fail();
    }
    return syscall(SYS_write, file, bytes, size);
}

ssize_t pwrite64(int file, const void *bytes, size_t size, off64_t place) {
    return strikes("pwrite", file, NULL) ? fail() : syscall(SYS_pwrite64, file, bytes, size, place);
}

ssize_t pwrite(int file, const void *bytes, size_t size, off_t place) {
    return pwrite64(file, bytes, size, place);
}

ssize_t writev(int file, const struct iovec *parts, int number_of_parts) {
    return file > 2 && strikes("writev", file, NULL) ? fail() : syscall(SYS_writev, file, parts, number_of_parts);
}

void *mmap64(void *start, size_t size, int access, int flags, int file, off64_t place) {
    if (file >= 0 && strikes("mmap", file, NULL)) {
        fail();
        return MAP_FAILED;
    }
    return (void *)syscall(SYS_mmap, start, size, access, flags, file, place);
}

void *mmap(void *start, size_t size, int access, int flags, int file, off_t place) {
    return mmap64(start, size, access, flags, file, place);
}
