#include "driver/dev/guard.h"

#include "common/base/dir.h"
#include "common/base/file.h"
#include "common/base/own.h"
#include "common/base/text.h"
#include "common/base/time.h"
#include "common/cgroup/cgroup.h"
#include "common/cgroup/layout.h"
#include "common/loop/loop.h"
#include "common/proc/spawn.h"
#include "driver/limits/dirs.h"

#include <dirent.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#define KILL_MAX_MS  5000
#define SCANS_MAX    50 /* 20 ms apart: what dies may have started something just before */
#define TREE_PREFIX  "agent-dev-"
#define PROGRAM_NAME "agent-dev"

static bool pid_of(const char *name, pid_t *out)
{
    int64_t pid;
    struct err unused;
    if (!int_parse(view_str(name), 1, INT32_MAX, &pid, &unused))
        return false;
    *out = (pid_t)pid;
    return true;
}

/* True when a descriptor of the process leads to a file below `prefix`. */
static bool holds_below(pid_t pid, const char *prefix)
{
    char path[64], target[PATH_MAX];
    (void)snprintf(path, sizeof path, "/proc/%d/fd", pid);
    CLEANUP(dir_closep) DIR *fds = opendir(path);
    const size_t len = strlen(prefix);
    for (struct dirent *e; fds && (e = readdir(fds));) {
        const ssize_t n = readlinkat(dirfd(fds), e->d_name, target, sizeof target - 1);
        if (n > (ssize_t)len && memcmp(target, prefix, len) == 0 && target[len] == '/')
            return true;
    }
    return false;
}

/* Kills processes that hold files below `prefix`, once; a pidfd is taken before the look, so that
 * what is killed is what was looked at. */
static size_t holders_kill(const char *prefix)
{
    CLEANUP(dir_closep) DIR *proc = opendir("/proc");
    size_t killed = 0;
    for (struct dirent *e; proc && (e = readdir(proc));) {
        pid_t pid;
        if (!pid_of(e->d_name, &pid) || pid == getpid() || pid == getppid())
            continue;
        CLEANUP(fd_closep) struct fd pidfd = { (int)syscall(SYS_pidfd_open, pid, 0) };
        if (fd_is_open(pidfd) && holds_below(pid, prefix) &&
            syscall(SYS_pidfd_send_signal, pidfd.raw, SIGKILL, NULL, 0) == 0)
            killed++;
    }
    return killed;
}

static bool tree_kill(const char *path, struct err *err)
{
    struct cgroup cg = CGROUP_NONE;
    struct err absent = { 0 };
    if (!cgroup_open(path, false, &cg, &absent)) {
        if (absent.kind != ERR_NOT_FOUND)
            *err = absent;
        return absent.kind == ERR_NOT_FOUND;
    }
    const bool ok = cgroup_kill_wait(&cg, KILL_MAX_MS, err);
    cgroup_fini(&cg);
    return ok && cgroup_remove(path, err);
}

/* A killed node has no plugin that would: limits of its tasks in cgroup v1, found by their keys. */
static bool limits_remove(const char *nodes_dir, struct err *err)
{
    CLEANUP(str_freep) char *pattern = str_format("%s/*/state/tasks/*", nodes_dir);
    struct cgroup_layout layout;
    glob_t found = { 0 };
    bool ok = true;
    cgroup_layout_read("", &layout);
    (void)glob(pattern, GLOB_NOSORT, NULL, &found);
    for (size_t i = 0; ok && i < found.gl_pathc; i++) {
        const struct limits_place place = { .layout = &layout,
                                            .agent_v2 = "",
                                            .nomad = "",
                                            .alloc_id = "",
                                            .task_name = "",
                                            .key = strrchr(found.gl_pathv[i], '/') + 1 };
        ok = limits_dirs_remove(&place, err);
    }
    globfree(&found);
    return ok;
}

bool guard_clean(const struct guard_plan *plan, size_t *killed, struct err *err)
{
    size_t total = 0, now = 0;
    if (*plan->cgroup && !tree_kill(plan->cgroup, err))
        return false;
    for (int scan = 0; *plan->nodes_dir && scan < SCANS_MAX; scan++) {
        now = holders_kill(plan->nodes_dir);
        total += now;
        if (now == 0)
            break;
        (void)nanosleep(&(struct timespec){ .tv_nsec = 20 * NS_PER_MS }, NULL);
    }
    if (killed)
        *killed = total;
    if (now > 0)
        return err_set(err, ERR_UNAVAILABLE, "kill what holds files in \"%s\": %zu remain",
                       plan->nodes_dir, now);
    return !*plan->nodes_dir || limits_remove(plan->nodes_dir, err);
}

struct kill_job { /* belongs to the worker until it is done */
    struct cgroup cgroup;
    struct boot asked, empty;
    struct err err;
    void (*on_done)(void *arg, int64_t spent_ms, const struct err *err);
    void *arg;
};

static void kill_wait(void *arg)
{
    struct kill_job *job = arg;
    if (!job->err.kind && cgroup_kill_wait(&job->cgroup, KILL_MAX_MS, &job->err))
        job->empty = boot_now();
}

