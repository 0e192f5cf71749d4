#include "sidecar/store/file_spare.h"

#include "common/base/file.h"
#include "common/base/own.h"
#include "sidecar/store/file_root.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#define FILE_NEXT      FILE_TEMP "spare" /* removed by the next writer when its maker was killed */
#define READER_WAIT_MS 200 /* a reader holds the lock for one read of the page cache */
#define READ_NAP_NS    200000L

static bool make(int dir, const char *name, struct fd *out, struct err *err)
{
    const int how = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    if (unlinkat(dir, name, 0) < 0 && errno != ENOENT)
        return file_failed(err, errno, ERR_UNAVAILABLE, "remove \"%s\"", name);
    *out = (struct fd){ openat(dir, name, how, 0600) };
    return fd_is_open(*out) || file_failed(err, errno, ERR_UNAVAILABLE, "make \"%s\"", name);
}

/* Ours alone: no name elsewhere (a backup by links) may change with it, and no reader that found it
 * when it was the file itself is in the middle of it. */
static bool may_fill(int fd, struct deadline until)
{
    struct stat st;
    struct err ignored;
    struct deadline wait = deadline_after(boot_now(), READER_WAIT_MS, 0);
    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1 &&
           file_lock(fd, deadline_is_past(until, wait.at) ? until : wait, &ignored);
}

static bool open_spare(int dir, struct deadline until, struct fd *out, struct err *err)
{
    const int how = O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
    CLEANUP(fd_closep) struct fd spare = { openat(dir, FILE_SPARE, how) };
    if (!fd_is_open(spare) || !may_fill(spare.raw, until))
        return make(dir, FILE_SPARE, out, err);
    *out = fd_take(&spare);
    return true;
}

/* Every byte is written, so every block is there from the first time on. */
static bool fill(int fd, struct view bytes, size_t space, struct err *err)
{
    CLEANUP(buf_fini) struct buf all = { 0 };
    assert(bytes.len <= space);
    buf_put(&all, bytes);
    memset(buf_reserve(&all, space - bytes.len), 0, space - bytes.len);
    all.len = space;
    if (!fd_write_all(fd, all.data, all.len, err))
        return file_failed(err, err->os_errno, ERR_UNAVAILABLE, "write \"" FILE_SPARE "\"");
    if (ftruncate(fd, (off_t)space) < 0 || fsync(fd) < 0)
        return file_failed(err, errno, ERR_UNAVAILABLE, "sync \"" FILE_SPARE "\"");
    return true;
}

static bool rename_in(int dir, const char *from, const char *to, unsigned flags)
{
    return renameat2(dir, from, dir, to, flags) == 0;
}

/* The first time: room for both, or nothing. */
static bool give_first_name(int dir, const char *name, size_t space, struct err *err)
{
    CLEANUP(fd_closep) struct fd next = FD_NONE;
    if (!make(dir, FILE_NEXT, &next, err))
        return false;
    bool good = fill(next.raw, (struct view){ 0 }, space, err);
    if (good && !rename_in(dir, FILE_SPARE, name, RENAME_NOREPLACE) &&
        (errno != EINVAL || !rename_in(dir, FILE_SPARE, name, 0)))
        good = file_failed(err, errno, ERR_UNAVAILABLE, "rename to \"%s\"", name);
    if (!good || !rename_in(dir, FILE_NEXT, FILE_SPARE, 0))
        (void)unlinkat(dir, FILE_NEXT, 0);
    return good;
}

static bool give_name(int dir, const char *name, bool is_new, size_t space, struct err *err)
{
    if (is_new)
        return give_first_name(dir, name, space, err);
    return rename_in(dir, FILE_SPARE, name, RENAME_EXCHANGE) ||
           (errno == EINVAL && rename_in(dir, FILE_SPARE, name, 0)) ||
           file_failed(err, errno, ERR_UNAVAILABLE, "exchange with \"%s\"", name);
}

static bool sync_dir(int dir, struct err *err)
{
    return fsync(dir) == 0 || file_failed(err, errno, ERR_UNAVAILABLE, "sync directory");
}

bool file_spare_publish(int dir, const char *name, bool is_new, struct view bytes, size_t space,
                        struct deadline until, struct err *err)
{
    CLEANUP(fd_closep) struct fd spare = FD_NONE;
    /* Until the last exchange is on the disk, it may name the spare as the file. */
    if (!sync_dir(dir, err) || !open_spare(dir, until, &spare, err) ||
        !fill(spare.raw, bytes, space, err))
        return false;
    fd_closep(&spare); /* and its lock: from its new name on it is the readers' */
    return give_name(dir, name, is_new, space, err) && sync_dir(dir, err);
}

/* A lock that readers share, on the file that the name leads to: nobody fills that one. False when
 * it has become the spare, or is about to. */
static bool hold(int dir, const char *name, int fd, struct err *err)
{
    struct stat ours, there;
    *err = (struct err){ 0 };
    if (flock(fd, LOCK_SH | LOCK_NB) < 0)
        return errno == EWOULDBLOCK || errno == EINTR
                   ? false
                   : file_failed(err, errno, ERR_UNAVAILABLE, "lock \"%s\"", name);
    return fstat(fd, &ours) == 0 && fstatat(dir, name, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
           ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
}

bool file_spare_read(int dir, const char *name, size_t space, struct deadline until,
                     struct buf *out, struct err *err)
{
    for (;;) {
        struct err why;
        CLEANUP(fd_closep) struct fd file = FD_NONE;
        if (!file_open(dir, name, &file, err))
            return err->kind == ERR_SYSTEM
                       ? file_failed(err, err->os_errno, ERR_UNAVAILABLE, "open \"%s\"", name)
                       : false;
        if (hold(dir, name, file.raw, &why)) {
            const bool good = file_read_open(file.raw, name, space, out, err);
            if (!good && err->kind == ERR_SYSTEM)
                return file_failed(err, err->os_errno, ERR_UNAVAILABLE, "read \"%s\"", name);
            return good;
        }
        if (why.kind != ERR_NONE) {
            *err = why;
            return false;
        }
        if (deadline_is_past(until, boot_now()))
            return err_set(err, ERR_UNAVAILABLE, "read \"%s\": is being exchanged", name);
        (void)nanosleep(&(struct timespec){ .tv_nsec = READ_NAP_NS }, NULL);
    }
}
