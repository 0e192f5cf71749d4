#include "driver/shim/fds.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

/* Runs `body` in a child whose descriptors it may wreck. */
static int in_child(int (*body)(void))
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(body());
    int status = -1;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

static int marked(char mark)
{
    int fd = memfd_create("marked", MFD_CLOEXEC);
    return write(fd, &mark, 1) == 1 ? fd : -1;
}

static char mark_of(struct fd fd)
{
    char mark = '-';
    return pread(fd.raw, &mark, 1, 0) == 1 ? mark : '-';
}

/* The spec's numbers may be any, also those that the shim itself uses; and strangers may have come
 * along under those. */
static int take_and_look(void)
{
    struct err err = { 0 };
    struct shim_fds fds;
    struct shim_spec spec;
    shim_spec_init(&spec);
    if (dup2(marked('l'), SHIM_FD_STDERR) < 0 || dup2(marked('o'), SHIM_FD_LOCK) < 0 ||
        dup2(marked('e'), 2) < 0 || dup2(marked('c'), 300) < 0 ||
        dup2(marked('x'), SHIM_FD_KEEPER) < 0 || dup2(marked('x'), SHIM_FD_LIFELINE) < 0 ||
        dup2(marked('x'), SHIM_FD_LOG_ERR) < 0)
        return 10;
    spec.lock_fd = SHIM_FD_STDERR;
    spec.stdout_fd = SHIM_FD_LOCK;
    spec.stderr_fd = 2;
    spec.config_fd = 300;
    if (!shim_fds_take(&spec, &fds, &err))
        return 11;
    if (mark_of(fds.lock) != 'l' || mark_of(fds.out) != 'o' || mark_of(fds.err) != 'e' ||
        mark_of(fds.config) != 'c')
        return 12;
    if (fd_is_open(fds.control) || fd_is_open(fds.in))
        return 13;
    int open_count = 0;
    for (int fd = 0; fd < 1000; fd++) {
        int flags = fcntl(fd, F_GETFD);
        open_count += flags >= 0;
        if (flags >= 0 && (flags & FD_CLOEXEC) == 0)
            return 14;
    }
    return open_count == 3 + 4 ? 0 : 15; /* /dev/null thrice, and the four */
}

Test(fds, what_is_listed_gets_its_number_and_the_rest_is_closed)
{
    cr_assert_eq(in_child(take_and_look), 0);
}

static int take_missing(void)
{
    struct err err = { 0 };
    struct shim_fds fds;
    struct shim_spec spec;
    shim_spec_init(&spec);
    spec.stdin_fd = 999;
    if (shim_fds_take(&spec, &fds, &err))
        return 1;
    return strstr(err.msg, "stdin_fd 999") != NULL ? 0 : 2;
}

Test(fds, a_number_that_is_not_open_is_named) { cr_assert_eq(in_child(take_missing), 0); }
