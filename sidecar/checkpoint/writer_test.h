/* writer_test.h - for the tests of this room: a writer that can be held still for the cut. */
#pragma once
#include <criterion/criterion.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/time.h"
#include "sidecar/checkpoint/checkpoint.h"

/* A writer in a process of its own, stopped by SIGSTOP for the cut. */
struct writer {
    pid_t pid;
};

/* A child that does not outlive the test. */
static inline struct writer start_writer(void)
{
    struct writer w = { fork() };
    if (w.pid == 0)
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    return w;
}

static inline bool is_stopped(pid_t pid)
{
    int status = 0;
    return waitpid(pid, &status, WUNTRACED | WNOHANG) == pid && WIFSTOPPED(status);
}

static inline bool stop_writer(void *arg, int64_t max_ms, struct err *err)
{
    const struct writer *w = arg;
    struct boot end = boot_add_ms(boot_now(), max_ms);
    cr_assert_eq(kill(w->pid, SIGSTOP), 0);
    while (!is_stopped(w->pid))
        if (boot_now().ns > end.ns) {
            cr_assert_eq(kill(w->pid, SIGCONT), 0);
            return err_set(err, ERR_UNAVAILABLE, "freeze: not in time");
        }
    return true;
}

static inline void go_on(void *arg)
{
    cr_assert_eq(kill(((const struct writer *)arg)->pid, SIGCONT), 0);
}

static inline void end_writer(const struct writer *w)
{
    (void)kill(w->pid, SIGKILL);
    (void)waitpid(w->pid, NULL, 0);
}
