#include "driver/limits/apply.h"

#include <signal.h>
#include <sys/wait.h>

#include "driver/limits/root_test.h"

#define MIB 1048576

static struct fake fake;
static struct err err;
static struct limits_applied applied;
static struct limits_want want;

static void setup(void)
{
    fake_init(&fake);
    want = (struct limits_want){ .cores = "", .swappiness = -1 };
}

static void teardown(void)
{
    limits_applied_fini(&applied);
    fake_fini(&fake);
}

TestSuite(apply, .init = setup, .fini = teardown);

/* Nomad's scope with the agent's cgroup in it, as a kernel shows it once controllers are on. */
static void make_scope(const char *controllers)
{
    static const char *const files[] = { "memory.max", "memory.low", "memory.swap.max",
                                         "cpu.weight", "cpu.max",    "cpuset.cpus",
                                         "pids.max",   "io.weight" };
    static const char *const dirs[] = { "scope", "scope/agent", "scope/sidecar" };
    char path[512];
    fake_dir(&fake, "scope/agent");
    fake_dir(&fake, "scope/sidecar");
    fake_file(&fake, "scope/cgroup.controllers", controllers);
    fake_file(&fake, "scope/cgroup.subtree_control", controllers);
    for (size_t d = 0; d < COUNT(dirs); d++)
        for (size_t i = 0; i < COUNT(files); i++) {
            (void)snprintf(path, sizeof(path), "%s/%s", dirs[d], files[i]);
            fake_file(&fake, path, "");
        }
    fake_path(&fake, "scope/agent", fake.agent_v2);
}

static void expect(const char *path, const char *text)
{
    const char *got = fake_text(&fake, path);
    cr_expect_str_eq(got, text, "%s: \"%s\"", path, got);
}

Test(apply, in_nomads_scope_weights_go_to_the_scope_and_limits_to_the_agent)
{
    make_scope("cpuset cpu io memory pids\n");
    want.has_memory = true;
    want.memory_hard = 128 * MIB;
    want.memory_soft = 64 * MIB;
    want.cpu_shares = 1024;
    want.cpu_quota_us = 50000;
    want.cores = "0-1";
    want.pids = 20;
    want.io_weight = 300;
    want.sidecar = 32 * MIB;
    cr_assert(limits_apply(&fake.site, &want, &applied, &err), "%s", err.msg);
    expect("scope/agent/memory.max", "134217728");
    expect("scope/agent/memory.low", "67108864");
    expect("scope/agent/memory.swap.max", "0");
    expect("scope/agent/cpu.max", "50000 100000");
    expect("scope/agent/pids.max", "20");
    expect("scope/agent/cpu.weight", "");
    expect("scope/memory.max", "");
    expect("scope/memory.low", "67108864");
    expect("scope/cpu.weight", "39");
    expect("scope/cpuset.cpus", "0-1");
    expect("scope/io.weight", "300");
    expect("scope/sidecar/memory.max", "33554432");
    cr_expect_null(applied.missing);
    cr_expect_null(applied.agent[0], "born in its v2 cgroup");
    cr_assert_not_null(applied.sidecar[0]);
    cr_expect(strstr(applied.sidecar[0], "/scope/sidecar/cgroup.procs"));
    cr_expect_str_eq(applied.memory_dir, fake.agent_v2);
}

Test(apply, below_a_parent_of_ours_all_goes_to_the_agent)
{
    static const char *const files[] = { "memory.max", "memory.swap.max", "cpu.weight" };
    char path[512];
    fake_dir(&fake, "parent/agent-1");
    fake_file(&fake, "parent/cgroup.controllers", "cpu memory\n");
    fake_file(&fake, "parent/cgroup.subtree_control", "cpu memory\n");
    fake_path(&fake, "parent/agent-1", fake.agent_v2);
    for (size_t i = 0; i < COUNT(files); i++) {
        (void)snprintf(path, sizeof(path), "parent/agent-1/%s", files[i]);
        fake_file(&fake, path, "");
    }
    want.has_memory = true;
    want.memory_hard = 64 * MIB;
    want.cpu_shares = 100;
    cr_assert(limits_apply(&fake.site, &want, &applied, &err), "%s", err.msg);
    expect("parent/agent-1/memory.max", "67108864");
    expect("parent/agent-1/cpu.weight", "4");
    cr_expect(fake_has(&fake, "parent/sidecar-1"));
}

