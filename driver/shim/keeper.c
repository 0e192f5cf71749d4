#include "driver/shim/keeper.h"

#include "driver/shim/fds.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* The whole life of the keeper. Nothing of the shim's may stay open in it: it would keep log pipes
 * and locks alive. */
static _Noreturn void be_keeper(int lifeline, struct view forget)
{
    const struct sigaction ignore = { .sa_handler = SIG_IGN }; /* children are reaped unseen */
    (void)sigaction(SIGCHLD, &ignore, NULL);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || dup2(lifeline, 0) != 0 ||
        syscall(SYS_close_range, 1U, ~0U, 0) != 0)
        _exit(1);
    if (forget.len > 0 && munmap((void *)(uintptr_t)forget.data, forget.len) != 0)
        _exit(1);
    (void)prctl(PR_SET_NAME, "agent-keeper");
    (void)setsid();
    char byte;
    ssize_t got;
    do /* breaks also when the shim died before the death signal was asked for */
        got = read(0, &byte, 1);
    while (got < 0 && errno == EINTR);
    _exit(0);
}

bool keeper_start(struct view forget, struct keeper *out, struct err *err)
{
    *out = KEEPER_NONE;
    int ends[2], pidfd = -1;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return err_sys(err, errno, "start keeper: make pipe");
    struct clone_args args = { .flags = CLONE_NEWPID | CLONE_PIDFD,
                               .pidfd = (__u64)(uintptr_t)&pidfd,
                               .exit_signal = SIGCHLD };
    pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
    if (pid == 0) {
        (void)close(ends[1]);
        be_keeper(ends[0], forget);
    }
    int clone_errno = errno;
    (void)close(ends[0]);
    *out = (struct keeper){ pid, { pidfd }, { ends[1] } };
    if (pid > 0)
        return shim_fd_move(&out->pidfd, SHIM_FD_KEEPER, err) &&
               shim_fd_move(&out->lifeline, SHIM_FD_LIFELINE, err);
    fd_closep(&out->lifeline);
    *out = KEEPER_NONE;
    if (clone_errno == EPERM || clone_errno == EINVAL || clone_errno == ENOSPC)
        return err_set(err, ERR_DENIED, "make a PID namespace: not allowed here");
    return err_sys(err, clone_errno, "start keeper");
}

bool keeper_enter(const struct keeper *keeper, struct err *err)
{
    if (setns(keeper->pidfd.raw, CLONE_NEWPID) != 0)
        return err_sys(err, errno, "enter the keeper's PID namespace");
    return true;
}

void keeper_kill(const struct keeper *keeper)
{
    if (fd_is_open(keeper->pidfd))
        (void)syscall(SYS_pidfd_send_signal, keeper->pidfd.raw, SIGKILL, NULL, 0);
}

void keeper_end(const struct keeper *keeper)
{
    siginfo_t info;
    if (keeper->pid == 0)
        return;
    keeper_kill(keeper);
    while (waitid(P_PIDFD, (id_t)keeper->pidfd.raw, &info, WEXITED) != 0 && errno == EINTR)
        continue;
}
