#include "common/cgroup/cgroup.h"

#include "common/base/own.h"
#include "common/base/time.h"
#include "common/cgroup/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#define FILE_BYTES 4096 /* cpu.stat and memory.events are below 1 KiB */
#define REKILL_MS  100  /* what moved itself in after a kill is met by the next one */
#define DIR_MODE   0755

static bool fail(struct err *err, int os_errno, const char *what, const char *path)
{
    if (os_errno == EACCES || os_errno == EPERM || os_errno == EROFS)
        return err_set(err, ERR_DENIED, "%s \"%s\": permission denied", what, path);
    return err_sys(err, os_errno, "%s \"%s\"", what, path);
}

static bool is_cgroup2(const char *path)
{
    struct statfs fs;
    return statfs(path, &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC;
}

/* Makes what is missing of `path`, only on a cgroup v2 file system. */
static bool make_path(const char *path, bool *out_made, struct err *err)
{
    char part[CGROUP_PATH_MAX] = "/", parent[CGROUP_PATH_MAX];
    for (const char *at = path; *at != '\0'; at++) {
        if (at[1] != '/' && at[1] != '\0')
            continue;
        memcpy(parent, part, sizeof(parent));
        memcpy(part, path, (size_t)(at + 1 - path));
        part[at + 1 - path] = '\0';
        if (access(part, F_OK) == 0)
            continue;
        if (!is_cgroup2(parent))
            return err_set(err, ERR_INVALID, "make cgroup \"%s\": not below a cgroup v2 mount",
                           path);
        if (mkdir(part, DIR_MODE) < 0 && errno != EEXIST)
            return fail(err, errno, "make cgroup", part);
        *out_made = at[1] == '\0';
    }
    return true;
}

bool cgroup_open(const char *path, bool make, struct cgroup *out, struct err *err)
{
    *out = CGROUP_NONE;
    size_t len = strlen(path);
    if (path[0] != '/' || len < 2 || len >= CGROUP_PATH_MAX || path[len - 1] == '/')
        return err_set(err, ERR_INVALID, "open cgroup \"%.100s\": not a usable path", path);
    bool made = false;
    if (make && !make_path(path, &made, err))
        return false;
    CLEANUP(fd_closep)
    struct fd dir = { open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW) };
    if (dir.raw < 0 && errno == ENOENT)
        return err_set(err, ERR_NOT_FOUND, "open cgroup \"%s\": there is none", path);
    if (dir.raw < 0)
        return fail(err, errno, "open cgroup", path);
    if (!is_cgroup2(path))
        return err_set(err, ERR_INVALID, "open cgroup \"%s\": not on cgroup v2", path);
    CLEANUP(fd_closep)
    struct fd events = { openat(dir.raw, "cgroup.events", O_RDONLY | O_CLOEXEC) };
    if (events.raw < 0 && errno != ENOENT)
        return fail(err, errno, "open events of cgroup", path);
    if (events.raw < 0) /* the root has none: nobody may freeze or kill the whole machine */
        return err_set(err, ERR_INVALID, "open cgroup \"%s\": has no cgroup.events", path);
    out->dir = fd_take(&dir);
    out->events = fd_take(&events);
    out->made = made;
    memcpy(out->path, path, len + 1);
    return true;
}

void cgroup_fini(struct cgroup *cg)
{
    fd_closep(&cg->dir);
    fd_closep(&cg->events);
}

static bool write_file(const struct cgroup *cg, const char *name, const char *text, struct err *err)
{
    CLEANUP(fd_closep) struct fd file = { openat(cg->dir.raw, name, O_WRONLY | O_CLOEXEC) };
    if (file.raw < 0)
        return fail(err, errno, name, cg->path);
    if (write(file.raw, text, strlen(text)) < 0)
        return fail(err, errno, name, cg->path);
    return true;
}

