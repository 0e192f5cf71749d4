#include "driver/shim/tree.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cgroup/place_test.h"
#include "common/shimwire/msg.h"

static const struct shim_spared nobody;

static void reap(void)
{
    while (waitpid(-1, NULL, WNOHANG) > 0)
        continue;
}

static pid_t sleeper(void)
{
    pid_t pid = fork();
    if (pid == 0)
        for (;;)
            (void)pause();
    return pid;
}

Test(tree, without_namespace_and_cgroup_the_subreaper_still_gets_everybody)
{
    struct err err = { 0 };
    struct shim_tree tree;
    const struct keeper none = KEEPER_NONE;
    cr_assert_eq(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
    cr_assert(shim_tree_open(&tree, &none, "", &err));
    cr_expect_eq(shim_tree_containment(&tree), SHIM_CONTAINED_PDEATH);
    cr_expect(shim_tree_is_empty(&tree, nobody));
    int ends[2];
    char byte;
    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    const struct shim_spared spared = { sleeper(), sleeper() };
    if (fork() == 0) { /* three generations, each in a session of its own */
        for (int i = 0; i < 2; i++)
            if (fork() != 0)
                break;
        (void)setsid();
        if (write(ends[1], "x", 1) != 1)
            _exit(3);
        for (;;)
            (void)pause();
    }
    for (int i = 0; i < 3; i++)
        cr_assert_eq(read(ends[0], &byte, 1), 1);
    cr_expect_not(shim_tree_is_empty(&tree, spared));
    for (int i = 0; i < 500 && !shim_tree_is_empty(&tree, spared); i++) {
        shim_tree_kill(&tree, spared);
        (void)poll(NULL, 0, 10); /* the shim waits for SIGCHLD here */
        reap();
    }
    cr_expect(shim_tree_is_empty(&tree, spared));
    cr_expect_eq(kill(spared.sidecar, 0), 0);
    cr_expect_eq(kill(spared.scribe, 0), 0);
    cr_expect_not(shim_tree_is_frozen(&tree));
    shim_tree_close(&tree);
    (void)kill(spared.sidecar, SIGKILL);
    (void)kill(spared.scribe, SIGKILL);
    (void)waitpid(spared.sidecar, NULL, 0);
    (void)waitpid(spared.scribe, NULL, 0);
}

Test(tree, what_cannot_be_looked_at_is_not_empty)
{
    struct err err = { 0 };
    struct shim_tree tree;
    struct rlimit before, none;
    const struct keeper keeper = KEEPER_NONE;
    cr_assert(shim_tree_open(&tree, &keeper, "", &err));
    pid_t child = sleeper();
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){ 0, before.rlim_max };
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    bool is_empty = shim_tree_is_empty(&tree, nobody);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    cr_expect_not(is_empty);
    cr_expect_not(shim_tree_is_empty(&tree, nobody));
    (void)kill(child, SIGKILL);
    (void)waitpid(child, NULL, 0);
    cr_expect(shim_tree_is_empty(&tree, nobody));
}

Test(tree, a_cgroup_is_made_frozen_killed_and_removed)
{
    struct err err = { 0 };
    struct shim_tree tree;
    const struct keeper none = KEEPER_NONE;
    char own[CGROUP_PATH_MAX], path[CGROUP_PATH_MAX + 40];
    if (!cgroup_own(own, &err))
        cr_skip_test("%s", err.msg);
    (void)snprintf(path, sizeof(path), "%s/shim-tree-%d", own, getpid());
    if (!shim_tree_open(&tree, &none, path, &err))
        cr_skip_test("%s", err.msg);
    cr_expect_eq(shim_tree_containment(&tree), SHIM_CONTAINED_PDEATH | SHIM_CONTAINED_CGROUP);
    pid_t pid = sleeper();
    cr_assert(place(&tree.cgroup, pid));
    shim_tree_freeze(&tree, true);
    for (int i = 0; i < 100 && !shim_tree_is_frozen(&tree); i++) {
        struct pollfd wait = { .fd = tree.cgroup.events.raw, .events = POLLPRI };
        (void)poll(&wait, 1, 100);
    }
    cr_expect(shim_tree_is_frozen(&tree));
    cr_expect_not(shim_tree_is_empty(&tree, nobody));
    shim_tree_kill(&tree, nobody);
    cr_assert_eq(waitpid(pid, NULL, 0), pid);
    for (int i = 0; i < 100 && !shim_tree_is_empty(&tree, nobody); i++)
        (void)poll(NULL, 0, 10);
    cr_expect(shim_tree_is_empty(&tree, nobody));
    shim_tree_close(&tree);
    cr_expect_eq(access(path, F_OK), -1);
}

/* One that has not run yet still has the log pipes and the lock: the end may not be told before. */
Test(tree, a_closed_tree_has_no_keeper)
{
    struct err err = { 0 };
    struct shim_tree tree;
    struct keeper keeper;
    int ends[2];
    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    if (!keeper_start(view_of(NULL, 0), &keeper, &err))
        cr_skip_test("%s", err.msg);
    cr_assert(shim_tree_open(&tree, &keeper, "", &err));
    cr_assert_eq(close(ends[1]), 0);
    shim_tree_close(&tree);
    struct pollfd inherited = { .fd = ends[0], .events = POLLIN };
    cr_expect_eq(poll(&inherited, 1, 0), 1);
    cr_expect_eq(waitpid(keeper.pid, NULL, WNOHANG), -1); /* reaped */
    cr_expect_eq(errno, ECHILD);
}

Test(tree, a_cgroup_that_cannot_be_had_is_an_error)
{
    struct err err = { 0 };
    struct shim_tree tree;
    const struct keeper none = KEEPER_NONE;
    cr_expect_not(shim_tree_open(&tree, &none, "/tmp/no-cgroup", &err));
    cr_expect_eq(err.kind, ERR_INVALID);
}
