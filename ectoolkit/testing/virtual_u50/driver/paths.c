/* Calls of libc that take a path or a descriptor: those that mean the board go to driver.c or to the board's own folder,
   all others go on to libc unchanged. */
#define _GNU_SOURCE
#include "board.h"

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define NEXT(name)                                      \
    static __typeof__(name) *next;                      \
    if (!next) next = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

static const char *const ours[] = {"/sys/bus/pci/", "/dev/dri", "/dev/xfpga", NULL};

/* The path that a path stands for: in the board's folder where it is a place of PCIe or DRM, else itself. */
static const char *place(const char *path, char *buffer)
{
    const char *root = getenv("ECTOOLKIT_U50_ROOT");
    if (!root || !path) return path;
    for (int i = 0; ours[i]; i++)
        if (!strncmp(path, ours[i], strlen(ours[i]))) {
            if (snprintf(buffer, PATH_MAX, "%s%s", root, path) >= PATH_MAX) return path;
            return buffer;
        }
    return path;
}

static int is_node(const char *path)
{
    return getenv("ECTOOLKIT_U50_ROOT") && path && !strcmp(path, NODE_PATH);
}

#define OPEN(name)                                              \
    int name(const char *path, int flags, ...)                  \
    {                                                           \
        NEXT(name);                                             \
        char buffer[PATH_MAX];                                  \
        mode_t mode = 0;                                        \
        if (flags & (O_CREAT | __O_TMPFILE)) {                  \
            va_list list;                                       \
            va_start(list, flags);                              \
            mode = va_arg(list, mode_t);                        \
            va_end(list);                                       \
        }                                                       \
        if (is_node(path)) return board_open();                 \
        return next(place(path, buffer), flags, mode);          \
    }
OPEN(open)
OPEN(open64)

/* what open() becomes under _FORTIFY_SOURCE, which is how Debian compiles XRT */
int __open_2(const char *path, int flags) { return open(path, flags); }
int __open64_2(const char *path, int flags) { return open64(path, flags); }

#define WITH_PATH(type, name, parameters, ...)          \
    type name parameters                                \
    {                                                   \
        NEXT(name);                                     \
        char buffer[PATH_MAX];                          \
        return next(__VA_ARGS__);                       \
    }
WITH_PATH(FILE *, fopen, (const char *path, const char *mode), place(path, buffer), mode)
WITH_PATH(FILE *, fopen64, (const char *path, const char *mode), place(path, buffer), mode)
WITH_PATH(DIR *, opendir, (const char *path), place(path, buffer))
WITH_PATH(int, access, (const char *path, int mode), place(path, buffer), mode)
WITH_PATH(int, stat, (const char *path, struct stat *out), place(path, buffer), out)
WITH_PATH(int, stat64, (const char *path, struct stat64 *out), place(path, buffer), out)
WITH_PATH(int, lstat, (const char *path, struct stat *out), place(path, buffer), out)
WITH_PATH(int, lstat64, (const char *path, struct stat64 *out), place(path, buffer), out)
WITH_PATH(int, statx, (int folder, const char *path, int flags, unsigned mask, struct statx *out), folder,
          place(path, buffer), flags, mask, out)
WITH_PATH(ssize_t, readlink, (const char *path, char *out, size_t size), place(path, buffer), out, size)

int ioctl(int fd, unsigned long request, ...)
{
    static int (*next)(int, unsigned long, ...);
    va_list list;
    va_start(list, request);
    void *argument = va_arg(list, void *);
    va_end(list);
    if (board_owns(fd)) return board_ioctl(fd, request, argument);
    if (!next) next = (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
    return next(fd, request, argument);
}

#define MAP(name, offset_type)                                                                          \
    void *name(void *where, size_t size, int protection, int flags, int fd, offset_type offset)         \
    {                                                                                                   \
        NEXT(name);                                                                                     \
        if (board_owns(fd)) return board_map(fd, size, protection, (off_t)offset);                      \
        return next(where, size, protection, flags, fd, offset);                                        \
    }
MAP(mmap, off_t)
MAP(mmap64, off64_t)

int poll(struct pollfd *entries, nfds_t count, int timeout_ms)
{
    NEXT(poll);
    if (count == 1 && board_owns(entries->fd)) return board_poll(entries, timeout_ms);
    return next(entries, count, timeout_ms);
}

int close(int fd)
{
    NEXT(close);
    if (board_owns(fd)) return board_close(fd);
    return next(fd);
}
