#include "common/proc/spawn.h"

#include "common/base/own.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define KERNEL_SIGSET_BYTES 8
#define SIGNAL_LAST         64
#define EXIT_NOT_STARTED    127
#define CHILD_STACK_BYTES   16384
/* A child that shares our memory leaves these frames without returning from them: a sanitizer's
 * notes about them would stay behind in the parent. */
#define IN_CHILD __attribute__((no_sanitize("address,undefined,thread")))

struct stage_row {
    const char *text;
};
#define STAGE_ROW(stage, number, what) [PROC_STAGE_##stage] = { what },
static const struct stage_row stage_rows[] = { PROC_STAGES(STAGE_ROW) };

IN_CHILD int proc_reset_signals(void)
{
    /* libc refuses to touch 32 and 33, which it uses itself; posix_spawn leaves them ignored. */
    static const uint64_t default_action[8];
    for (int signo = 1; signo <= SIGNAL_LAST; signo++) {
        if (signo == SIGKILL || signo == SIGSTOP)
            continue;
        if (syscall(SYS_rt_sigaction, signo, default_action, NULL, KERNEL_SIGSET_BYTES) != 0)
            return errno;
    }
    uint64_t none = 0;
    return syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, KERNEL_SIGSET_BYTES) != 0 ? errno
                                                                                           : 0;
}

IN_CHILD int proc_cloexec_from(int lowest)
{
    long got = syscall(SYS_close_range, (unsigned)lowest, ~0U, CLOSE_RANGE_CLOEXEC);
    return got != 0 ? errno : 0;
}

IN_CHILD static int tie_to_parent(const struct proc_spec *spec, pid_t parent)
{
    if (spec->death_signal == 0)
        return 0;
    if (prctl(PR_SET_PDEATHSIG, spec->death_signal) != 0)
        return errno;
    /* It may have died before we asked. In a PID namespace of our own it shows as 0, and there the
     * namespace's init dies with it. */
    pid_t now = getppid();
    return now == parent || now == 0 ? 0 : ESRCH;
}

/* First everything moves above the targets, so that the map may overlap in any way. */
IN_CHILD static int arrange(const struct proc_spec *spec, int *report)
{
    int high[PROC_FDS_MAX], floor = 3, error;
    for (size_t i = 0; i < spec->fd_count; i++)
        floor = spec->fds[i].to >= floor ? spec->fds[i].to + 1 : floor;
    *report = fcntl(*report, F_DUPFD_CLOEXEC, floor);
    if (*report < 0)
        return errno;
    for (size_t i = 0; i < spec->fd_count; i++) {
        high[i] = fcntl(spec->fds[i].from, F_DUPFD_CLOEXEC, floor);
        if (high[i] < 0)
            return errno;
    }
    if ((error = proc_cloexec_from(0)) != 0)
        return error;
    for (size_t i = 0; i < spec->fd_count; i++)
        if (dup2(high[i], spec->fds[i].to) < 0)
            return errno;
    return 0;
}

IN_CHILD static int enter_cgroup(const struct proc_spec *spec)
{
    if (spec->cgroup_fd < 0 || !spec->enters_late)
        return 0;
    int procs = openat(spec->cgroup_fd, "cgroup.procs", O_WRONLY | O_CLOEXEC);
    if (procs < 0)
        return errno;
    int error = write(procs, "0", 1) == 1 ? 0 : errno;
    (void)close(procs);
    return error;
}

IN_CHILD static struct proc_failure run_stages(const struct proc_spec *spec, pid_t parent,
                                               int *report)
{
    struct proc_failure why = { 0, 0, -1 };
    if (write(*report, "", 1) != 1) /* born */
        return (struct proc_failure){ PROC_STAGE_BIRTH, errno, -1 };
    if ((why.os_errno = enter_cgroup(spec)) != 0) {
        why.stage = PROC_STAGE_CGROUP;
        return why;
    }
    if ((why.os_errno = tie_to_parent(spec, parent)) != 0) {
        why.stage = PROC_STAGE_DEATH_SIGNAL;
        return why;
    }
    if (spec->new_session && setsid() < 0)
        return (struct proc_failure){ PROC_STAGE_SESSION, errno, -1 };
    if ((why.os_errno = arrange(spec, report)) != 0) {
        why.stage = PROC_STAGE_DESCRIPTORS;
        return why;
    }
    if (spec->in_child != NULL && !spec->in_child(spec->in_child_arg, *report, &why))
        return why;
    if ((why.os_errno = proc_reset_signals()) != 0) {
        why.stage = PROC_STAGE_SIGNALS;
        return why;
    }
    (void)execve(spec->argv[0], (char *const *)spec->argv, (char *const *)spec->envp);
    return (struct proc_failure){ PROC_STAGE_EXEC, errno, -1 };
}

IN_CHILD static _Noreturn void be_child(const struct proc_spec *spec, pid_t parent, int report)
{
    struct proc_failure why = run_stages(spec, parent, &report);
    ssize_t sent = write(report, &why, sizeof(why));
    (void)sent; /* nobody left to tell */
    _exit(EXIT_NOT_STARTED);
}

