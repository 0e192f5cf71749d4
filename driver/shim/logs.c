#include "driver/shim/logs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "common/base/own.h"
#include "driver/logs/scribe.h"

#define MB 1000000ULL

/* The whole life of the scribe. Nothing else of the shim's may stay open in it. */
static _Noreturn void be_scribe(const struct shim_logs *logs, int dir_fd, struct view forget)
{
    static const char *const name = "agent-scribe";
    const int pipes[] = { logs->out.raw, logs->err.raw };
    struct scribe scribe = { 0 };
    for (size_t i = 0; i < COUNT(pipes); i++) {
        scribe.streams[i].pipe_fd = pipes[i];
        rotation_init(&scribe.streams[i].rotation, dir_fd, logs->stems[i], logs->max_bytes,
                      logs->max_files);
    }
    if (syscall(SYS_close_range, 0U, (unsigned)SHIM_FD_LOG_DIR - 1, 0) != 0 ||
        syscall(SYS_close_range, (unsigned)SHIM_FD_LOG_ERR + 1, ~0U, 0) != 0 ||
        (forget.len > 0 && munmap((void *)(uintptr_t)forget.data, forget.len) != 0))
        _exit(1);
    (void)prctl(PR_SET_NAME, name);
    (void)setpriority(PRIO_PROCESS, 0, logs->nice);
    (void)setsid();
    scribe_run(&scribe);
    _exit(0);
}

static bool start_scribe(struct shim_logs *logs, const struct shim_fds *fds, struct view forget,
                         struct err *err)
{
    int pidfd = -1;
    struct clone_args args = { .flags = CLONE_PIDFD,
                               .pidfd = (__u64)(uintptr_t)&pidfd,
                               .exit_signal = SIGCHLD };
    const pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
    if (pid == 0)
        be_scribe(logs, fds->log_dir.raw, forget);
    if (pid < 0)
        return err_sys(err, errno, "start scribe");
    logs->scribe = pid;
    logs->pidfd.raw = pidfd;
    return true;
}

static bool make_pipe(struct fd *read_end, int read_number, struct fd *write_end, int write_number,
                      struct err *err)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return err_sys(err, errno, "make a log's pipe");
    fd_closep(write_end);
    read_end->raw = ends[0];
    write_end->raw = ends[1];
    return shim_fd_move(read_end, read_number, err) && shim_fd_move(write_end, write_number, err) &&
           fd_set_nonblock(read_end->raw, true, err);
}

bool shim_logs_open(struct shim_logs *logs, const struct shim_spec *spec, struct shim_fds *fds,
                    int nice, struct view forget, struct err *err)
{
    *logs = SHIM_LOGS_NONE;
    if (!fd_is_open(fds->log_dir))
        return true;
    logs->nice = nice;
    logs->max_files = spec->log_max_files;
    logs->max_bytes = spec->log_max_mb * MB;
    (void)snprintf(logs->stems[0], sizeof(logs->stems[0]), "%s.stdout", spec->task_name);
    (void)snprintf(logs->stems[1], sizeof(logs->stems[1]), "%s.stderr", spec->task_name);
    return make_pipe(&logs->out, SHIM_FD_LOG_OUT, &fds->out, SHIM_FD_STDOUT, err) &&
           make_pipe(&logs->err, SHIM_FD_LOG_ERR, &fds->err, SHIM_FD_STDERR, err) &&
           start_scribe(logs, fds, forget, err);
}

/* Children are born in the agent's PID namespace once it was entered; this one must not die there.
 */
static bool leave_namespace(struct err *err)
{
    CLEANUP(fd_closep) struct fd own = { open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC) };
    if (!fd_is_open(own) || setns(own.raw, CLONE_NEWPID) != 0)
        return err_sys(err, errno, "leave the agent's PID namespace");
    return true;
}

bool shim_logs_renew(struct shim_logs *logs, const struct shim_fds *fds, struct err *err)
{
    logs->scribe = 0;
    fd_closep(&logs->pidfd);
    if (++logs->deaths < SHIM_LOGS_DEATHS_MAX && leave_namespace(err) &&
        start_scribe(logs, fds, (struct view){ 0 }, err))
        return true;
    fd_closep(&logs->out); /* better broken than full for ever */
    fd_closep(&logs->err);
    if (logs->deaths >= SHIM_LOGS_DEATHS_MAX)
        return err_set(err, ERR_INVALID, "write logs: %u scribes have died", logs->deaths);
    return false;
}

void shim_logs_close(struct shim_logs *logs, int wait_ms)
{
    struct pollfd end = { .fd = logs->pidfd.raw, .events = POLLIN };
    fd_closep(&logs->out);
    fd_closep(&logs->err);
    if (logs->scribe == 0)
        return;
    if (poll(&end, 1, wait_ms) != 1)
        (void)syscall(SYS_pidfd_send_signal, logs->pidfd.raw, SIGKILL, NULL, 0);
    (void)waitpid(logs->scribe, NULL, WNOHANG); /* one that hangs in a disk is init's to reap */
    fd_closep(&logs->pidfd);
    logs->scribe = 0;
}
