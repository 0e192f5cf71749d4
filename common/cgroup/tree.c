#include "common/cgroup/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/base/fd.h"
#include "common/base/own.h"
#include "common/base/time.h"

#define REMOVE_TRIES    21
#define REMOVE_PAUSE_MS 10 /* between two of them */

#define ENTRY_BYTES 2048
#define NAME_BYTES  256
#define OPEN_DIR    (O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)

static bool fail(struct err *err, int code, const char *what, const char *path)
{
    if (code == EACCES || code == EPERM || code == EROFS)
        return err_set(err, ERR_DENIED, "%s \"%s\": permission denied", what, path);
    return err_sys(err, code, "%s \"%s\"", what, path);
}

/* cgroup.procs may be long: read in pieces, a number may be cut between two. */
bool cgroup_walk_pids(int dir, cgroup_pid_fn *each, void *arg)
{
    CLEANUP(fd_closep) struct fd file = { openat(dir, "cgroup.procs", O_RDONLY | O_CLOEXEC) };
    if (file.raw < 0)
        return false;
    char text[512];
    pid_t pid = 0;
    ssize_t len;
    while ((len = read(file.raw, text, sizeof(text))) > 0)
        for (ssize_t i = 0; i < len; i++) {
            if (text[i] >= '0' && text[i] <= '9')
                pid = pid * 10 + (text[i] - '0');
            else if (pid > 0 && !each(arg, pid))
                return true;
            else
                pid = 0;
        }
    return len == 0;
}

int64_t cgroup_keyed(const char *text, const char *key, int64_t none)
{
    size_t len = strlen(key);
    for (const char *at = text; at != NULL; at = strchr(at, '\n')) {
        at += *at == '\n';
        if (strncmp(at, key, len) == 0 && at[len] == ' ')
            return strtoll(at + len + 1, NULL, 10);
        if (*at == '\0')
            break;
    }
    return none;
}

struct child {
    ino64_t ino; /* 0: there is none */
    char name[NAME_BYTES];
};

/* The subdirectory with inode `ino`, and which come before and after it; with 0 the first comes
 * after it. By inode, because the way back up from a directory has no name. */
struct around {
    ino64_t before;
    struct child self, next;
};

/* False when that was the last of interest. */
static bool around_add(struct around *out, ino64_t ino, const struct dirent64 *entry)
{
    if (entry->d_type != DT_DIR || strcmp(entry->d_name, ".") == 0 ||
        strcmp(entry->d_name, "..") == 0)
        return true;
    const bool is_next = ino == 0 || out->self.ino == ino;
    struct child *to = is_next ? &out->next : &out->self;
    if (!is_next && entry->d_ino != ino) {
        out->before = entry->d_ino;
        return true;
    }
    to->ino = entry->d_ino;
    memcpy(to->name, entry->d_name, strnlen(entry->d_name, sizeof(to->name) - 1));
    return !is_next;
}

/* False with errno. Without an allocator, unlike readdir. */
static bool look_around(int dir, ino64_t ino, struct around *out)
{
    _Alignas(struct dirent64) char entries[ENTRY_BYTES];
    ssize_t len;
    *out = (struct around){ 0 };
    if (lseek(dir, 0, SEEK_SET) < 0)
        return false;
    while ((len = getdents64(dir, (void *)entries, sizeof(entries))) > 0)
        for (ssize_t at = 0; at < len;) {
            const struct dirent64 *entry = (const void *)(entries + at);
            if (!around_add(out, ino, entry))
                return true;
            at += entry->d_reclen;
        }
    return len == 0;
}

struct walk {
    struct fd at;
    unsigned depth;
    ino64_t after; /* the child of `at` that was dealt with last; 0 none */
    bool is_killing, is_empty, is_over;
};

static bool kill_one(void *arg, pid_t pid)
{
    *(bool *)arg = false;
    (void)kill(pid, SIGKILL); /* read a moment ago from the cgroup, not from a stored number */
    return true;
}

/* Removed in the meantime is empty; the processes of a threaded one are listed above it. */
static bool kill_here(struct walk *walk)
{
    return !walk->is_killing || cgroup_walk_pids(walk->at.raw, kill_one, &walk->is_empty) ||
           errno == ENOENT || errno == ENODEV || errno == EOPNOTSUPP;
}