Test(apply, controllers_are_enabled_in_the_parent)
{
    fake_dir(&fake, "parent/agent-1");
    fake_file(&fake, "parent/cgroup.controllers", "memory\n");
    fake_file(&fake, "parent/cgroup.subtree_control", "");
    fake_file(&fake, "parent/agent-1/memory.max", "");
    fake_path(&fake, "parent/agent-1", fake.agent_v2);
    want.has_memory = true;
    want.memory_hard = 64 * MIB;
    cr_assert(limits_apply(&fake.site, &want, &applied, &err), "%s", err.msg);
    /* A plain file keeps "+memory", which no kernel would show: read back, it is not enabled. */
    expect("parent/cgroup.subtree_control", "+memory");
    cr_expect_str_eq(applied.missing, "memory");
}

Test(apply, v1_cgroups_are_made_written_and_removed)
{
    fake_v1(&fake, CGROUP_MEMORY);
    fake_v1(&fake, CGROUP_CPU);
    fake.site.place.nomad = "nomad";
    fake_dir(&fake, "memory/nomad/1a2b.web");
    fake_dir(&fake, "cpu/nomad/1a2b.web");
    fake_file(&fake, "memory/nomad/1a2b.web/memory.limit_in_bytes", "");
    fake_file(&fake, "cpu/nomad/1a2b.web/cpu.shares", "");
    want.has_memory = true;
    want.memory_hard = 64 * MIB;
    want.cpu_shares = 100;
    want.sidecar = MIB;
    cr_assert(limits_apply(&fake.site, &want, &applied, &err), "%s", err.msg);
    expect("memory/nomad/1a2b.web/memory.limit_in_bytes", "67108864");
    expect("cpu/nomad/1a2b.web/cpu.shares", "100");
    cr_expect(strstr(applied.agent[0], "memory/nomad/1a2b.web/tasks"));
    cr_expect(strstr(applied.agent[1], "cpu/nomad/1a2b.web/tasks"));
    cr_expect(
        strstr(applied.sidecar[0], "memory/nomad-driver-agent/sidecar-0123456789abcdef/tasks"));
    cr_expect(strstr(applied.memory_dir, "memory/nomad/1a2b.web"));
    cr_expect(fake_has(&fake, "memory/nomad-driver-agent/sidecar-0123456789abcdef"));
    cr_assert(limits_dirs_remove(&fake.site.place, &err));
    cr_expect_not(fake_has(&fake, "memory/nomad-driver-agent/sidecar-0123456789abcdef"));
    cr_expect(fake_has(&fake, "memory/nomad/1a2b.web"));
}

Test(apply, a_file_that_is_not_there_is_not_to_be_had)
{
    fake_v1(&fake, CGROUP_MEMORY);
    fake_v1(&fake, CGROUP_PIDS);
    want.has_memory = true;
    want.memory_hard = 64 * MIB;
    cr_assert(limits_apply(&fake.site, &want, &applied, &err), "%s", err.msg);
    cr_expect_str_eq(applied.missing, "memory");
    limits_applied_fini(&applied);
    want.pids = 5;
    cr_assert_not(limits_apply(&fake.site, &want, &applied, &err));
    cr_expect_eq(err.kind, ERR_INVALID);
    cr_expect(strstr(err.msg, "pids_limit"), "%s", err.msg);
    cr_expect_not(fake_has(&fake, "memory/nomad-driver-agent"), "nothing of a failed start stays");
    cr_expect_not(fake_has(&fake, "pids/nomad-driver-agent"));
    want.pids = 0;
    want.is_strict = true;
    cr_assert_not(limits_apply(&fake.site, &want, &applied, &err));
    cr_expect(strstr(err.msg, "limit memory"), "%s", err.msg);
}

