#include "common/base/file.h"

#include "common/base/dir.h"
#include "common/base/fd.h"
#include "common/base/own.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>

#define READ_STEP ((size_t)65536)

static bool open_with(int dir_fd, const char *path, int more, struct fd *out, struct err *err)
{
    CLEANUP(fd_closep)
    struct fd file = { openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | more) };
    if (file.raw < 0 && errno == ENOENT)
        return err_set(err, ERR_NOT_FOUND, "open \"%s\": no such file", path);
    if (file.raw < 0)
        return err_sys(err, errno, "open \"%s\"", path);
    struct stat st;
    if (fstat(file.raw, &st) < 0)
        return err_sys(err, errno, "stat \"%s\"", path);
    if (!S_ISREG(st.st_mode))
        return err_set(err, ERR_INVALID, "read \"%s\": not a regular file", path);
    *out = fd_take(&file);
    return true;
}

bool file_open(int dir_fd, const char *path, struct fd *out, struct err *err)
{
    return open_with(dir_fd, path, O_NOFOLLOW, out, err);
}

bool file_read_open(int fd, const char *path, size_t max, struct buf *out, struct err *err)
{
    size_t start = out->len, got;
    do {
        size_t left = max - (out->len - start);
        size_t step = left < READ_STEP ? left + 1 : READ_STEP; /* one more shows an excess */
        if (!fd_read_full(fd, buf_reserve(out, step), step, &got, err))
            return err_wrap(err, "read \"%s\"", path);
        out->len += got;
        if (out->len - start > max)
            return err_set(err, ERR_CORRUPT, "read \"%s\": more than %zu bytes", path, max);
    } while (got > 0);
    return true;
}

bool file_read(int dir_fd, const char *path, size_t max, struct buf *out, struct err *err)
{
    CLEANUP(fd_closep) struct fd file = FD_NONE;
    return file_open(dir_fd, path, &file, err) && file_read_open(file.raw, path, max, out, err);
}

