#include "driver/limits/dirs.h"

#include <signal.h>
#include <sys/wait.h>

#include "common/cgroup/cgroup.h"
#include "driver/limits/root_test.h"

static struct fake fake;
static struct err err;

static void setup(void) { fake_init(&fake); }
static void teardown(void) { fake_fini(&fake); }

TestSuite(dirs, .init = setup, .fini = teardown);

Test(dirs, nomads_parent_is_read_from_the_cpuset)
{
    static const struct {
        const char *cpuset, *parent;
        bool is_reserved;
    } rows[] = {
        { "/sys/fs/cgroup/cpuset/nomad/share", "nomad", false },
        { "/sys/fs/cgroup/cpuset/nomad/shared", "nomad", false },
        { "/sys/fs/cgroup/cpuset/nomad/reserve/1a.web", "nomad", true },
        { "/sys/fs/cgroup/cpuset/nomad/reserved/1a-web", "nomad", true },
        { "/sys/fs/cgroup/cpuset/a/b/reserve/1a.share", "a/b", true },
        { "/sys/fs/cgroup/cpuset/share", "", false },
        { "/sys/fs/cgroup/cpuset/other", "", false },
        { "/sys/fs/cgroup/nomad.slice/share.slice/1a.web.scope", "", false },
        { NULL, "", false },
    };
    struct cgroup_layout layout = { .v1 = { [CGROUP_CPUSET] = "/sys/fs/cgroup/cpuset" } };
    for (size_t i = 0; i < COUNT(rows); i++) {
        CLEANUP(str_freep) char *got = limits_nomad_parent(&layout, rows[i].cpuset);
        cr_expect_str_eq(got, rows[i].parent, "row %zu: %s", i, got);
        cr_expect_eq(limits_is_reserved(rows[i].cpuset), rows[i].is_reserved, "row %zu", i);
    }
}

Test(dirs, the_sidecars_cgroup_is_beside_the_agents)
{
    static const char *const rows[][2] = { { "/s/1a.web.scope/agent", "/s/1a.web.scope/sidecar" },
                                           { "/p/agent-77", "/p/sidecar-77" },
                                           { "/p/other", "" },
                                           { "", "" } };
    for (size_t i = 0; i < COUNT(rows); i++) {
        CLEANUP(str_freep) char *got = limits_sidecar_v2(rows[i][0]);
        cr_expect_str_eq(got, rows[i][1]);
    }
}

static void expect_dir(enum limits_who who, const char *path, bool is_ours)
{
    char full[512];
    CLEANUP(str_freep) char *got = NULL;
    fake_path(&fake, path, full);
    cr_expect_eq(limits_v1_dir(&fake.site.place, who, CGROUP_MEMORY, &got), is_ours);
    cr_expect_str_eq(got, full);
}

Test(dirs, nomads_own_comes_before_ours)
{
    fake_v1(&fake, CGROUP_MEMORY);
    expect_dir(LIMITS_AGENT, "memory/nomad-driver-agent/agent-0123456789abcdef", true);
    fake.site.place.nomad = "nomad";
    expect_dir(LIMITS_AGENT, "memory/nomad-driver-agent/agent-0123456789abcdef", true);
    fake_dir(&fake, "memory/nomad/1a2b.web");
    expect_dir(LIMITS_AGENT, "memory/nomad/1a2b.web", false);
    expect_dir(LIMITS_SIDECAR, "memory/nomad-driver-agent/sidecar-0123456789abcdef", true);
}

Test(dirs, what_is_ours_is_removed_and_nothing_else)
{
    static const char *const ours[] = { "memory/nomad-driver-agent", "v2/sidecar",
                                        "pids/nomad-driver-agent" };
    static const char *const others[] = { "memory/nomad/1a2b.web", "v2/agent",
                                          "cpu/nomad-driver-agent/agent-fedcba9876543210" };
    fake_v1(&fake, CGROUP_MEMORY);
    fake_v1(&fake, CGROUP_PIDS);
    fake_v1(&fake, CGROUP_CPU);
    fake_dir(&fake, "memory/nomad-driver-agent/sidecar-0123456789abcdef");
    fake_dir(&fake, "pids/nomad-driver-agent/agent-0123456789abcdef");
    fake_dir(&fake, "v2/sidecar");
    for (size_t i = 0; i < COUNT(others); i++)
        fake_dir(&fake, others[i]);
    fake_path(&fake, "v2/agent", fake.agent_v2);
    for (int round = 0; round < 2; round++) {
        cr_assert(limits_dirs_remove(&fake.site.place, &err), "%s", err.msg);
        for (size_t i = 0; i < COUNT(ours); i++)
            cr_expect_not(fake_has(&fake, ours[i]), "%s", ours[i]);
        for (size_t i = 0; i < COUNT(others); i++)
            cr_expect(fake_has(&fake, others[i]), "%s", others[i]);
    }
}

