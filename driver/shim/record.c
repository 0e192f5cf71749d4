#include "driver/shim/record.h"

#include "common/base/own.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define TEMPORARY ".exit.tmp" /* one shim per directory: its lock sees to that */
#define MODE      0600

bool shim_record_open(struct shim_record *out, const char *path, struct err *err)
{
    out->dir = FD_NONE;
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        return true;
    char dir[PATH_MAX];
    size_t dir_len = slash == path ? 1 : (size_t)(slash - path), len = strlen(slash + 1);
    if (len == 0 || len > SHIM_RECORD_NAME_MAX || dir_len >= sizeof(dir))
        return err_set(err, ERR_INVALID, "keep exit record at \"%s\": not a usable path", path);
    memcpy(out->name, slash + 1, len + 1);
    memcpy(dir, path, dir_len);
    dir[dir_len] = '\0';
    out->dir.raw = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (!fd_is_open(out->dir))
        return err_sys(err, errno, "open \"%s\" for the exit record", dir);
    return true;
}

static bool fill(int fd, const struct exit_record *rec, struct err *err)
{
    uint8_t bytes[EXIT_RECORD_BYTES];
    exit_record_encode(rec, bytes);
    if (!fd_write_all(fd, bytes, sizeof(bytes), err))
        return false;
    return fsync(fd) == 0 || err_sys(err, errno, "sync");
}

bool shim_record_publish(const struct shim_record *where, const struct exit_record *rec,
                         struct err *err)
{
    if (!fd_is_open(where->dir))
        return err_set(err, ERR_NOT_FOUND, "publish exit record: none is wanted");
    int dir = where->dir.raw;
    const int how = O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC | O_NOFOLLOW;
    CLEANUP(fd_closep) struct fd file = { openat(dir, TEMPORARY, how, MODE) };
    if (!fd_is_open(file))
        return err_sys(err, errno, "publish exit record: create temporary");
    if (!fill(file.raw, rec, err)) {
        (void)unlinkat(dir, TEMPORARY, 0);
        return err_wrap(err, "publish exit record");
    }
    if (renameat(dir, TEMPORARY, dir, where->name) != 0) {
        (void)err_sys(err, errno, "publish exit record: rename");
        (void)unlinkat(dir, TEMPORARY, 0);
        return false;
    }
    return fsync(dir) == 0 || err_sys(err, errno, "publish exit record: sync directory");
}

void shim_record_fini(struct shim_record *where) { fd_closep(&where->dir); }