bool file_read_named(const char *path, size_t max, struct buf *out, struct err *err)
{
    CLEANUP(fd_closep) struct fd file = FD_NONE;
    return open_with(AT_FDCWD, path, 0, &file, err) &&
           file_read_open(file.raw, path, max, out, err);
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

static bool sync_parent(int dir_fd, const char *path, struct err *err)
{
    CLEANUP(fd_closep) struct fd parent = FD_NONE;
    const char *base;
    return open_parent(dir_fd, path, &parent, &base, err) &&
           (fsync(parent.raw) == 0 || err_sys(err, errno, "sync parent"));
}

/* A new directory survives a power loss when the one that holds its name is synced; one that may
 * not is taken back. */
static bool make_one(int dir_fd, const char *path, mode_t mode, bool *out_is_made, struct err *err)
{
    *out_is_made = mkdirat(dir_fd, path, mode) == 0;
    if (!*out_is_made)
        return errno == EEXIST || err_sys(err, errno, "make directory \"%s\"", path);
    if (sync_parent(dir_fd, path, err))
        return true;
    (void)unlinkat(dir_fd, path, AT_REMOVEDIR);
    return err_wrap(err, "make directory \"%s\"", path);
}

bool dir_make_at(int dir_fd, const char *name, mode_t mode, struct err *err)
{
    bool is_made;
    return make_one(dir_fd, name, mode, &is_made, err) &&
           (is_made || sync_parent(dir_fd, name, err) ||
            err_wrap(err, "settle directory \"%s\"", name));
}

static void strip_slashes(char *path)
{
    for (char *end = path + strlen(path); end > path + 1 && end[-1] == '/';)
        *--end = '\0';
}

/* Whoever made the deepest directory that is there may have been killed before it was durable; one
 * above it was settled by whoever went on below. Parents that we may not read are not our work, and
 * some file systems (proc, read-only ones) know nothing of syncing. */
static bool settle_deepest(const char *path, struct err *err)
{
    CLEANUP(str_freep) char *at = str_copy(path);
    struct stat st;
    struct err why = { 0 };
    while (stat(at, &st) < 0) {
        char *slash = strrchr(at, '/');
        if (slash == NULL || slash == at)
            return true;
        *slash = '\0';
        strip_slashes(at);
    }
    if (sync_parent(AT_FDCWD, at, &why) || why.os_errno == EACCES || why.os_errno == EINVAL ||
        why.os_errno == EROFS)
        return true;
    *err = why;
    return err_wrap(err, "settle directory \"%s\"", at);
}

bool dir_make(const char *path, mode_t mode, struct err *err)
{
    bool is_made;
    CLEANUP(str_freep) char *copy = str_copy(path);
    strip_slashes(copy);
    if (!settle_deepest(copy, err))
        return false;
    for (char *at = copy + 1; *copy != '\0' && *at != '\0'; at++) {
        if (*at != '/')
            continue;
        *at = '\0';
        if (!make_one(AT_FDCWD, copy, mode, &is_made, err))
            return false;
        *at = '/';
    }
    if (!make_one(AT_FDCWD, copy, mode, &is_made, err))
        return false;
    struct stat st;
    if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
        return err_set(err, ERR_INVALID, "make directory \"%s\": something else is there", path);
    return true;
}

/* Removing a tree: one directory is open at a time. The way back up is "..", proved by the
 * identity that was noted on the way down. */

#define REMOVE_DEPTH_MAX   4096 /* twice what a path can name, and 20 times what a restore makes */
#define REMOVE_REFILLS_MAX 100  /* somebody who fills faster than we empty is not waited for */

struct level {
    dev_t dev;
    ino_t ino;  /* of the directory above */
    char *name; /* in it, of the one that is being emptied */
};

struct removal {
    const char *path; /* for messages */
    struct fd at;     /* depth 0: the directory that holds the root of the tree */
    struct buf levels;
    size_t depth;
    dev_t dev; /* of the tree */
    unsigned refills;
};

static struct level *top_level(struct removal *r)
{
    return (struct level *)(void *)r->levels.data + (r->depth - 1);
}

static void pop_level(struct removal *r)
{
    str_freep(&top_level(r)->name);
    r->levels.len -= sizeof(struct level);
    r->depth--;
}

static void removal_fini(struct removal *r)
{
    while (r->depth > 0)
        pop_level(r);
    buf_fini(&r->levels);
    fd_closep(&r->at);
}

static bool stays(const struct removal *r, int os_errno, const char *name, struct err *err)
{
    return err_sys(err, os_errno, "remove \"%s\": entry \"%.100s\"", r->path, name);
}

/* A directory of ours that we may not read: only its mode is in the way. */
static int open_entry(int at, const char *name)
{
    const int how = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(at, name, how);
    if (fd < 0 && errno == EACCES && fchmodat(at, name, S_IRWXU, AT_SYMLINK_NOFOLLOW) == 0)
        fd = openat(at, name, how);
    return fd;
}

static bool enter(struct removal *r, const char *name, struct err *err)
{
    struct stat here, below;
    CLEANUP(fd_closep) struct fd next = { open_entry(r->at.raw, name) };
    if (!fd_is_open(next) || fstat(r->at.raw, &here) < 0 || fstat(next.raw, &below) < 0)
        return stays(r, errno, name, err);
    if (r->depth == 0)
        r->dev = below.st_dev;
    if (below.st_dev != r->dev || r->depth == REMOVE_DEPTH_MAX)
        return stays(r, below.st_dev != r->dev ? EXDEV : ELOOP, name, err);
    if ((below.st_mode & S_IRWXU) != S_IRWXU && fchmod(next.raw, S_IRWXU) < 0)
        return stays(r, errno, name, err);
    struct level level = { here.st_dev, here.st_ino, str_copy(name) };
    buf_put(&r->levels, view_of(&level, sizeof(level)));
    r->depth++;
    fd_closep(&r->at);
    r->at = fd_take(&next);
    return true;
}

/* Removes an entry that is no directory with content; true in `out_is_full` for one that is. */
static bool remove_entry(struct removal *r, const char *name, bool *out_is_full, struct err *err)
{
    *out_is_full = false;
    if (unlinkat(r->at.raw, name, 0) == 0 || errno == ENOENT)
        return true;
    if (errno == EISDIR || errno == EPERM) /* Linux says the first, POSIX the second */
        if (unlinkat(r->at.raw, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
            return true;
    *out_is_full = errno == ENOTEMPTY || errno == EEXIST;
    return *out_is_full || stays(r, errno, name, err);
}

static bool leave(struct removal *r, struct err *err)
{
    struct level *level = top_level(r);
    struct stat st;
    bool is_full;
    CLEANUP(fd_closep)
    struct fd up = { openat(r->at.raw, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
    if (!fd_is_open(up) || fstat(up.raw, &st) < 0)
        return stays(r, errno, level->name, err);
    if (st.st_dev != level->dev || st.st_ino != level->ino)
        return err_set(err, ERR_SYSTEM, "remove \"%s\": entry \"%.100s\" was moved meanwhile",
                       r->path, level->name);
    fd_closep(&r->at);
    r->at = fd_take(&up);
    if (!remove_entry(r, level->name, &is_full, err))
        return false;
    if (is_full && ++r->refills > REMOVE_REFILLS_MAX)
        return stays(r, ENOTEMPTY, level->name, err);
    CLEANUP(str_freep) char *name = STEAL(level->name);
    pop_level(r);
    return !is_full || enter(r, name, err);
}

/* One look through the directory, as far as the first one below that has content: that one is
 * entered then. */
static bool empty_out(struct removal *r, bool *out_is_entered, struct err *err)
{
    int copy = openat(r->at.raw, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CLEANUP(dir_closep) DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    if (dir == NULL)
        return stays(r, errno, top_level(r)->name, err);
    *out_is_entered = false;
    errno = 0;
    for (const struct dirent *e; (e = readdir(dir)) != NULL; errno = 0) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (!remove_entry(r, e->d_name, out_is_entered, err))
            return false;
        if (*out_is_entered)
            return enter(r, e->d_name, err);
    }
    return errno == 0 || stays(r, errno, top_level(r)->name, err);
}

bool dir_remove_at(int dir_fd, const char *path, struct err *err)
{
    CLEANUP(removal_fini) struct removal r = { .path = path, .at = FD_NONE };
    CLEANUP(str_freep) char *plain = str_copy(path);
    const char *base;
    bool is_full, is_entered;
    struct err why = { 0 };
    strip_slashes(plain);
    if (!open_parent(dir_fd, plain, &r.at, &base, &why)) {
        if (why.os_errno == ENOENT)
            return true;
        *err = why;
        return err_wrap(err, "remove \"%s\"", path);
    }
    if (!remove_entry(&r, base, &is_full, err))
        return false;
    bool good = !is_full || enter(&r, base, err);
    while (good && r.depth > 0)
        good = empty_out(&r, &is_entered, err) && (is_entered || leave(&r, err));
    return good;
}

bool dir_remove_tree(const char *path, struct err *err)
{
    return dir_remove_at(AT_FDCWD, path, err);
}