Test(dirs, a_cgroup_that_cannot_be_removed_is_named_and_may_be_tried_again)
{
    fake_v1(&fake, CGROUP_MEMORY);
    fake_dir(&fake, "memory/nomad-driver-agent/agent-0123456789abcdef/inside");
    fake_file(&fake, "memory/nomad-driver-agent/agent-0123456789abcdef/inside/held", "");
    cr_assert_not(limits_dirs_remove(&fake.site.place, &err));
    cr_expect_eq(err.kind, ERR_UNAVAILABLE);
    cr_expect(strstr(err.msg, "agent-0123456789abcdef"), "%s", err.msg);
}

Test(dirs, who_is_left_in_one_is_killed)
{
    char text[16];
    const pid_t pid = fork();
    if (pid == 0)
        for (;;)
            pause();
    fake_v1(&fake, CGROUP_MEMORY);
    fake_dir(&fake, "memory/nomad-driver-agent/sidecar-0123456789abcdef");
    (void)snprintf(text, sizeof(text), "%d\n", (int)pid);
    fake_file(&fake, "memory/nomad-driver-agent/sidecar-0123456789abcdef/cgroup.procs", text);
    cr_assert_not(limits_dirs_empty(&fake.site.place, 0, &err), "a plain file never gets empty");
    cr_expect_eq(err.kind, ERR_UNAVAILABLE);
    int status = 0;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

Test(dirs, what_a_task_made_below_its_own_goes_with_it)
{
    fake_v1(&fake, CGROUP_MEMORY);
    fake_v1(&fake, CGROUP_PIDS);
    fake_dir(&fake, "memory/nomad-driver-agent/agent-0123456789abcdef/a/b");
    fake_dir(&fake, "pids/nomad-driver-agent/agent-0123456789abcdef/.hidden");
    fake_dir(&fake, "v2/sidecar/below");
    fake_path(&fake, "v2/agent", fake.agent_v2);
    cr_assert(limits_dirs_empty(&fake.site.place, 1000, &err), "%s", err.msg);
    cr_expect_not(fake_has(&fake, "memory/nomad-driver-agent/agent-0123456789abcdef/a"));
    cr_expect(fake_has(&fake, "memory/nomad-driver-agent/agent-0123456789abcdef"));
    fake_dir(&fake, "memory/nomad-driver-agent/agent-0123456789abcdef/late");
    cr_assert(limits_dirs_remove(&fake.site.place, &err), "%s", err.msg);
    cr_expect_not(fake_has(&fake, "memory/nomad-driver-agent"));
    cr_expect_not(fake_has(&fake, "pids/nomad-driver-agent"));
    cr_expect_not(fake_has(&fake, "v2/sidecar"));
}

Test(dirs, one_that_cannot_be_read_is_not_empty)
{
    fake_v1(&fake, CGROUP_MEMORY);
    fake_dir(&fake, "memory/nomad-driver-agent/agent-0123456789abcdef/cgroup.procs");
    cr_assert_not(limits_dirs_empty(&fake.site.place, 1000, &err));
    cr_expect_eq(err.kind, ERR_SYSTEM);
    cr_expect(strstr(err.msg, "agent-0123456789abcdef"), "%s", err.msg);
}

Test(dirs, a_directory_is_known_as_the_tasks_own)
{
    static const struct {
        const char *dir;
        bool agents, sidecars;
    } rows[] = {
        { "/m/nomad/1a2b.web", true, false },
        { "/m/nomad-driver-agent/agent-0123456789abcdef", true, false },
        { "/m/nomad-driver-agent/sidecar-0123456789abcdef", false, true },
        { "/m/nomad/1a2b.web/below", false, false },
        { "/m", false, false },
        { "", false, false },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        cr_expect_eq(limits_is_own(&fake.site.place, LIMITS_AGENT, rows[i].dir), rows[i].agents);
        cr_expect_eq(limits_is_own(&fake.site.place, LIMITS_SIDECAR, rows[i].dir),
                     rows[i].sidecars);
    }
}
