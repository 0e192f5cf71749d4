#include "driver/task/ledger.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/own.h"
#include "common/base/time.h"
#include "common/cgroup/cgroup.h"
#include "driver/limits/dirs.h"
#include "driver/task/result.h"

#define REMOVE_WAIT_MS 2000
/* After its end: how long Nomad may come back for a result. An agent may have run for weeks. */
#define KEEP_MS ((int64_t)24 * 3600 * 1000)

static void pause_ms(long ms)
{
    const struct timespec span = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * NS_PER_MS };
    (void)nanosleep(&span, NULL);
}

/* The lock file may be unlinked by a removal between open and flock: then it guards nothing. */
static bool is_still_there(int fd, const char *path)
{
    struct stat ours, now;
    return fstat(fd, &ours) == 0 && lstat(path, &now) == 0 && ours.st_ino == now.st_ino &&
           ours.st_dev == now.st_dev;
}

/* `*out` is open when the lock is ours, FD_NONE when somebody else holds it or (without `make`)
 * there is no lock file and so no shim: then `*out_absent`. */
static bool lock_try(const struct task_paths *paths, bool make, struct fd *out, bool *out_absent,
                     struct err *err)
{
    const int how = O_RDWR | O_CLOEXEC | O_NOFOLLOW | (make ? O_CREAT : 0);
    *out_absent = false;
    for (;;) {
        CLEANUP(fd_closep) struct fd lock = { open(paths->lock, how, 0600) };
        if (lock.raw < 0 && errno == ENOENT && !make) {
            *out_absent = true;
            return true;
        }
        if (lock.raw < 0)
            return err_sys(err, errno, "open \"%s\"", paths->lock);
        if (flock(lock.raw, LOCK_EX | LOCK_NB) < 0) {
            if (errno == EWOULDBLOCK)
                return true;
            return err_sys(err, errno, "lock \"%s\"", paths->lock);
        }
        if (!is_still_there(lock.raw, paths->lock))
            continue;
        *out = fd_take(&lock);
        return true;
    }
}

/* As lock_try, asking again for `wait_ms`. */
static bool lock_wait(const struct task_paths *paths, int64_t wait_ms, struct fd *out,
                      bool *out_absent, struct err *err)
{
    const struct mono start = mono_now();
    for (long step = 1;; step = step < 20 ? step * 2 : 20) {
        if (!lock_try(paths, false, out, out_absent, err))
            return false;
        if (fd_is_open(*out) || *out_absent || mono_diff_us(mono_now(), start) >= wait_ms * 1000)
            return true;
        pause_ms(step);
    }
}

static bool launch_read(const struct task_paths *paths, struct launch *out, struct err *err)
{
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    return file_read(AT_FDCWD, paths->launch, LAUNCH_BYTES_MAX, &bytes, err) &&
           launch_decode(buf_view(&bytes), out, err);
}

/* A later driver was here before us. What it wrote is left alone, also when nothing of it lives. */
static bool is_later(const struct task_paths *paths)
{
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    struct err ignored = { 0 };
    return file_read(AT_FDCWD, paths->launch, LAUNCH_BYTES_MAX, &bytes, &ignored) &&
           launch_is_later(buf_view(&bytes));
}

static bool later_fail(const struct task_paths *paths, struct err *err)
{
    return err_set(err, ERR_CORRUPT,
                   "\"%s\" is of a later driver and is left alone; end that launch with its own "
                   "driver, or remove the file",
                   paths->launch);
}

/* Absent, damaged or of another launch is no record of this one: a decision. A kernel that cannot
 * read it now has decided nothing. Errors: UNAVAILABLE. */
static bool exit_read(const struct task_paths *paths, const uint8_t *nonce, struct exit_record *out,
                      bool *out_has, struct err *err)
{
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    struct err why = { 0 };
    *out_has = file_read(AT_FDCWD, paths->exit_record, EXIT_RECORD_BYTES, &bytes, &why) &&
               exit_record_decode(buf_view(&bytes), out, &why) &&
               memcmp(out->nonce, nonce, SHIM_NONCE_BYTES) == 0;
    return *out_has || why.kind != ERR_SYSTEM || err_set(err, ERR_UNAVAILABLE, "%.200s", why.msg);
}

static bool is_same_task(const struct launch *launch, const struct ledger_ask *ask)
{
    return strcmp(launch->alloc_id, ask->alloc_id) == 0 &&
           strcmp(launch->task_name, ask->task_name) == 0;
}