/* False when absent or unreadable; errno says why. */
static bool read_file(int dir, const char *name, char out[FILE_BYTES])
{
    CLEANUP(fd_closep) struct fd file = { openat(dir, name, O_RDONLY | O_CLOEXEC) };
    if (file.raw < 0)
        return false;
    ssize_t len = read(file.raw, out, FILE_BYTES - 1); /* the kernel gives such files at once */
    if (len < 0)
        return false;
    out[len] = '\0';
    return true;
}

bool cgroup_freeze(const struct cgroup *cg, bool on, struct err *err)
{
    return write_file(cg, "cgroup.freeze", on ? "1" : "0", err);
}

bool cgroup_events(const struct cgroup *cg, struct cgroup_events *out, struct err *err)
{
    char text[256];
    ssize_t len = pread(cg->events.raw, text, sizeof(text) - 1, 0);
    if (len < 0 && errno == ENODEV) { /* somebody removed it: it can hold nobody */
        *out = (struct cgroup_events){ false, false };
        return true;
    }
    if (len < 0)
        return fail(err, errno, "read events of cgroup", cg->path);
    text[len] = '\0';
    out->populated = cgroup_keyed(text, "populated", 1) != 0;
    out->frozen = cgroup_keyed(text, "frozen", 0) != 0;
    return true;
}

bool cgroup_each_pid(const struct cgroup *cg, bool (*each)(void *arg, pid_t pid), void *arg,
                     struct err *err)
{
    return cgroup_walk_pids(cg->dir.raw, each, arg) || fail(err, errno, "list cgroup", cg->path);
}

bool cgroup_kill(const struct cgroup *cg, struct err *err)
{
    struct err why = { 0 };
    if (write_file(cg, "cgroup.kill", "1", &why))
        return true;
    if (why.os_errno == ENODEV) /* removed: nobody is left */
        return true;
    if (why.os_errno != ENOENT || faccessat(cg->dir.raw, "cgroup.procs", F_OK, 0) != 0) {
        bool is_gone = why.os_errno == ENOENT;
        *err = why;
        return is_gone;
    }
    bool is_empty;
    return cgroup_clear_at(cg->dir.raw, &is_empty, err) || err_wrap(err, "\"%s\"", cg->path);
}

static void freeze_if_possible(const struct cgroup *cg, bool on)
{
    struct err why = { 0 };
    if (!cgroup_freeze(cg, on, &why))
        return; /* the kill does not need it */
}

bool cgroup_kill_wait(const struct cgroup *cg, int64_t max_ms, struct err *err)
{
    struct cgroup_events now;
    struct boot begun = boot_now();
    freeze_if_possible(cg, true); /* nobody forks while we kill */
    for (;;) {
        if (!cgroup_kill(cg, err) || !cgroup_events(cg, &now, err))
            return false;
        if (!now.populated)
            break;
        if (boot_diff_ms(boot_now(), begun) >= max_ms)
            return err_set(err, ERR_UNAVAILABLE,
                           "empty cgroup \"%s\": still populated after %" PRId64 " ms", cg->path,
                           max_ms);
        struct pollfd wait = { .fd = cg->events.raw, .events = POLLPRI };
        (void)poll(&wait, 1, REKILL_MS);
    }
    freeze_if_possible(cg, false); /* the directory may be used again */
    return true;
}

uint64_t cgroup_oom_kills(const struct cgroup *cg)
{
    char text[FILE_BYTES];
    if (!read_file(cg->dir.raw, "memory.events", text))
        return 0;
    return (uint64_t)cgroup_keyed(text, "oom_kill", 0);
}

static bool may_remove(const char *path, struct err *err)
{
    return access(path, F_OK) != 0 || is_cgroup2(path) ||
           err_set(err, ERR_INVALID, "remove cgroup \"%s\": not on cgroup v2", path);
}

bool cgroup_remove(const char *path, struct err *err)
{
    return may_remove(path, err) && cgroup_remove_tree(path, err);
}

bool cgroup_remove_soon(const char *path, struct err *err)
{
    return may_remove(path, err) && cgroup_remove_tree_soon(path, err);
}
