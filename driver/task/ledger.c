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
#define KEEP_MS        ((int64_t)24 * 3600 * 1000) /* how long Nomad may come back for a result */

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

static bool exit_read(const struct task_paths *paths, const uint8_t *nonce, struct exit_record *out)
{
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    struct err ignored = { 0 }; /* absent, damaged, of another launch: no record of this one */
    return file_read(AT_FDCWD, paths->exit_record, EXIT_RECORD_BYTES, &bytes, &ignored) &&
           exit_record_decode(buf_view(&bytes), out, &ignored) &&
           memcmp(out->nonce, nonce, SHIM_NONCE_BYTES) == 0;
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

static bool cgroup_remove_wait(const char *dir, struct err *err)
{
    if (dir[0] == '\0')
        return true;
    for (int i = 0;; i++) {
        struct err inner = { 0 };
        if (cgroup_remove(dir, &inner))
            return true;
        if (inner.kind != ERR_CONFLICT || i == 20) {
            *err = inner;
            return false;
        }
        pause_ms(10);
    }
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
    return cgroup_remove_wait(cgroup_dir, err) &&
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

bool ledger_claim(const struct task_paths *paths, const struct ledger_ask *ask,
                  struct ledger_entry *out, struct err *err)
{
    CLEANUP(fd_closep) struct fd lock = FD_NONE;
    bool is_absent = false;
    struct err inner = { 0 };
    *out = (struct ledger_entry){ .lock = FD_NONE };
    if (!dir_make(paths->dir, 0700, err))
        return false;
    if (!lock_try(paths, true, &lock, &is_absent, err)) {
        (void)rmdir(paths->dir); /* when it is empty it is ours, made a moment ago */
        return false;
    }
    if (!fd_is_open(lock))
        return claim_held(paths, ask, out, err);
    const bool has_launch = launch_read(paths, &out->launch, &inner);
    if (has_launch && is_same_task(&out->launch, ask) &&
        strcmp(out->launch.task_id, ask->task_id) == 0 &&
        exit_read(paths, out->launch.nonce, &out->record) && result_has_run(&out->record)) {
        out->found = LEDGER_OVER;
        return true;
    }
    if (!clear_dead(paths, has_launch ? &out->launch : NULL, ask, err))
        return false;
    out->found = LEDGER_FRESH;
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
    if (!launch_read(paths, &out->launch, err) || !find_check(paths, ask, &out->launch, err))
        return false;
    if (exit_read(paths, out->launch.nonce, &out->record))
        return true;
    if (strcmp(out->launch.boot_id, ask->boot_id) != 0)
        return err_set(err, ERR_NOT_FOUND, "find launch: it ended with an earlier boot");
    if (!lock_wait(paths, ask->settle_ms, &lock, &is_absent, err))
        return false;
    if (!fd_is_open(lock) && !is_absent) {
        out->found = LEDGER_ALIVE;
        return true;
    }
    if (exit_read(paths, out->launch.nonce, &out->record)) /* written after the first look */
        return true;
    out->found = LEDGER_LOST;
    return groups_empty(paths, out->launch.cgroup_dir, err);
}

/* Written in place and not by file_publish: under our lock nobody reads it but to learn that the
 * lock is held, a torn one has a wrong checksum and counts as none, and a start waits for one
 * commit of the journal instead of two. */
bool ledger_publish(const struct task_paths *paths, const struct launch *launch, struct err *err)
{
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    if (!launch_encode(launch, &bytes, err))
        return false;
    CLEANUP(fd_closep) struct fd dir = { open(paths->dir, O_DIRECTORY | O_RDONLY | O_CLOEXEC) };
    CLEANUP(fd_closep)
    struct fd file = { openat(dir.raw, "launch",
                              O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0600) };
    if (!fd_is_open(dir) || !fd_is_open(file))
        return err_sys(err, errno, "create \"%s\"", paths->launch);
    if (!fd_write_all(file.raw, bytes.data, bytes.len, err))
        return err_wrap(err, "write \"%s\"", paths->launch);
    if (fsync(file.raw) < 0 || fsync(dir.raw) < 0)
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

static bool is_worth_keeping(const struct launch *launch, bool has_record, const char *boot_id)
{
    const int64_t age_ms = (wall_now().ns - launch->at.ns) / NS_PER_MS;
    return age_ms < KEEP_MS && (has_record || strcmp(launch->boot_id, boot_id) == 0);
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
        return ledger_remove(paths, "", lock.raw, err);
    const bool has_record = exit_read(paths, launch.nonce, &record);
    const bool is_same_boot = strcmp(launch.boot_id, boot_id) == 0;
    const char *cgroup = is_same_boot ? launch.cgroup_dir : "";
    if (!is_worth_keeping(&launch, has_record, boot_id))
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

bool ledger_sweep(const char *state_dir, const char *run_dir, const char *boot_id,
                  unsigned *out_stuck, struct err *err)
{
    char *tasks = str_format("%s/tasks", state_dir);
    struct cgroup_layout layout;
    cgroup_layout_read("", &layout);
    *out_stuck = 0;
    bool ok = dir_make(tasks, 0700, err) && dir_make(run_dir, 0711, err) &&
              check_private(state_dir, err) && check_private(tasks, err) &&
              check_private(run_dir, err);
    DIR *dir = ok ? opendir(tasks) : NULL;
    if (ok && !dir)
        ok = err_sys(err, errno, "read \"%s\"", tasks);
    for (struct dirent *at = dir ? readdir(dir) : NULL; at; at = readdir(dir)) {
        struct err inner = { 0 };
        struct task_paths paths;
        if (strlen(at->d_name) != TASK_KEY_BYTES - 1)
            continue;
        if (!task_paths_of_key(state_dir, run_dir, at->d_name, &paths, err)) {
            ok = false;
            break;
        }
        paths.layout = &layout;
        *out_stuck += !sweep_entry(&paths, boot_id, &inner);
        task_paths_fini(&paths);
    }
    if (dir)
        (void)closedir(dir);
    free(tasks);
    return ok;
}

void ledger_entry_fini(struct ledger_entry *entry) { fd_closep(&entry->lock); }