/* Errors: UNAVAILABLE not empty in time. A cgroup that is not there is empty. */
static bool cgroup_empty(const char *dir, struct err *err)
{
    struct err inner = { 0 };
    struct cgroup cg = CGROUP_NONE;
    if (dir[0] == '\0')
        return true;
    if (!cgroup_open(dir, false, &cg, &inner)) {
        if (inner.kind == ERR_NOT_FOUND)
            return true;
        *err = inner;
        return false;
    }
    const bool ok = cgroup_kill_wait(&cg, LEDGER_EMPTY_WAIT_MS, err);
    cgroup_fini(&cg);
    return ok;
}

/* By key and mounts alone: what is ours in v1, and the sidecar's beside the agent's. */
static struct limits_place place_of(const struct task_paths *paths, const char *cgroup_dir)
{
    return (struct limits_place){ .layout = paths->layout,
                                  .agent_v2 = cgroup_dir,
                                  .nomad = "",
                                  .alloc_id = "",
                                  .task_name = "",
                                  .key = paths->key };
}

static bool groups_empty(const struct task_paths *paths, const char *cgroup_dir, struct err *err)
{
    const struct limits_place place = place_of(paths, cgroup_dir);
    return cgroup_empty(cgroup_dir, err) &&
           (!paths->layout || limits_dirs_empty(&place, LEDGER_EMPTY_WAIT_MS, err));
}

static bool groups_remove(const struct task_paths *paths, const char *cgroup_dir, struct err *err)
{
    const struct limits_place place = place_of(paths, cgroup_dir);
    return (cgroup_dir[0] == '\0' || cgroup_remove_soon(cgroup_dir, err)) &&
           (!paths->layout || limits_dirs_remove(&place, err));
}

static bool unlink_all(const struct task_paths *paths, bool with_records, struct err *err)
{
    const char *const files[] = { paths->socket, paths->api, with_records ? paths->launch : NULL,
                                  with_records ? paths->exit_record : NULL };
    for (size_t i = 0; i < COUNT(files); i++)
        if (files[i] && unlink(files[i]) < 0 && errno != ENOENT)
            return err_sys(err, errno, "remove \"%s\"", files[i]);
    return true;
}

/* What a dead launch of this key left, under our lock. */
static bool clear_dead(const struct task_paths *paths, const struct launch *launch,
                       const struct ledger_ask *ask, struct err *err)
{
    if (launch && strcmp(launch->boot_id, ask->boot_id) == 0) {
        if (!groups_empty(paths, launch->cgroup_dir, err) ||
            !groups_remove(paths, launch->cgroup_dir, err))
            return err_wrap(err, "clear launch \"%s\"", launch->task_id);
    }
    return unlink_all(paths, true, err);
}

static bool claim_held(const struct task_paths *paths, const struct ledger_ask *ask,
                       struct ledger_entry *out, struct err *err)
{
    struct err inner = { 0 };
    if (!launch_read(paths, &out->launch, &inner))
        return err_set(err, ERR_UNAVAILABLE, "claim \"%s\": locked, and %s", paths->dir, inner.msg);
    if (!is_same_task(&out->launch, ask))
        return err_set(err, ERR_CONFLICT, "claim \"%s\": is the key of task \"%s\" of \"%s\" too",
                       paths->dir, out->launch.task_name, out->launch.alloc_id);
    out->found = strcmp(out->launch.task_id, ask->task_id) == 0 ? LEDGER_ALIVE : LEDGER_OTHER;
    return true;
}

/* Under our lock, whose file may be new: whether that very launch is over, or what is left is
 * cleared away. */
static bool claim_free(const struct task_paths *paths, const struct ledger_ask *ask,
                       struct ledger_entry *out, struct err *err)
{
    struct err inner = { 0 };
    bool has_record = false;
    const bool has_launch = launch_read(paths, &out->launch, &inner);
    if (!has_launch && inner.kind == ERR_SYSTEM)
        return err_set(err, ERR_UNAVAILABLE, "%.200s", inner.msg);
    const bool is_it = has_launch && is_same_task(&out->launch, ask) &&
                       strcmp(out->launch.task_id, ask->task_id) == 0;
    if (is_it && !exit_read(paths, out->launch.nonce, &out->record, &has_record, err))
        return false;
    out->found = has_record && result_has_run(&out->record) ? LEDGER_OVER : LEDGER_FRESH;
    return out->found == LEDGER_OVER ||
           clear_dead(paths, has_launch ? &out->launch : NULL, ask, err);
}

/* Not durable yet: ledger_publish sees to that, once for the directory and what is in it. */
static bool claim_dir(const struct task_paths *paths, struct err *err)
{
    return mkdir(paths->dir, 0700) == 0 || errno == EEXIST || dir_make(paths->dir, 0700, err);
}

