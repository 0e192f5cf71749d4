#include "common/base/file.h"

#include "common/base/fd.h"
#include "common/base/own.h"

#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>

#define READ_STEP ((size_t)65536)

bool file_read(int dir_fd, const char *path, size_t max, struct buf *out, struct err *err)
{
    CLEANUP(fd_closep)
    struct fd file = { openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK) };
    if (file.raw < 0 && errno == ENOENT)
        return err_set(err, ERR_NOT_FOUND, "open \"%s\": no such file", path);
    if (file.raw < 0)
        return err_sys(err, errno, "open \"%s\"", path);
    struct stat st;
    if (fstat(file.raw, &st) < 0)
        return err_sys(err, errno, "stat \"%s\"", path);
    if (!S_ISREG(st.st_mode))
        return err_set(err, ERR_INVALID, "read \"%s\": not a regular file", path);
    size_t start = out->len, got;
    do {
        size_t left = max - (out->len - start);
        size_t step = left < READ_STEP ? left + 1 : READ_STEP; /* one more shows an excess */
        if (!fd_read_full(file.raw, buf_reserve(out, step), step, &got, err))
            return err_wrap(err, "read \"%s\"", path);
        out->len += got;
        if (out->len - start > max)
            return err_set(err, ERR_CORRUPT, "read \"%s\": more than %zu bytes", path, max);
    } while (got > 0);
    return true;
}

/* The directory part of `path` ("." when there is none) as its own descriptor. */
static bool open_parent(int dir_fd, const char *path, struct fd *out, const char **out_base,
                        struct err *err)
{
    const char *slash = strrchr(path, '/');
    *out_base = slash == NULL ? path : slash + 1;
    CLEANUP(str_freep)
    char *dir = slash == NULL   ? str_copy(".")
                : slash == path ? str_copy("/")
                                : str_copy_n(path, (size_t)(slash - path));
    *out = (struct fd){ openat(dir_fd, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
    if (out->raw < 0)
        return err_sys(err, errno, "open directory \"%s\"", dir);
    return true;
}

static bool fill(int fd, struct view bytes, mode_t mode, struct err *err)
{
    if (!fd_write_all(fd, bytes.data, bytes.len, err))
        return false;
    if (fchmod(fd, mode) < 0)
        return err_sys(err, errno, "set mode %o", (unsigned)mode);
    if (fsync(fd) < 0)
        return err_sys(err, errno, "sync file");
    return true;
}

/* link refuses an existing name where rename would replace it. */
static bool give_name(int dir, const char *temp, const char *base, enum file_mode_flags flags,
                      struct err *err)
{
    if (flags == FILE_REPLACE)
        return renameat(dir, temp, dir, base) == 0 || err_sys(err, errno, "rename");
    if (linkat(dir, temp, dir, base, 0) == 0) {
        (void)unlinkat(dir, temp, 0);
        return true;
    }
    if (errno == EEXIST)
        return err_set(err, ERR_CONFLICT, "exists already");
    return err_sys(err, errno, "link");
}

bool file_publish(int dir_fd, const char *path, struct view bytes, mode_t mode,
                  enum file_mode_flags flags, struct err *err)
{
    CLEANUP(fd_closep) struct fd dir = FD_NONE;
    const char *base;
    if (!open_parent(dir_fd, path, &dir, &base, err))
        return err_wrap(err, "publish \"%s\"", path);
    uint64_t nonce = 0;
    if (getrandom(&nonce, sizeof(nonce), 0) != (ssize_t)sizeof(nonce))
        return err_sys(err, errno, "publish \"%s\": random bytes", path);
    char temp[64];
    (void)snprintf(temp, sizeof(temp), ".tmp-%016llx", (unsigned long long)nonce);
    CLEANUP(fd_closep)
    struct fd file = { openat(dir.raw, temp, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600) };
    if (file.raw < 0)
        return err_sys(err, errno, "publish \"%s\": create temporary", path);
    if (!fill(file.raw, bytes, mode, err) || !give_name(dir.raw, temp, base, flags, err)) {
        (void)unlinkat(dir.raw, temp, 0);
        return err_wrap(err, "publish \"%s\"", path);
    }
    if (fsync(dir.raw) < 0)
        return err_sys(err, errno, "publish \"%s\": sync directory", path);
    return true;
}

bool dir_make(const char *path, mode_t mode, struct err *err)
{
    CLEANUP(str_freep) char *copy = str_copy(path);
    for (char *at = copy + 1; *at != '\0'; at++) {
        if (*at != '/')
            continue;
        *at = '\0';
        if (mkdir(copy, mode) < 0 && errno != EEXIST)
            return err_sys(err, errno, "make directory \"%s\"", copy);
        *at = '/';
    }
    if (mkdir(copy, mode) < 0 && errno != EEXIST)
        return err_sys(err, errno, "make directory \"%s\"", path);
    struct stat st;
    if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
        return err_set(err, ERR_INVALID, "make directory \"%s\": something else is there", path);
    return true;
}

bool dir_remove_tree(const char *path, struct err *err)
{
    struct stat st;
    if (lstat(path, &st) < 0)
        return errno == ENOENT ? true : err_sys(err, errno, "stat \"%s\"", path);
    CLEANUP(str_freep) char *root = str_copy(path);
    FTS *walk = fts_open((char *const[]){ root, NULL }, FTS_PHYSICAL | FTS_XDEV | FTS_NOCHDIR,
                         NULL);
    if (walk == NULL)
        return err_sys(err, errno, "walk \"%s\"", path);
    bool good = true;
    for (FTSENT *at = fts_read(walk); good && at != NULL; at = fts_read(walk)) {
        if (at->fts_info == FTS_D) {
            if ((at->fts_statp->st_mode & S_IRWXU) != S_IRWXU)
                (void)chmod(at->fts_accpath, S_IRWXU);
            continue;
        }
        int how = at->fts_info == FTS_DP || at->fts_info == FTS_DNR ? AT_REMOVEDIR : 0;
        if (unlinkat(AT_FDCWD, at->fts_accpath, how) < 0 && errno != ENOENT)
            good = err_sys(err, errno, "remove \"%s\"", at->fts_path);
    }
    (void)fts_close(walk);
    return good;
}
