#include "driver/task/jobs.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/dir.h"
#include "common/base/own.h"
#include "common/log/log.h"
#include "driver/exec/launch.h"
#include "driver/nomad/task_spec.h"
#include "driver/task/logfile.h"

/* After a link broke the kernel may need a moment to take the dead shim's descriptors away. Whoever
 * recovers has seen nothing break: fifty tasks are recovered at once, without waiting. */
#define LOCK_SETTLE_MS 200

static bool open_one(const char *path, struct fd *file, struct err *err)
{
    return fd_is_open(*file) || logfile_open(path, file, err);
}

static bool has_own_logs(const struct task *task)
{
    return birth_has_own_logs(&task->rules->config, task->spec);
}

/* Before an older launch is stopped: it may be the only writer, and a collector that has seen the
 * end of the logs does not open them again. Without a reader there is no end to be seen. */
static void keep_logs_open(struct task *task)
{
    struct err ignored = { 0 };
    if (has_own_logs(task))
        return; /* files do not end */
    if (!open_one(task->spec->stdout_path, &task->job->stdout_fd, &ignored) ||
        !open_one(task->spec->stderr_path, &task->job->stderr_fd, &ignored))
        LOG(LOG_DEBUG, "a log has no reader yet", F(task, task->id), F(error, &ignored));
}

/* A shim that we did not start: the program for execs into its task, and what a driver that died
 * together with the helpers of its execs has left there. */
static void settle_in(struct task *task)
{
    struct task_job *job = task->job;
    struct err why = { 0 };
    job->sign = SIGN_ALIVE;
    if (!task->is_asked)
        return;
    if (!job->plan.shim &&
        !helper_find(task->rules->config.shim, "agent-shim", PLAN_LIBEXEC, &job->plan.shim, &why))
        LOG(LOG_WARN, "no exec into the task is possible", F(task, task->id), F(error, &why));
    const unsigned stuck = exec_sweep(job->found.launch.cgroup_dir);
    if (stuck)
        LOG(LOG_WARN, "execs left something that cannot be removed", F(task, task->id),
            F(count, stuck));
}

/* True when the directory is ours now; else the sign says whose, or that it failed. */
static bool claim(struct task *task)
{
    struct task_job *job = task->job;
    const struct ledger_ask ask = { .alloc_id = task->alloc_id,
                                    .task_name = task->name,
                                    .task_id = task->id,
                                    .boot_id = task->tasks->boot_id };
    if (!ledger_claim(&task->paths, &ask, &job->found, &job->err)) {
        job->sign = SIGN_FAILED;
        return false;
    }
    switch (job->found.found) {
    case LEDGER_FRESH:
        job->lock = fd_take(&job->found.lock);
        job->is_ours = true;
        return true;
    case LEDGER_ALIVE:
        settle_in(task);
        return false;
    case LEDGER_OTHER:
        keep_logs_open(task);
        job->sign = SIGN_OTHER;
        return false;
    case LEDGER_OVER:
    case LEDGER_LOST:
        job->sign = SIGN_OVER;
        return false;
    }
    return false;
}

/* Opened by us and never looked up again: the task's user may rename what is below alloc/. */
static bool open_log_dir(struct task *task)
{
    struct task_job *job = task->job;
    CLEANUP(str_freep) char *path = str_format("%s/alloc/logs", task->spec->alloc_dir);
    if (fd_is_open(job->stdout_fd) || dir_open(path, &job->stdout_fd, &job->err))
        return true;
    (void)err_wrap(&job->err, "open directory of logs");
    job->sign = SIGN_FAILED;
    return false;
}

/* Both are tried each time: the collector of the one may wait for the other. */
static bool open_logs(struct task *task)
{
    struct task_job *job = task->job;
    struct err second = { 0 };
    if (has_own_logs(task))
        return open_log_dir(task);
    const bool has_out = open_one(task->spec->stdout_path, &job->stdout_fd, &job->err);
    const bool has_err = open_one(task->spec->stderr_path, &job->stderr_fd, &second);
    if (has_out && has_err)
        return true;
    if (has_out || (job->err.kind == ERR_UNAVAILABLE && !has_err))
        job->err = second;
    job->sign = job->err.kind == ERR_UNAVAILABLE ? SIGN_NOT_YET : SIGN_FAILED;
    return false;
}

