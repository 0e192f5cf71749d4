#include "driver/shim/keeper.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "driver/shim/fds.h"

/* Starts a keeper and, in its namespace, a child with a grandchild that holds `pipe`. */
static struct keeper family(int pipe)
{
    struct keeper keeper;
    struct err err = { 0 };
    sigset_t all;
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, NULL);
    if (!keeper_start(view_of(NULL, 0), &keeper, &err)) {
        _exit(1);
    }
    if (!keeper_enter(&keeper, &err))
        _exit(2);
    if (fork() == 0) {
        fd_closep(&keeper.lifeline); /* as an exec does */
        if (fork() == 0)             /* double-forked, in its own session */
            (void)setsid();
        if (write(pipe, "x", 1) != 1)
            _exit(3);
        for (;;)
            (void)pause();
    }
    return keeper;
}

static bool breaks(int fd, int ms)
{
    struct pollfd wait = { .fd = fd };
    return poll(&wait, 1, ms) == 1 && (wait.revents & POLLHUP) != 0;
}

static void open_pipe(int ends[2])
{
    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    cr_assert_lt(ends[1], SHIM_FD_LOCK); /* not among the shim's fixed numbers */
}

static void await_both(int fd)
{
    char bytes[2];
    for (int got = 0; got < 2; got++)
        cr_assert_eq(read(fd, bytes, 1), 1, "the family did not come to life");
}

/* A process in the shim's place; at `order` it kills its keeper. It never returns to the runner. */
static pid_t start_shim(const int ends[2], int order)
{
    char byte;
    pid_t shim = fork();
    if (shim != 0)
        return shim;
    struct keeper keeper = family(ends[1]);
    (void)close(ends[1]);
    ssize_t got = read(order, &byte, 1);
    (void)got;
    keeper_kill(&keeper);
    for (;;)
        (void)pause();
}

static void stage(bool kill_keeper)
{
    int ends[2], order[2];
    if (geteuid() != 0)
        cr_skip_test("needs the right to make a PID namespace");
    open_pipe(ends);
    cr_assert_eq(pipe2(order, O_CLOEXEC), 0);
    pid_t shim = start_shim(ends, order[0]);
    (void)close(ends[1]);
    await_both(ends[0]);
    if (kill_keeper)
        cr_assert_eq(write(order[1], "k", 1), 1);
    else
        cr_assert_eq(kill(shim, SIGKILL), 0);
    cr_expect(breaks(ends[0], 10000));
    (void)kill(shim, SIGKILL);
    (void)waitpid(shim, NULL, 0);
}

Test(keeper, its_death_is_the_death_of_the_namespace) { stage(true); }
Test(keeper, dies_with_the_one_that_started_it) { stage(false); }

Test(keeper, keeps_neither_descriptors_nor_the_spec)
{
    int ends[2];
    struct err err = { 0 };
    struct keeper keeper;
    open_pipe(ends);
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    void *secret = mmap(NULL, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!keeper_start(view_of(secret, page), &keeper, &err))
        cr_skip_test("%s", err.msg);
    (void)close(ends[1]);
    cr_expect(breaks(ends[0], 5000)); /* the keeper closed its copy */
    keeper_kill(&keeper);
    int status = 0;
    cr_assert_eq(waitpid(keeper.pid, &status, 0), keeper.pid);
    cr_expect(WIFSIGNALED(status)); /* it lived: the unmapping worked */
}
