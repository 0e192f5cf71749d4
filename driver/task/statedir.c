#include "driver/task/statedir.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/base/fd.h"
#include "common/base/own.h"

static int open_beneath(int dir, const char *name)
{
    struct open_how how = { .flags = O_DIRECTORY | O_RDONLY | O_CLOEXEC,
                            .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS };
    return (int)syscall(SYS_openat2, dir, name, &how, sizeof(how));
}

/* Steps from `*dir` into `name`, making it when it is absent. */
static bool step(struct fd *dir, const char *name, const struct user_ids *user, struct err *err)
{
    const bool is_made = mkdirat(dir->raw, name, 0700) == 0;
    if (!is_made && errno != EEXIST)
        return err_sys(err, errno, "make directory \"%.64s\" of the state", name);
    struct fd next = { open_beneath(dir->raw, name) };
    if (!fd_is_open(next) && (errno == ELOOP || errno == ENOTDIR))
        return err_set(err, ERR_INVALID, "task config: state.path: \"%.64s\" is not a directory",
                       name);
    if (!fd_is_open(next))
        return err_sys(err, errno, "open directory \"%.64s\" of the state", name);
    fd_closep(dir);
    *dir = next;
    if (is_made && geteuid() == 0 && fchown(dir->raw, user->uid, user->gid) < 0)
        return err_sys(err, errno, "give directory \"%.64s\" to the task's user", name);
    return true;
}

bool state_dir_make(const char *alloc_dir, const char *path, const struct user_ids *user,
                    struct err *err)
{
    const size_t len = strlen(alloc_dir);
    if (strncmp(path, alloc_dir, len) != 0 || path[len] != '/')
        return err_set(err, ERR_INVALID, "task config: state.path: is not in \"%.128s\"",
                       alloc_dir);
    CLEANUP(fd_closep) struct fd dir = { open(alloc_dir, O_DIRECTORY | O_RDONLY | O_CLOEXEC) };
    if (!fd_is_open(dir))
        return err_sys(err, errno, "open \"%.128s\"", alloc_dir);
    for (const char *at = path + len; *at;) {
        at += strspn(at, "/");
        const size_t step_len = strcspn(at, "/");
        if (step_len == 0)
            break;
        CLEANUP(str_freep) char *name = str_copy_n(at, step_len);
        if (strcmp(name, ".") != 0 && !step(&dir, name, user, err))
            return false;
        at += step_len;
    }
    return true;
}