static pid_t clone_copied(const struct proc_spec *spec, int *pidfd)
{
    struct clone_args args = { .flags = CLONE_PIDFD,
                               .pidfd = (__u64)(uintptr_t)pidfd,
                               .exit_signal = SIGCHLD };
    if (spec->cgroup_fd >= 0 && !spec->enters_late) {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = (__u64)spec->cgroup_fd;
    }
    return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

struct birth {
    const struct proc_spec *spec;
    pid_t parent;
    int report;
};

IN_CHILD static int be_sharing_child(void *arg)
{
    const struct birth *birth = arg;
    be_child(birth->spec, birth->parent, birth->report);
}

/* Nothing is copied and this thread stands still until the child has executed: for a process of
 * many pages the difference is most of a start. */
IN_CHILD static pid_t clone_sharing(struct birth *birth, int *pidfd)
{
    _Alignas(16) char stack[CHILD_STACK_BYTES];
    return clone(be_sharing_child, stack + sizeof(stack),
                 CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, birth, pidfd);
}

#ifdef __SANITIZE_THREAD__ /* it takes what the child does for our own thread's doing */
#define CAN_SHARE false
#else
#define CAN_SHARE true
#endif

/* A hook of the caller's may wait for something, and the caller must go on meanwhile; and only
 * clone3 puts a child into a cgroup. */
static bool may_share(const struct proc_spec *spec)
{
    return CAN_SHARE && spec->in_child == NULL && spec->cgroup_fd < 0;
}

static pid_t clone_child(const struct proc_spec *spec, int report, int *pidfd)
{
    struct birth birth = { spec, getpid(), report };
    if (may_share(spec))
        return clone_sharing(&birth, pidfd);
    const pid_t pid = clone_copied(spec, pidfd);
    if (pid == 0)
        be_child(spec, birth.parent, report);
    return pid;
}

bool proc_spawn(const struct proc_spec *spec, struct proc *out, struct err *err)
{
    *out = PROC_NONE;
    if (spec->fd_count > PROC_FDS_MAX)
        return err_set(err, ERR_INVALID, "spawn \"%s\": %zu descriptors, at most %d", spec->argv[0],
                       spec->fd_count, PROC_FDS_MAX);
    int ends[2], pidfd = -1;
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
        return err_sys(err, errno, "spawn \"%s\": make pipe", spec->argv[0]);
    CLEANUP(fd_closep) struct fd read_end = { ends[0] };
    CLEANUP(fd_closep) struct fd write_end = { ends[1] };
    /* No handler of ours may run in the child. */
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, &before);
    const pid_t pid = clone_child(spec, write_end.raw, &pidfd);
    const int clone_errno = errno;
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    if (pid < 0)
        return err_sys(err, clone_errno, "spawn \"%s\"", spec->argv[0]);
    *out = (struct proc){ pid, { pidfd }, fd_take(&read_end), false };
    return true;
}

/* As read, without interruptions. */
static ssize_t read_report(const struct proc *proc, void *bytes, size_t len)
{
    ssize_t got;
    do
        got = read(proc->report.raw, bytes, len);
    while (got < 0 && errno == EINTR);
    return got;
}

enum proc_progress proc_progress(struct proc *proc, struct proc_failure *why)
{
    char mark;
    if (!proc->is_born) {
        ssize_t born = read_report(proc, &mark, 1);
        if (born < 0 && errno == EAGAIN)
            return PROC_PENDING;
        *why = (struct proc_failure){ PROC_STAGE_BIRTH, ECANCELED, -1 };
        if (born != 1)
            return PROC_FAILED;
        proc->is_born = true;
    }
    ssize_t got = read_report(proc, why, sizeof(*why));
    if (got < 0 && errno == EAGAIN)
        return PROC_PENDING;
    if (got == 0)
        return PROC_EXECUTED;
    if (got != (ssize_t)sizeof(*why))
        *why = (struct proc_failure){ PROC_STAGE_NONE, EPROTO, -1 };
    return PROC_FAILED;
}

static bool failure_error(const struct proc_failure *why, struct err *err)
{
    const char *doing = proc_stage_text(why->stage);
    bool is_exec = why->stage == PROC_STAGE_EXEC;
    if (is_exec && (why->os_errno == ENOENT || why->os_errno == ENOTDIR))
        return err_set(err, ERR_NOT_FOUND, "%s: no such file", doing);
    if (is_exec && (why->os_errno == EACCES || why->os_errno == EPERM))
        return err_set(err, ERR_DENIED, "%s: permission denied", doing);
    return err_sys(err, why->os_errno, "%s", doing);
}

bool proc_wait_start(struct proc *proc, struct err *err)
{
    struct proc_failure why = { 0, 0, -1 };
    enum proc_progress progress;
    while ((progress = proc_progress(proc, &why)) == PROC_PENDING) {
        struct pollfd wait = { .fd = proc->report.raw, .events = POLLIN };
        (void)poll(&wait, 1, -1);
    }
    fd_closep(&proc->report);
    if (progress == PROC_EXECUTED)
        return true;
    while (waitpid(proc->pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    proc_fini(proc);
    return failure_error(&why, err);
}

bool proc_signal(const struct proc *proc, int signo, struct err *err)
{
    if (syscall(SYS_pidfd_send_signal, proc->pidfd.raw, signo, NULL, 0) == 0)
        return true;
    if (errno == ESRCH)
        return err_set(err, ERR_NOT_FOUND, "signal process %d: it is gone", (int)proc->pid);
    return err_sys(err, errno, "signal process %d with %d", (int)proc->pid, signo);
}

void proc_fini(struct proc *proc)
{
    fd_closep(&proc->pidfd);
    fd_closep(&proc->report);
    proc->pid = 0;
}

const char *proc_stage_text(int stage)
{
    if (stage >= 0 && (size_t)stage < COUNT(stage_rows))
        return stage_rows[stage].text;
    return "prepare";
}