bool ledger_claim(const struct task_paths *paths, const struct ledger_ask *ask,
                  struct ledger_entry *out, struct err *err)
{
    CLEANUP(fd_closep) struct fd lock = FD_NONE;
    bool is_absent = false;
    *out = (struct ledger_entry){ .lock = FD_NONE };
    if (!claim_dir(paths, err))
        return false;
    if (!lock_try(paths, true, &lock, &is_absent, err)) {
        (void)rmdir(paths->dir); /* when it is empty it is ours, made a moment ago */
        return false;
    }
    if (is_later(paths))
        return later_fail(paths, err);
    if (!fd_is_open(lock))
        return claim_held(paths, ask, out, err);
    if (!claim_free(paths, ask, out, err)) {
        (void)unlink(paths->lock); /* no lock is a free lock; and the directory may be new */
        (void)rmdir(paths->dir);
        return false;
    }
    if (out->found == LEDGER_FRESH)
        out->lock = fd_take(&lock);
    return true;
}

static bool find_check(const struct task_paths *paths, const struct ledger_ask *ask,
                       const struct launch *launch, struct err *err)
{
    const bool is_it = ask->nonce ? memcmp(launch->nonce, ask->nonce, SHIM_NONCE_BYTES) == 0
                                  : strcmp(launch->task_id, ask->task_id) == 0;
    if (!is_same_task(launch, ask) || !is_it)
        return err_set(err, ERR_NOT_FOUND, "find launch: \"%s\" is of another launch",
                       paths->launch);
    return true;
}

bool ledger_find(const struct task_paths *paths, const struct ledger_ask *ask,
                 struct ledger_entry *out, struct err *err)
{
    CLEANUP(fd_closep) struct fd lock = FD_NONE;
    bool is_absent = false;
    *out = (struct ledger_entry){ .lock = FD_NONE, .found = LEDGER_OVER };
    if (is_later(paths))
        return later_fail(paths, err);
    if (!launch_read(paths, &out->launch, err) || !find_check(paths, ask, &out->launch, err))
        return false;
    bool has_record = false;
    if (!exit_read(paths, out->launch.nonce, &out->record, &has_record, err) || has_record)
        return has_record;
    if (strcmp(out->launch.boot_id, ask->boot_id) != 0)
        return err_set(err, ERR_NOT_FOUND, "find launch: it ended with an earlier boot");
    if (!lock_wait(paths, ask->settle_ms, &lock, &is_absent, err))
        return false;
    if (!fd_is_open(lock) && !is_absent) {
        out->found = LEDGER_ALIVE;
        return true;
    }
    if (!exit_read(paths, out->launch.nonce, &out->record, &has_record, err) || has_record)
        return has_record; /* written after the first look */
    out->found = LEDGER_LOST;
    return groups_empty(paths, out->launch.cgroup_dir, err);
}

/* Written in place and not by file_publish: under our lock nobody reads it but to learn that the
 * lock is held, a torn one has a wrong checksum and counts as none, and a start waits for one
 * commit of the journal instead of two: the file's, after which the directories that were changed
 * with it have little left to write. */
bool ledger_publish(const struct task_paths *paths, const struct launch *launch, struct err *err)
{
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    if (!launch_encode(launch, &bytes, err))
        return false;
    CLEANUP(fd_closep) struct fd dir = { open(paths->dir, O_DIRECTORY | O_RDONLY | O_CLOEXEC) };
    if (!fd_is_open(dir))
        return err_sys(err, errno, "open \"%s\"", paths->dir);
    CLEANUP(fd_closep)
    struct fd file = { openat(dir.raw, "launch",
                              O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0600) };
    if (!fd_is_open(file))
        return err_sys(err, errno, "create \"%s\"", paths->launch);
    if (!fd_write_all(file.raw, bytes.data, bytes.len, err))
        return err_wrap(err, "write \"%s\"", paths->launch);
    CLEANUP(fd_closep)
    struct fd above = { openat(dir.raw, "..", O_DIRECTORY | O_RDONLY | O_CLOEXEC) };
    if (!fd_is_open(above))
        return err_sys(err, errno, "open the directory above \"%s\"", paths->dir);
    if (fsync(file.raw) < 0 || fsync(dir.raw) < 0 || fsync(above.raw) < 0)
        return err_sys(err, errno, "sync \"%s\"", paths->launch);
    return true;
}

/* The usual content by name, which works without a free descriptor; whatever else is there after.
 */
static bool dir_take_away(const struct task_paths *paths, struct err *err)
{
    (void)unlink(paths->lock);
    return rmdir(paths->dir) == 0 || errno == ENOENT || dir_remove_tree(paths->dir, err);
}