Test(apply, a_reserved_cpuset_is_written_and_entered_a_shared_one_entered)
{
    char cpuset[512];
    fake_v1(&fake, CGROUP_CPUSET);
    fake_dir(&fake, "cpuset/nomad/reserve/1a2b.web");
    fake_dir(&fake, "cpuset/nomad/share");
    fake_file(&fake, "cpuset/nomad/reserve/cpuset.mems", "0\n");
    fake_file(&fake, "cpuset/nomad/reserve/1a2b.web/cpuset.mems", "");
    fake_file(&fake, "cpuset/nomad/reserve/1a2b.web/cpuset.cpus", "");
    fake_path(&fake, "cpuset/nomad/reserve/1a2b.web", cpuset);
    fake.site.cpuset = cpuset;
    want.cores = "0-1";
    cr_assert(limits_apply(&fake.site, &want, &applied, &err), "%s", err.msg);
    expect("cpuset/nomad/reserve/1a2b.web/cpuset.cpus", "0-1");
    expect("cpuset/nomad/reserve/1a2b.web/cpuset.mems", "0\n");
    cr_expect(strstr(applied.agent[0], "reserve/1a2b.web/tasks"));
    cr_expect_null(applied.affinity);
    limits_applied_fini(&applied);
    fake_path(&fake, "cpuset/nomad/share", cpuset);
    want.cores = "";
    cr_assert(limits_apply(&fake.site, &want, &applied, &err), "%s", err.msg);
    cr_expect_null(applied.agent[0], "nobody can enter an empty cpuset");
    limits_applied_fini(&applied);
    fake_file(&fake, "cpuset/nomad/share/cpuset.cpus", "0-3\n");
    fake_file(&fake, "cpuset/nomad/share/cpuset.mems", "0\n");
    cr_assert(limits_apply(&fake.site, &want, &applied, &err), "%s", err.msg);
    cr_expect(strstr(applied.agent[0], "share/tasks"));
    expect("cpuset/nomad/share/cpuset.cpus", "0-3\n");
    limits_applied_fini(&applied);
    want.cores = "1";
    cr_assert(limits_apply(&fake.site, &want, &applied, &err), "%s", err.msg);
    cr_expect_str_eq(applied.affinity, "1", "the shared one is never written");
    expect("cpuset/nomad/share/cpuset.cpus", "0-3\n");
}

Test(apply, cpu_and_cpuacct_in_one_hierarchy_are_entered_once)
{
    fake_v1(&fake, CGROUP_CPU);
    memcpy(fake.layout.v1[CGROUP_CPUACCT], fake.layout.v1[CGROUP_CPU], CGROUP_PATH_MAX);
    want.cpu_shares = 100;
    cr_assert(limits_apply(&fake.site, &want, &applied, &err), "%s", err.msg);
    cr_expect_not_null(applied.agent[0]);
    cr_expect_null(applied.agent[1]);
}

/* From here on: this machine's kernel. */

static bool is_real(enum cgroup_controller controller)
{
    cgroup_layout_read("", &fake.layout);
    return geteuid() == 0 && fake.layout.v1[controller][0] != '\0' &&
           access(fake.layout.v1[controller], W_OK) == 0;
}

static const char *real_text(const char *enter, const char *file)
{
    static char text[128];
    char path[512];
    const size_t len = (size_t)(strrchr(enter, '/') - enter);
    (void)snprintf(path, sizeof(path), "%.*s/%s", (int)len, enter, file);
    FILE *in = fopen(path, "re");
    if (!in || !fgets(text, sizeof(text), in))
        return "absent";
    (void)fclose(in);
    text[strcspn(text, "\n")] = '\0';
    return text;
}

/* The file by which the agent enters this controller's cgroup. */
static const char *enter_of(enum cgroup_controller controller)
{
    const char *mount = fake.layout.v1[controller];
    for (size_t i = 0; applied.agent[i]; i++)
        if (strncmp(applied.agent[i], mount, strlen(mount)) == 0 &&
            applied.agent[i][strlen(mount)] == '/')
            return applied.agent[i];
    return "/nowhere/else";
}

