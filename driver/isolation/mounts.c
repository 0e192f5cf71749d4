#include "driver/isolation/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "driver/isolation/apply.h"

/* Where the scratch file system is attached while it is filled; always a directory. */
#define SCRATCH_AT "/proc"
#define NAME_MAX_1 256
#define LAZILY     2 /* MNT_DETACH, which the kernel keeps to itself */

struct mounting {
    const struct isolation_plan *plan;
    int fds[ISOLATION_MOUNTS_MAX]; /* detached trees; -1 none, or left out */
    bool is_left_out[ISOLATION_MOUNTS_MAX];
    int scratch; /* root of a tmpfs for covers and files; -1 not needed */
    int root_fd; /* of the root that was opened last; -1 none */
    const char *root;
};

static int openat2_raw(int dir, const char *path, uint64_t flags, uint64_t resolve)
{
    struct open_how how = { .flags = flags | O_CLOEXEC, .resolve = resolve };
    return (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
}

static int clone_tree(int dir, const char *path, unsigned flags)
{
    return (int)syscall(SYS_open_tree, dir, path, flags | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
}

bool isolation_can_mount(void)
{
    struct mount_attr attr = { 0 };
    if (geteuid() != 0 || syscall(SYS_mount_setattr, -1, "", AT_EMPTY_PATH, &attr, 0) == 0)
        return false;
    if (errno == ENOSYS)
        return false; /* Linux before 5.12; EINVAL for the size is the answer of one that has it */
    int fd = clone_tree(AT_FDCWD, "/", 0);
    if (fd < 0)
        return false; /* not permitted: a container without CAP_SYS_ADMIN */
    (void)close(fd);
    return true;
}

/* ---- sources ---- */

static int open_bind(const struct isolation_mount *m)
{
    const unsigned deep = (m->flags & ISOLATION_RECURSIVE) != 0 ? AT_RECURSIVE : 0;
    if ((m->flags & ISOLATION_SYSTEM) != 0)
        return clone_tree(AT_FDCWD, m->source, deep);
    int at = openat2_raw(AT_FDCWD, m->source, O_PATH, RESOLVE_NO_SYMLINKS);
    if (at < 0)
        return -1;
    int fd = clone_tree(at, "", AT_EMPTY_PATH | deep);
    int kept_errno = errno;
    (void)close(at);
    errno = kept_errno;
    return fd;
}

static int make_tmpfs(const char *size, const char *mode, unsigned attrs)
{
    int fs = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);
    if (fs < 0)
        return -1;
    int fd = -1;
    if (syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "size", size, 0) == 0 &&
        syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "mode", mode, 0) == 0 &&
        syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
        fd = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, attrs);
    int kept_errno = errno;
    (void)close(fs);
    errno = kept_errno;
    return fd;
}

/* The two letters of a name of our own in the scratch file system. */
static void name_of(size_t index, char out[3])
{
    out[0] = (char)('a' + index / 16);
    out[1] = (char)('a' + index % 16);
    out[2] = '\0';
}

static int make_file(int dir, const char *name, const char *text)
{
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0)
        return -1;
    const size_t len = strlen(text);
    bool good = write(fd, text, len) == (ssize_t)len;
    int kept_errno = good ? 0 : errno;
    (void)close(fd);
    errno = kept_errno;
    return good ? 0 : -1;
}

static bool is_scratch(const struct isolation_mount *m)
{
    return m->kind == ISOLATION_COVER || m->kind == ISOLATION_FILE;
}

static int open_scratch_part(const struct mounting *all, size_t index)
{
    const struct isolation_mount *m = &all->plan->mount[index];
    char name[3];
    name_of(index, name);
    int error = m->kind == ISOLATION_COVER ? mkdirat(all->scratch, name, 0755)
                                           : make_file(all->scratch, name, m->source);
    return error != 0 ? -1 : clone_tree(all->scratch, name, 0);
}