bool ledger_remove(const struct task_paths *paths, const char *cgroup_dir, int lock_fd,
                   struct err *err)
{
    CLEANUP(fd_closep) struct fd lock = FD_NONE;
    bool is_absent = lock_fd >= 0;
    if (!is_absent && !lock_wait(paths, REMOVE_WAIT_MS, &lock, &is_absent, err))
        return false;
    if (!fd_is_open(lock) && !is_absent)
        return err_set(err, ERR_UNAVAILABLE, "remove \"%s\": its shim lives on", paths->dir);
    struct err cgroup_err = { 0 };
    const bool is_clean = groups_empty(paths, cgroup_dir, &cgroup_err) &&
                          groups_remove(paths, cgroup_dir, &cgroup_err);
    if (!is_clean) { /* the launch record stays, so that the next sweep knows what to remove */
        (void)unlink_all(paths, false, err);
        *err = cgroup_err;
        return false;
    }
    return unlink_all(paths, true, err) && dir_take_away(paths, err);
}

/* A launch without a record was lost: Nomad learns that from us in the same boot, later by itself.
 */
static bool is_worth_keeping(const struct exit_record *record, bool is_same_boot)
{
    return record ? (wall_now().ns - record->ended.ns) / NS_PER_MS < KEEP_MS : is_same_boot;
}

static bool sweep_entry(const struct task_paths *paths, const char *boot_id, struct err *err)
{
    CLEANUP(fd_closep) struct fd lock = FD_NONE;
    struct launch launch = { 0 };
    struct exit_record record;
    struct err inner = { 0 };
    bool is_absent = false;
    if (!lock_try(paths, true, &lock, &is_absent, err) || !fd_is_open(lock))
        return fd_is_open(lock) || err->kind == ERR_NONE;
    if (!launch_read(paths, &launch, &inner))
        return is_later(paths) ||
               (inner.kind != ERR_SYSTEM && ledger_remove(paths, "", lock.raw, err));
    bool has_record = false;
    if (!exit_read(paths, launch.nonce, &record, &has_record, err))
        return false;
    const bool is_same_boot = strcmp(launch.boot_id, boot_id) == 0;
    const char *cgroup = is_same_boot ? launch.cgroup_dir : "";
    if (!is_worth_keeping(has_record ? &record : NULL, is_same_boot))
        return ledger_remove(paths, cgroup, lock.raw, err);
    return groups_empty(paths, cgroup, err) && groups_remove(paths, cgroup, err);
}

/* Nobody but us (and root) may put anything there: an operator may have named a directory in /tmp,
 * and another user have made it first. Errors: DENIED, SYSTEM. */
static bool check_private(const char *dir, struct err *err)
{
    struct stat st;
    if (stat(dir, &st) < 0)
        return err_sys(err, errno, "look at \"%s\"", dir);
    const bool is_owned = st.st_uid == 0 || st.st_uid == geteuid();
    return (is_owned && (st.st_mode & 0022) == 0) ||
           err_set(err, ERR_DENIED,
                   "use \"%s\": another user may write in it (owner %u, mode %04o)", dir,
                   (unsigned)st.st_uid, (unsigned)st.st_mode & 07777U);
}

struct sweep {
    const char *state_dir, *run_dir, *boot_id;
    struct cgroup_layout layout;
    unsigned stuck;
};

static bool sweep_one(struct sweep *sweep, const char *key, struct err *err)
{
    struct err inner = { 0 };
    struct task_paths paths;
    if (strlen(key) != TASK_KEY_BYTES - 1)
        return true;
    if (!task_paths_of_key(sweep->state_dir, sweep->run_dir, key, &paths, err))
        return false;
    paths.layout = &sweep->layout;
    sweep->stuck += !sweep_entry(&paths, sweep->boot_id, &inner);
    task_paths_fini(&paths);
    return true;
}

static bool sweep_all(struct sweep *sweep, const char *tasks, struct err *err)
{
    DIR *dir = opendir(tasks);
    if (!dir)
        return err_sys(err, errno, "read \"%s\"", tasks);
    struct dirent *at;
    bool ok = true;
    while (ok && (errno = 0, at = readdir(dir)) != NULL)
        ok = sweep_one(sweep, at->d_name, err);
    if (ok && errno != 0)
        ok = err_sys(err, errno, "read \"%s\"", tasks);
    (void)closedir(dir);
    return ok;
}

bool ledger_sweep(const char *state_dir, const char *run_dir, const char *boot_id,
                  unsigned *out_stuck, struct err *err)
{
    CLEANUP(str_freep) char *tasks = str_format("%s/tasks", state_dir);
    struct sweep sweep = { .state_dir = state_dir, .run_dir = run_dir, .boot_id = boot_id };
    cgroup_layout_read("", &sweep.layout);
    const bool ok = dir_make(tasks, 0700, err) && dir_make(run_dir, 0711, err) &&
                    check_private(state_dir, err) && check_private(tasks, err) &&
                    check_private(run_dir, err) && sweep_all(&sweep, tasks, err);
    *out_stuck = sweep.stuck;
    return ok;
}

void ledger_entry_fini(struct ledger_entry *entry) { fd_closep(&entry->lock); }