/* Runs `body` in a child that has entered all that was listed. */
static int in_cgroups(void (*body)(void))
{
    int status = 0;
    const pid_t pid = fork();
    if (pid == 0) {
        for (size_t i = 0; applied.agent[i]; i++) {
            const int fd = open(applied.agent[i], O_WRONLY | O_CLOEXEC);
            if (fd < 0 || write(fd, "0", 1) != 1)
                _exit(99);
            (void)close(fd);
        }
        body();
        _exit(0);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    return status;
}

static void eat_memory(void)
{
    for (size_t i = 0; i < 64; i++) {
        char *block = malloc(MIB);
        for (size_t at = 0; block && at < MIB; at += 512)
            ((volatile char *)block)[at] = 1;
    }
}

static void fork_often(void)
{
    int born = 0;
    for (int i = 0; i < 20; i++) {
        const pid_t pid = fork();
        if (pid == 0) {
            pause();
            _exit(0);
        }
        born += pid > 0;
    }
    (void)signal(SIGTERM, SIG_IGN);
    (void)kill(0, SIGTERM);
    _exit(born);
}

static void fork_often_apart(void)
{
    (void)setpgid(0, 0);
    fork_often();
}

Test(apply, a_real_v1_memory_limit_kills_who_goes_beyond)
{
    if (!is_real(CGROUP_MEMORY))
        cr_skip_test("no v1 memory controller that we may use");
    fake.site.place.key = "limitstest000001";
    want.has_memory = true;
    want.memory_hard = 16 * MIB;
    want.sidecar = 24 * MIB;
    cr_assert(limits_apply(&fake.site, &want, &applied, &err), "%s", err.msg);
    cr_expect_null(applied.missing);
    cr_expect_str_eq(real_text(applied.agent[0], "memory.limit_in_bytes"), "16777216");
    cr_expect_str_eq(real_text(applied.agent[0], "memory.swappiness"), "0");
    cr_expect_str_eq(real_text(applied.sidecar[0], "memory.limit_in_bytes"), "25165824");
    const int status = in_cgroups(eat_memory);
    cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "status %x", (unsigned)status);
    cr_assert(limits_dirs_empty(&fake.site.place, 1000, &err), "%s", err.msg);
    cr_assert(limits_dirs_remove(&fake.site.place, &err), "%s", err.msg);
    cr_expect_str_eq(real_text(applied.agent[0], "memory.limit_in_bytes"), "absent");
}

Test(apply, real_v1_limits_of_cpu_pids_and_io)
{
#ifdef __SANITIZE_THREAD__
    cr_skip_test("the sanitizer gives every process a thread more, which counts");
#endif
    if (!is_real(CGROUP_CPU) || !is_real(CGROUP_PIDS) || !is_real(CGROUP_IO))
        cr_skip_test("no v1 controllers that we may use");
    fake.site.place.key = "limitstest000002";
    want.cpu_shares = 300;
    want.cpu_quota_us = 30000;
    want.pids = 8;
    want.io_weight = 500;
    cr_assert(limits_apply(&fake.site, &want, &applied, &err), "%s", err.msg);
    cr_expect_str_eq(real_text(enter_of(CGROUP_CPU), "cpu.shares"), "300");
    cr_expect_str_eq(real_text(enter_of(CGROUP_CPU), "cpu.cfs_quota_us"), "30000");
    cr_expect_str_eq(real_text(enter_of(CGROUP_PIDS), "pids.max"), "8");
    const bool has_bfq = strcmp(real_text(enter_of(CGROUP_IO), "blkio.weight"), "absent") == 0;
    cr_expect_str_eq(real_text(enter_of(CGROUP_IO), has_bfq ? "blkio.bfq.weight" : "blkio.weight"),
                     "50");
    const int status = in_cgroups(fork_often_apart);
    cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 7, "status %x", (unsigned)status);
    cr_assert(limits_dirs_empty(&fake.site.place, 1000, &err), "%s", err.msg);
    cr_assert(limits_dirs_remove(&fake.site.place, &err), "%s", err.msg);
}

Test(apply, a_value_that_the_kernel_refuses_is_an_error_and_leaves_nothing)
{
    if (!is_real(CGROUP_CPU))
        cr_skip_test("no v1 cpu controller that we may use");
    fake.site.place.key = "limitstest000003";
    want.cpu_quota_us = 1; /* below the kernel's own floor */
    cr_assert_not(limits_apply(&fake.site, &want, &applied, &err));
    cr_expect(strstr(err.msg, "cpu_hard_limit"), "%s", err.msg);
    CLEANUP(str_freep) char *dir = NULL;
    cr_assert(limits_v1_dir(&fake.site.place, LIMITS_AGENT, CGROUP_CPU, &dir));
    cr_expect_neq(access(dir, F_OK), 0);
}