#ifdef AGENT_TEST_HOOKS
static void crash_if_asked(const char *where)
{
    const char *wanted = getenv("AGENT_TEST_CRASH");
    if (wanted && strcmp(wanted, where) == 0)
        (void)kill(getpid(), SIGKILL);
}
#else
static void crash_if_asked(const char *where) { (void)where; }
#endif

static bool spawn(struct task *task)
{
    struct task_job *job = task->job;
    const struct birth_in in = { .spec = task->spec,
                                 .config = &task->rules->config,
                                 .paths = &task->paths,
                                 .plan = &job->plan,
                                 .boot_id = task->tasks->boot_id,
                                 .lock_fd = job->lock.raw,
                                 .stdout_fd = job->stdout_fd.raw,
                                 .stderr_fd = job->stderr_fd.raw };
    const bool ok = birth(&in, &job->born, &job->err);
    /* Now the shim's: while we held them too, its death would not free the lock, and the end of the
     * task not end its logs. */
    fd_closep(&job->stdout_fd);
    fd_closep(&job->stderr_fd);
    if (!ok)
        return false;
    fd_closep(&job->lock);
    crash_if_asked("after-spawn");
    return true;
}

static bool make_plan(struct task *task)
{
    const struct plan_in in = { .spec = task->spec,
                                .config = &task->rules->config,
                                .machine = &task->tasks->machine,
                                .paths = &task->paths };
    return task_plan_make(&in, &task->job->plan, &task->job->err);
}

/* One job and not three: each way to a worker and back costs a start two thread switches. */
void job_prepare(void *arg)
{
    struct task *task = arg;
    struct task_job *job = task->job;
    if (!job->is_ours && !claim(task))
        return;
    job->sign = SIGN_FAILED;
    if (!job->is_planned && !make_plan(task))
        return;
    job->is_planned = true;
    if (open_logs(task) && spawn(task))
        job->sign = SIGN_SPAWNED;
}

void job_look(void *arg)
{
    struct task *task = arg;
    struct task_job *job = task->job;
    const struct ledger_ask ask = { .alloc_id = task->alloc_id,
                                    .task_name = task->name,
                                    .task_id = task->id,
                                    .nonce = task->is_by_id ? NULL : task->nonce,
                                    .settle_ms = task->is_asked ? 0 : LOCK_SETTLE_MS,
                                    .boot_id = task->tasks->boot_id };
    if (!ledger_find(&task->paths, &ask, &job->found, &job->err)) {
        job->sign = SIGN_FAILED;
        return;
    }
    job->sign = SIGN_OVER;
    if (job->found.found == LEDGER_ALIVE)
        settle_in(task);
}

static void kill_shim(struct task *task)
{
    struct proc shim = PROC_NONE;
    struct err ignored = { 0 };
    const bool is_sent = task->shim.pid && proc_open(&task->shim, &shim.pidfd, &ignored) &&
                         proc_signal(&shim, SIGKILL, &ignored);
    if (is_sent)
        LOG(LOG_WARN, "shim killed", F(task, task->id), F(pid, task->shim.pid));
    proc_fini(&shim);
}

static void remove_all(struct task *task)
{
    struct err err = { 0 };
    if (ledger_remove(&task->paths, task->cgroup_dir, task->job->lock.raw, &err))
        return;
    if (err.kind == ERR_UNAVAILABLE) {
        kill_shim(task);
        if (ledger_remove(&task->paths, task->cgroup_dir, task->job->lock.raw, &err))
            return;
    }
    LOG(LOG_WARN, "what the task left is not all removed", F(task, task->id), F(error, &err));
}

void job_undo(void *arg)
{
    struct task *task = arg;
    task->job->sign = SIGN_CLEANED;
    if (!task->job->is_ours)
        return;
    fd_closep(&task->job->stdout_fd);
    fd_closep(&task->job->stderr_fd);
    kill_shim(task);
    remove_all(task);
    fd_closep(&task->job->lock);
}

void job_remove(void *arg)
{
    struct task *task = arg;
    remove_all(task);
    task->job->sign = SIGN_CLEANED;
}
