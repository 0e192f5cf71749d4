// rooms: common/base common/proc common/cgroup common/shimwire programs: agent-shim
#include <criterion/criterion.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cgroup/cgroup.h"
#include "common/proc/spawn.h"

static const char *const empty[] = { NULL };

/* A cgroup in which cgroup.kill was used once; skipped where there is none to be had. */
static void killed_cgroup(struct cgroup *cg)
{
    struct err err = { 0 };
    char mount[CGROUP_PATH_MAX], path[CGROUP_PATH_MAX + 64];
    if (!cgroup_mount(mount, &err))
        cr_skip_test("%s", err.msg);
    (void)snprintf(path, sizeof(path), "%s/agent-spawn-%d", mount, getpid());
    if (!cgroup_open(path, true, cg, &err))
        cr_skip_test("%s", err.msg);
    cr_assert(cgroup_kill(cg, &err), "%s", err.msg);
}

Test(proc_cgroup, a_child_that_walks_into_a_cgroup_is_there_when_it_executes)
{
    struct err err = { 0 };
    struct cgroup cg;
    killed_cgroup(&cg);
    const char *const argv[] = { "/bin/sleep", "60", NULL };
    struct proc_spec spec = {
        .argv = argv, .envp = empty, .cgroup_fd = cg.dir.raw, .enters_late = true
    };
    struct proc proc;
    cr_assert(proc_spawn(&spec, &proc, &err), "%s", err.msg);
    cr_assert(proc_wait_start(&proc, &err), "%s", err.msg);
    struct cgroup_events now;
    cr_assert(cgroup_events(&cg, &now, &err));
    cr_expect(now.populated);
    cr_assert(cgroup_kill_wait(&cg, 5000, &err), "%s", err.msg);
    cr_assert_eq(waitpid(proc.pid, NULL, 0), proc.pid);
    proc_fini(&proc);
    cr_assert(cgroup_remove(cg.path, &err));
    cgroup_fini(&cg);
}

Test(proc_cgroup, a_child_that_the_kernel_kills_at_birth_has_not_executed)
{
    struct err err = { 0 };
    struct cgroup cg;
    killed_cgroup(&cg);
    const char *const argv[] = { "/bin/true", NULL };
    struct proc_spec spec = { .argv = argv, .envp = empty, .cgroup_fd = cg.dir.raw };
    struct proc proc;
    cr_assert(proc_spawn(&spec, &proc, &err), "%s", err.msg);
    bool started = proc_wait_start(&proc, &err); /* other kernels let it live */
    if (!started)
        cr_expect_str_eq(err.msg, "be born: Operation canceled");
    else
        cr_assert_eq(waitpid(proc.pid, NULL, 0), proc.pid);
    proc_fini(&proc);
    cr_assert(cgroup_kill_wait(&cg, 5000, &err), "%s", err.msg);
    cr_assert(cgroup_remove(cg.path, &err));
    cgroup_fini(&cg);
}