static void on_kill_waited(void *arg)
{
    struct kill_job *job = arg;
    job->on_done(job->arg, boot_diff_ms(job->empty, job->asked), job->err.kind ? &job->err : NULL);
    cgroup_fini(&job->cgroup);
    free(job);
}

void guard_kill(struct loop *loop, const char *cgroup,
                void (*on_done)(void *arg, int64_t spent_ms, const struct err *err), void *arg)
{
    struct kill_job *job = mem_new(struct kill_job);
    *job = (struct kill_job){ .cgroup = CGROUP_NONE, .on_done = on_done, .arg = arg };
    job->asked = boot_now();
    if (!cgroup_open(cgroup, false, &job->cgroup, &job->err) ||
        !cgroup_kill(&job->cgroup, &job->err))
        (void)err_wrap(&job->err, "kill");
    loop_work(loop, kill_wait, on_kill_waited, job);
}

/* Is there an agent-dev of this pid? A pid used again by something else counts as dead. */
static bool is_alive(pid_t pid)
{
    char path[64];
    CLEANUP(buf_fini) struct buf name = { 0 };
    struct err err;
    (void)snprintf(path, sizeof path, "/proc/%d/comm", pid);
    return file_read(AT_FDCWD, path, 64, &name, &err) &&
           strcmp(buf_borrow_str(&name), PROGRAM_NAME "\n") == 0;
}

/* Calls for every "agent-dev-<pid>" in `parent` whose process is dead. */
static size_t dead_each(const char *parent, void (*each)(const char *path))
{
    CLEANUP(dir_closep) DIR *dir = opendir(parent);
    size_t found = 0;
    for (struct dirent *e; dir && (e = readdir(dir));) {
        pid_t pid;
        if (strncmp(e->d_name, TREE_PREFIX, strlen(TREE_PREFIX)) != 0 ||
            !pid_of(e->d_name + strlen(TREE_PREFIX), &pid) || pid == getpid() || is_alive(pid))
            continue;
        CLEANUP(str_freep) char *path = str_format("%s/%s", parent, e->d_name);
        each(path);
        found++;
    }
    return found;
}

static void tree_drop(const char *path)
{
    struct err err;
    if (!tree_kill(path, &err))
        (void)fprintf(stderr, "sweep: %s\n", err.msg);
}

static void run_drop(const char *path)
{
    struct err err;
    if (!dir_remove_tree(path, &err))
        (void)fprintf(stderr, "sweep: %s\n", err.msg);
}

size_t guard_sweep(const char *parent, const char *run_dir)
{
    CLEANUP(str_freep)
    char *beside = str_copy_n(run_dir, (size_t)(strrchr(run_dir, '/') - run_dir));
    const size_t trees = *parent ? dead_each(parent, tree_drop) : 0;
    const size_t runs = dead_each(beside, run_drop);
    return trees > runs ? trees : runs;
}

bool guard_start(const struct guard_plan *plan, struct fd *out, struct err *err)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return err_sys(err, errno, "make a pipe");
    CLEANUP(fd_closep) struct fd read_end = { ends[0] };
    CLEANUP(fd_closep) struct fd write_end = { ends[1] };
    CLEANUP(fd_closep) struct fd null = { open("/dev/null", O_WRONLY | O_CLOEXEC) };
    const char *const argv[] = { "/proc/self/exe", "guard",        plan->cgroup, plan->nodes_dir,
                                 plan->run_dir,    plan->data_dir, NULL };
    const char *const envp[] = { NULL };
    const struct proc_map fds[] = { { read_end.raw, 0 }, { null.raw, 1 }, { null.raw, 2 } };
    const struct proc_spec spec = { .argv = argv,
                                    .envp = envp,
                                    .fds = fds,
                                    .fd_count = COUNT(fds),
                                    .cgroup_fd = -1,
                                    .new_session = true };
    struct proc proc = PROC_NONE;
    if (!fd_is_open(null))
        return err_sys(err, errno, "open \"/dev/null\"");
    if (!proc_spawn(&spec, &proc, err) || !proc_wait_start(&proc, err))
        return err_wrap(err, "start the guard");
    proc_fini(&proc);
    *out = fd_take(&write_end);
    return true;
}

int guard_main(const char *const *words)
{
    const struct guard_plan plan = { words[0], words[1], words[2], words[3] };
    char byte;
    size_t got = 0;
    struct err err;
    /* One byte says that all is cleaned up; the end of the pipe without it that the other died. */
    if (!fd_read_full(STDIN_FILENO, &byte, 1, &got, &err) || got == 1)
        return 0;
    const bool ok = guard_clean(&plan, NULL, &err);
    const bool run_gone = !*plan.run_dir || dir_remove_tree(plan.run_dir, &err);
    const bool data_gone = !*plan.data_dir || dir_remove_tree(plan.data_dir, &err);
    return ok && run_gone && data_gone ? 0 : err_exit_code(err.kind);
}