static int open_source(const struct mounting *all, size_t index)
{
    const struct isolation_mount *m = &all->plan->mount[index];
    switch (m->kind) {
    case ISOLATION_BIND:
        return open_bind(m);
    case ISOLATION_MASK_FILE:
        return clone_tree(AT_FDCWD, "/dev/null", 0);
    case ISOLATION_TMPFS:
        return make_tmpfs(m->source, "1777", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
    case ISOLATION_COVER:
    case ISOLATION_FILE:
        return open_scratch_part(all, index);
    case ISOLATION_LINK:
    case ISOLATION_MOUNT_KINDS:
        break;
    }
    return -1;
}

/* When a source is opened. */
enum turn {
    TURN_SHARED,  /* before "/" becomes a slave: it must stay in the group of the host */
    TURN_HOST,    /* before anything is hidden */
    TURN_SCRATCH, /* while the scratch file system is attached */
    TURN_PROC     /* when /proc is fresh: what is there, and what there is to be masked */
};

static enum turn turn_of(const struct isolation_mount *m)
{
    if (is_scratch(m))
        return TURN_SCRATCH;
    if (m->kind == ISOLATION_MASK_FILE || (m->flags & ISOLATION_IN_PLACE) != 0)
        return TURN_PROC;
    return (m->flags & ISOLATION_SHARED) != 0 ? TURN_SHARED : TURN_HOST;
}

/* `path` from behind `prefix` on (both relative, no slash at the ends); NULL when not below it. */
static const char *below(const char *path, const char *prefix)
{
    const size_t len = strlen(prefix);
    if (len == 0)
        return path;
    return strncmp(path, prefix, len) == 0 && path[len] == '/' ? path + len + 1 : NULL;
}

/* Whether it would find nothing to cover, also when all before it is in place. A tree that is
 * cloned and not attached costs a grace period of the kernel when it is closed, and of what is
 * masked half does not exist on most machines. */
static bool is_for_nothing(const struct mounting *all, size_t index, int top)
{
    const struct isolation_mount *m = &all->plan->mount[index];
    if ((m->kind != ISOLATION_MASK_FILE && m->kind != ISOLATION_COVER) ||
        (m->flags & ISOLATION_OPTIONAL) == 0 || strcmp(m->root, "/") != 0)
        return false;
    for (size_t i = 0; i < index; i++) {
        const struct isolation_mount *above = &all->plan->mount[i];
        const char *rest = below(m->target, above->root + 1);
        if (rest != NULL && below(rest, above->target) != NULL)
            return false;
    }
    return faccessat(top, m->target, F_OK, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT;
}

static void leave_out(struct mounting *all)
{
    const int top = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    for (size_t i = 0; i < all->plan->mount_count; i++)
        all->is_left_out[i] = is_for_nothing(all, i, top);
    (void)close(top);
}

static bool open_sources(struct mounting *all, enum turn turn, struct isolation_failure *out)
{
    for (size_t i = 0; i < all->plan->mount_count; i++) {
        const struct isolation_mount *m = &all->plan->mount[i];
        if (m->kind == ISOLATION_LINK || turn_of(m) != turn || all->is_left_out[i])
            continue;
        all->fds[i] = open_source(all, i);
        const bool is_absent = all->fds[i] < 0 && (errno == ENOENT || errno == ENOTDIR);
        if (all->fds[i] >= 0 || (is_absent && (m->flags & ISOLATION_OPTIONAL) != 0))
            continue;
        *out = (struct isolation_failure){ ISOLATION_STAGE_SOURCE, errno, (int)i };
        return false;
    }
    return true;
}

/* One small file system for all covers and files. It is filled while attached, because only then
 * parts of it may be cloned (before Linux 6.15), and then no longer seen. */
static bool fill_scratch(struct mounting *all, struct isolation_failure *out)
{
    *out = (struct isolation_failure){ ISOLATION_STAGE_MOUNT, 0, -1 };
    all->scratch = make_tmpfs("1m", "0755",
                              MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    if (all->scratch < 0 || syscall(SYS_move_mount, all->scratch, "", AT_FDCWD, SCRATCH_AT,
                                    MOVE_MOUNT_F_EMPTY_PATH) != 0) {
        out->os_errno = errno;
        return false;
    }
    bool good = open_sources(all, TURN_SCRATCH, out);
    if (syscall(SYS_umount2, SCRATCH_AT, LAZILY) != 0 && good) {
        out->os_errno = errno;
        return false;
    }
    (void)close(all->scratch);
    return good;
}

/* ---- targets ---- */

/* Steps from `dir` (closed) into `name`, making it when it is absent. */
static int step_into(int dir, const char *name, bool is_file)
{
    int made = is_file
                   ? openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644)
                   : mkdirat(dir, name, 0755);
    int error = made < 0 && errno != EEXIST ? errno : 0;
    if (is_file && made >= 0)
        (void)close(made);
    int next = error == 0 ? openat2_raw(dir, name, O_PATH, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS)
                          : -1;
    error = next < 0 && error == 0 ? errno : error;
    (void)close(dir);
    errno = error;
    return next;
}

static int make_target(int root, const char *target, bool is_file)
{
    int at = root;
    while (*target != '\0' && at >= 0) {
        char name[NAME_MAX_1];
        const size_t len = strcspn(target, "/");
        if (len >= sizeof(name)) {
            (void)close(at);
            errno = ENAMETOOLONG;
            return -1;
        }
        memcpy(name, target, len);
        name[len] = '\0';
        target += len;
        target += strspn(target, "/");
        at = step_into(at, name, is_file && *target == '\0');
    }
    return at;
}

/* Lends the root of `m`; the one before is closed. A plan names each only after it is in place. */
static int open_root(struct mounting *all, const struct isolation_mount *m)
{
    if (all->root_fd >= 0 && strcmp(all->root, m->root) == 0)
        return all->root_fd;
    if (all->root_fd >= 0)
        (void)close(all->root_fd);
    all->root = m->root;
    all->root_fd = openat2_raw(AT_FDCWD, m->root, O_PATH | O_DIRECTORY, RESOLVE_NO_SYMLINKS);
    return all->root_fd;
}

/* The place itself, held: what is attached there later cannot land anywhere else. */
static int open_target(struct mounting *all, const struct isolation_mount *m)
{
    const int root = open_root(all, m);
    if (root < 0)
        return -1;
    const char *target = m->target[0] != '\0' ? m->target : ".";
    int fd = openat2_raw(root, target, O_PATH, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
    if (fd >= 0 || errno != ENOENT || (m->flags & ISOLATION_MAKE) == 0)
        return fd;
    int start = fcntl(root, F_DUPFD_CLOEXEC, 0);
    return start < 0 ? -1 : make_target(start, target, (m->flags & ISOLATION_IS_FILE) != 0);
}

static int set_attributes(int fd, const struct isolation_mount *m)
{
    static const struct {
        uint32_t flag;
        uint64_t attr;
    } rows[] = { { ISOLATION_RDONLY, MOUNT_ATTR_RDONLY },
                 { ISOLATION_NOSUID, MOUNT_ATTR_NOSUID },
                 { ISOLATION_NODEV, MOUNT_ATTR_NODEV },
                 { ISOLATION_NOEXEC, MOUNT_ATTR_NOEXEC } };
    struct mount_attr attr = { .propagation = 0 }; /* a slave, unless SHARED */
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        attr.attr_set |= (m->flags & rows[i].flag) != 0 ? rows[i].attr : 0;
    if ((m->flags & ISOLATION_PRIVATE) != 0)
        attr.propagation = MS_PRIVATE;
    if (attr.attr_set == 0 && attr.propagation == 0)
        return 0;
    const unsigned deep = (m->flags & ISOLATION_RECURSIVE) != 0 ? AT_RECURSIVE : 0;
    return (int)syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH | deep, &attr, sizeof(attr));
}

static int make_link(struct mounting *all, const struct isolation_mount *m)
{
    const int root = open_root(all, m);
    return root < 0 || symlinkat(m->source, root, m->target) != 0 ? errno : 0;
}

static int attach(struct mounting *all, int fd, const struct isolation_mount *m)
{
    int target = open_target(all, m);
    if (target < 0)
        return errno;
    if (set_attributes(fd, m) != 0) {
        int error = errno;
        (void)close(target);
        return error;
    }
    int error = syscall(SYS_move_mount, fd, "", target, "",
                        MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) != 0
                    ? errno
                    : 0;
    (void)close(target);
    return error;
}

static bool attach_all(struct mounting *all, struct isolation_failure *out)
{
    for (size_t i = 0; i < all->plan->mount_count; i++) {
        const struct isolation_mount *m = &all->plan->mount[i];
        if (all->fds[i] < 0 && m->kind != ISOLATION_LINK)
            continue;
        int error = m->kind == ISOLATION_LINK ? make_link(all, m) : attach(all, all->fds[i], m);
        const bool is_absent = error == ENOENT || error == ENOTDIR;
        if (error == 0 || (is_absent && (m->flags & ISOLATION_OPTIONAL) != 0))
            continue;
        *out = (struct isolation_failure){ ISOLATION_STAGE_MOUNT, error, (int)i };
        return false;
    }
    return true;
}

/* Covers become read-only when everything in them is in place; what is mounted there is not. */
static bool seal_covers(struct mounting *all, struct isolation_failure *out)
{
    struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };
    for (size_t i = 0; i < all->plan->mount_count; i++) {
        if (all->fds[i] < 0 || !is_scratch(&all->plan->mount[i]) ||
            syscall(SYS_mount_setattr, all->fds[i], "", AT_EMPTY_PATH, &attr, sizeof(attr)) == 0)
            continue;
        *out = (struct isolation_failure){ ISOLATION_STAGE_MOUNT, errno, (int)i };
        return false;
    }
    return true;
}

/* ---- all of it ---- */

static bool mount_proc(const struct isolation_plan *plan, struct isolation_failure *out)
{
    const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
    const char *data = (plan->flags & ISOLATION_HIDE_PIDS) != 0 ? "hidepid=2" : NULL;
    if (syscall(SYS_mount, "proc", "/proc", "proc", flags, data) == 0)
        return true;
    *out = (struct isolation_failure){ ISOLATION_STAGE_PROC, errno, -1 };
    return false;
}

static bool make_namespace(struct mounting *all, bool in_pidns, struct isolation_failure *out)
{
    *out = (struct isolation_failure){ ISOLATION_STAGE_MOUNTS, 0, -1 };
    if (unshare(CLONE_NEWNS) != 0) {
        out->os_errno = errno;
        return false;
    }
    if (!open_sources(all, TURN_SHARED, out))
        return false;
    /* Slave, not private: nothing leaves, but what the host unmounts is not kept alive in here. */
    if (syscall(SYS_mount, NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) != 0) {
        *out = (struct isolation_failure){ ISOLATION_STAGE_MOUNTS, errno, -1 };
        return false;
    }
    if (!open_sources(all, TURN_HOST, out) || (in_pidns && !mount_proc(all->plan, out)))
        return false;
    leave_out(all);
    return true;
}

static bool needs_scratch(const struct isolation_plan *plan)
{
    for (size_t i = 0; i < plan->mount_count; i++)
        if (is_scratch(&plan->mount[i]))
            return true;
    return false;
}

static void close_all(const struct mounting *all)
{
    for (size_t i = 0; i < all->plan->mount_count; i++)
        if (all->fds[i] >= 0)
            (void)close(all->fds[i]);
    if (all->root_fd >= 0)
        (void)close(all->root_fd);
}

bool isolation_mounts_apply(const struct isolation_plan *plan, bool in_pidns,
                            struct isolation_failure *out)
{
    if (plan->mounts == ISOLATION_MOUNTS_HOST ||
        (plan->mounts == ISOLATION_MOUNTS_AUTO && !in_pidns))
        return true;
    struct mounting all = { .plan = plan, .scratch = -1, .root_fd = -1 };
    for (size_t i = 0; i < plan->mount_count; i++)
        all.fds[i] = -1;
    mode_t before = umask(0);
    bool good = make_namespace(&all, in_pidns, out) &&
                (!needs_scratch(plan) || fill_scratch(&all, out)) &&
                open_sources(&all, TURN_PROC, out) && attach_all(&all, out) &&
                seal_covers(&all, out);
    (void)umask(before);
    close_all(&all);
    return good;
}
