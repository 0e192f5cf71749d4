#include "common/cgroup/cgroup.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "common/base/own.h"
#include "common/cgroup/place_test.h"

/* Needs a cgroup v2 hierarchy that we may write to; else each test is skipped, and says so. */
static void fresh(struct cgroup *out)
{
    struct err err = { 0 };
    char mount[CGROUP_PATH_MAX], path[CGROUP_PATH_MAX + 64];
    if (!cgroup_mount(mount, &err))
        cr_skip_test("%s", err.msg);
    (void)snprintf(path, sizeof(path), "%s/agent-test-%d", mount, getpid());
    if (!cgroup_open(path, true, out, &err) && err.kind == ERR_DENIED)
        cr_skip_test("%s", err.msg);
    cr_assert(cgroup_is_open(out), "%s", err.msg);
}

static void drop(struct cgroup *cg)
{
    struct err err = { 0 };
    cr_expect(cgroup_kill_wait(cg, 5000, &err), "%s", err.msg);
    while (waitpid(-1, NULL, WNOHANG) > 0)
        continue;
    cr_expect(cgroup_remove(cg->path, &err), "%s", err.msg);
    cgroup_fini(cg);
}

static pid_t sleeper_in(const struct cgroup *cg)
{
    pid_t pid = fork();
    if (pid == 0)
        for (;;)
            (void)pause();
    cr_assert(place(cg, pid));
    return pid;
}

static void await(const struct cgroup *cg, bool want_frozen, bool want_populated)
{
    struct err err = { 0 };
    struct cgroup_events now = { 0 };
    for (int i = 0; i < 50; i++) {
        cr_assert(cgroup_events(cg, &now, &err), "%s", err.msg);
        if (now.frozen == want_frozen && now.populated == want_populated)
            return;
        struct pollfd wait = { .fd = cg->events.raw, .events = POLLPRI };
        (void)poll(&wait, 1, 100);
    }
    cr_assert_fail("populated %d frozen %d", now.populated, now.frozen);
}

Test(cgroup, freezes_thaws_and_kills_a_frozen_tree)
{
    struct err err = { 0 };
    struct cgroup cg;
    fresh(&cg);
    cr_assert(cg.made);
    pid_t pid = sleeper_in(&cg);
    await(&cg, false, true);
    cr_assert(cgroup_freeze(&cg, true, &err));
    await(&cg, true, true);
    cr_assert(cgroup_freeze(&cg, false, &err));
    await(&cg, false, true);
    cr_assert(cgroup_freeze(&cg, true, &err));
    cr_assert(cgroup_kill(&cg, &err));
    int status = 0;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    drop(&cg);
}

static bool count(void *arg, pid_t pid)
{
    cr_expect_gt(pid, 0);
    ++*(int *)arg;
    return true;
}

Test(cgroup, lists_who_is_in_it)
{
    struct err err = { 0 };
    struct cgroup cg;
    fresh(&cg);
    for (int i = 0; i < 100; i++)
        (void)sleeper_in(&cg); /* more than one read of cgroup.procs */
    int pids = 0;
    cr_assert(cgroup_each_pid(&cg, count, &pids, &err));
    cr_assert_eq(pids, 100);
    cr_assert_eq(cgroup_oom_kills(&cg), 0);
    drop(&cg);
}

Test(cgroup, removing_while_populated_is_a_conflict_absent_is_fine)
{
    struct err err = { 0 };
    struct cgroup cg;
    fresh(&cg);
    (void)sleeper_in(&cg);
    cr_assert_not(cgroup_remove(cg.path, &err));
    cr_assert_eq(err.kind, ERR_CONFLICT);
    char path[CGROUP_PATH_MAX];
    memcpy(path, cg.path, sizeof(path));
    drop(&cg);
    cr_assert(cgroup_remove(path, &err));
    cr_assert_not(cgroup_open(path, false, &cg, &err));
    cr_assert_eq(err.kind, ERR_NOT_FOUND);
}

Test(cgroup, what_was_made_below_is_killed_and_removed_too)
{
    struct err err = { 0 };
    struct cgroup cg, below;
    fresh(&cg);
    char path[CGROUP_PATH_MAX + 8];
    (void)snprintf(path, sizeof(path), "%s/a/b", cg.path);
    cr_assert(cgroup_open(path, true, &below, &err), "%s", err.msg);
    (void)sleeper_in(&below);
    await(&cg, false, true);
    cr_assert(cgroup_kill_wait(&cg, 5000, &err), "%s", err.msg);
    await(&below, false, false);
    cgroup_fini(&below);
    drop(&cg);
}

Test(cgroup, reads_after_it_was_removed_say_so)
{
    struct err err = { 0 };
    struct cgroup cg;
    struct cgroup_events now = { true, true };
    fresh(&cg);
    cr_assert(cgroup_remove(cg.path, &err));
    cr_assert(cgroup_events(&cg, &now, &err));
    cr_assert_not(now.populated);
    cr_assert(cgroup_kill(&cg, &err), "%s", err.msg);
    cr_assert_eq(cgroup_oom_kills(&cg), 0);
    cgroup_fini(&cg);
}

Test(cgroup, a_path_elsewhere_is_refused_and_nothing_is_made)
{
    struct err err = { 0 };
    struct cgroup cg;
    static const char *const paths[] = { "/tmp/agent-no-cgroup", "/tmp", "relative", "/", "/tmp/" };
    for (size_t i = 0; i < COUNT(paths); i++) {
        err = (struct err){ 0 };
        cr_expect_not(cgroup_open(paths[i], true, &cg, &err));
        cr_expect_eq(err.kind, ERR_INVALID, "%s: %s", paths[i], err.msg);
    }
    cr_assert_eq(access("/tmp/agent-no-cgroup", F_OK), -1);
    cr_assert_not(cgroup_remove("/tmp", &err));
}

Test(cgroup, without_permission_it_is_denied)
{
    struct err err = { 0 };
    struct cgroup cg;
    fresh(&cg);
    if (geteuid() != 0)
        cr_skip_test("needs root to become somebody else");
    pid_t pid = fork();
    if (pid == 0) {
        struct err why = { 0 };
        bool refused = setuid(65534) == 0 && !cgroup_freeze(&cg, true, &why) &&
                       why.kind == ERR_DENIED && !cgroup_kill(&cg, &why) && why.kind == ERR_DENIED;
        _exit(refused ? 0 : 1);
    }
    int status = -1;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert_eq(status, 0);
    cr_assert(cgroup_remove(cg.path, &err));
    cgroup_fini(&cg);
}