static void move_to(struct walk *walk, struct fd *dir)
{
    fd_closep(&walk->at);
    walk->at = fd_take(dir);
}

static bool go_up(struct walk *walk)
{
    struct stat st;
    struct around around;
    walk->is_over = walk->depth == 0;
    if (walk->is_over)
        return true;
    CLEANUP(fd_closep) struct fd up = { openat(walk->at.raw, "..", OPEN_DIR) };
    walk->is_over = up.raw < 0 && errno == ENOENT; /* removed under us: the next round sees */
    if (walk->is_over)
        return true;
    if (up.raw < 0 || fstat(walk->at.raw, &st) < 0 || !look_around(up.raw, st.st_ino, &around))
        return false;
    move_to(walk, &up);
    walk->depth--;
    walk->after = st.st_ino;
    if (around.self.ino != 0 && unlinkat(walk->at.raw, around.self.name, AT_REMOVEDIR) == 0)
        walk->after = around.before;
    return true;
}

/* False with errno. */
static bool step(struct walk *walk)
{
    struct around around;
    if (!look_around(walk->at.raw, walk->after, &around))
        return false;
    const struct child *child = &around.next;
    if (child->ino == 0)
        return go_up(walk);
    if (unlinkat(walk->at.raw, child->name, AT_REMOVEDIR) == 0)
        return true;
    CLEANUP(fd_closep) struct fd down = { openat(walk->at.raw, child->name, OPEN_DIR) };
    if (down.raw < 0)
        return errno == ENOENT;
    move_to(walk, &down);
    walk->depth++;
    walk->after = 0;
    walk->is_empty = false;
    return kill_here(walk);
}

static bool walk_below(int dir, struct walk *walk)
{
    walk->at = (struct fd){ openat(dir, ".", OPEN_DIR) };
    bool ok = walk->at.raw >= 0 && kill_here(walk);
    while (ok && !walk->is_over)
        ok = step(walk);
    const int code = errno;
    fd_closep(&walk->at);
    errno = code;
    return ok;
}

bool cgroup_clear_at(int dir, bool *out_is_empty, struct err *err)
{
    struct walk walk = { .at = FD_NONE, .is_killing = true, .is_empty = true };
    if (!walk_below(dir, &walk) && errno != ENODEV) /* gone meanwhile: nobody is left */
        return err_sys(err, errno, "clear cgroup");
    *out_is_empty = walk.is_empty;
    return true;
}

bool cgroup_clear(const char *path, bool *out_is_empty, struct err *err)
{
    CLEANUP(fd_closep) struct fd dir = { open(path, OPEN_DIR) };
    struct err inner = { 0 };
    *out_is_empty = dir.raw < 0 && errno == ENOENT;
    if (dir.raw < 0)
        return *out_is_empty || fail(err, errno, "open cgroup", path);
    return cgroup_clear_at(dir.raw, out_is_empty, &inner) ||
           fail(err, inner.os_errno, "clear cgroup", path);
}

bool cgroup_remove_tree(const char *path, struct err *err)
{
    struct walk walk = { .at = FD_NONE };
    CLEANUP(fd_closep) struct fd dir = { open(path, OPEN_DIR) };
    if (dir.raw < 0)
        return errno == ENOENT || fail(err, errno, "open cgroup", path);
    if (!walk_below(dir.raw, &walk) && errno != ENODEV)
        return fail(err, errno, "look below cgroup", path);
    if (rmdir(path) == 0 || errno == ENOENT)
        return true;
    if (errno == EBUSY || errno == ENOTEMPTY)
        return err_set(err, ERR_CONFLICT, "remove cgroup \"%s\": still in use", path);
    return fail(err, errno, "remove cgroup", path);
}

bool cgroup_remove_tree_soon(const char *path, struct err *err)
{
    const struct timespec pause = { .tv_nsec = REMOVE_PAUSE_MS * NS_PER_MS };
    struct err inner = { 0 };
    for (int i = 0; i < REMOVE_TRIES; i++) {
        if (i > 0)
            (void)nanosleep(&pause, NULL);
        if (cgroup_remove_tree(path, &inner))
            return true;
        if (inner.kind != ERR_CONFLICT)
            break;
    }
    *err = inner;
    if (inner.kind == ERR_CONFLICT) /* no fault of whoever asks: it is asked again */
        err->kind = ERR_UNAVAILABLE;
    return false;
}
