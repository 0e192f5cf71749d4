#include "driver/shim/panic.h"

#include <assert.h>
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/file.h"
#include "driver/shim/fds.h"

/* A directory that looks like a cgroup, and a process that looks like the keeper. */
static pid_t stage_scene(const char *dir)
{
    static const char *const names[] = { "cgroup.freeze", "cgroup.kill" };
    for (size_t i = 0; i < 2; i++) {
        char path[96];
        (void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        cr_assert_geq(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600), 0);
    }
    pid_t keeper = fork();
    if (keeper == 0)
        for (;;)
            (void)pause();
    int cgroup = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int pidfd = (int)syscall(SYS_pidfd_open, keeper, 0);
    cr_assert_eq(dup2(cgroup, SHIM_FD_CGROUP), SHIM_FD_CGROUP);
    cr_assert_eq(dup2(pidfd, SHIM_FD_KEEPER), SHIM_FD_KEEPER);
    return keeper;
}

static char first_byte(const char *dir, const char *name)
{
    char path[96], byte = '-';
    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = read(fd, &byte, 1);
    (void)close(fd);
    return got == 1 ? byte : '-';
}

Test(panic, a_failed_assertion_freezes_and_kills_first)
{
    struct err err = { 0 };
    char dir[] = "/tmp/shim-panic-XXXXXX";
    cr_assert_not_null(mkdtemp(dir));
    pid_t keeper = stage_scene(dir), shim = fork();
    if (shim == 0) {
        volatile int broken = 1;
        assert(broken == 2); /* resolves to the room's own */
        _exit(0);
    }
    int status = 0;
    cr_assert_eq(waitpid(shim, &status, 0), shim);
    cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    cr_expect_eq(first_byte(dir, "cgroup.freeze"), '1');
    cr_expect_eq(first_byte(dir, "cgroup.kill"), '1');
    cr_assert_eq(waitpid(keeper, &status, 0), keeper);
    cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    cr_assert(dir_remove_tree(dir, &err));
}

Test(panic, without_anything_to_kill_it_still_aborts)
{
    pid_t shim = fork();
    if (shim == 0)
        shim_panic();
    int status = 0;
    cr_assert_eq(waitpid(shim, &status, 0), shim);
    cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}
