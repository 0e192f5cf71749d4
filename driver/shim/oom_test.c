#include "driver/shim/oom.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "common/base/file.h"
#include "common/base/own.h"

static char dir[] = "/tmp/oom-XXXXXX";
static struct shim_oom oom;
static uint64_t kills;

static void put(const char *name, const char *text)
{
    struct err err = { 0 };
    CLEANUP(str_freep) char *path = str_format("%s/%s", dir, name);
    /* In place: the descriptor that is open stays the file's. */
    CLEANUP(fd_closep)
    struct fd out = { open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600) };
    cr_assert(fd_is_open(out) && fd_write_all(out.raw, text, strlen(text), &err), "%s", err.msg);
}

static void setup(void) { cr_assert_not_null(mkdtemp(dir)); }
static void teardown(void)
{
    struct err err = { 0 };
    shim_oom_close(&oom);
    cr_assert(dir_remove_tree(dir, &err), "%s", err.msg);
}

TestSuite(oom, .init = setup, .fini = teardown);

static struct boot at_ms(int64_t ms) { return (struct boot){ ms * 1000000 }; }

Test(oom, without_a_cgroup_nothing_was_killed)
{
    shim_oom_open(&oom, "");
    cr_expect_not(shim_oom_is_recent(&oom, at_ms(1)));
    cr_expect_not(shim_oom_look(&oom, at_ms(1), &kills));
    cr_expect_eq(shim_oom_wait_ms(&oom, at_ms(1)), -1);
    cr_expect_eq(shim_oom_poll(&oom).fd, -1);
    shim_oom_open(&oom, "/nowhere");
    cr_expect_not(shim_oom_is_recent(&oom, at_ms(1)));
}

Test(oom, kills_of_an_earlier_run_do_not_count)
{
    put("memory.events", "low 0\nhigh 0\nmax 9\noom 3\noom_kill 3\noom_group_kill 0\n");
    shim_oom_open(&oom, dir);
    cr_expect_not(shim_oom_is_recent(&oom, at_ms(1)));
    put("memory.events", "low 0\nhigh 0\nmax 9\noom 4\noom_kill 4\noom_group_kill 0\n");
    cr_expect(shim_oom_is_recent(&oom, at_ms(1)));
}

Test(oom, a_kill_is_recent_until_the_main_process_has_outlived_it)
{
    put("memory.events", "oom 0\noom_kill 0\n");
    shim_oom_open(&oom, dir);
    put("memory.events", "oom 1\noom_kill 2\n");
    cr_expect_not(shim_oom_look(&oom, at_ms(1000), &kills));
    cr_expect_eq(shim_oom_wait_ms(&oom, at_ms(1000)), SHIM_OOM_LOOK_MS);
    cr_expect(shim_oom_is_recent(&oom, at_ms(1000 + SHIM_OOM_RECENT_MS - 1)));
    cr_expect_not(shim_oom_look(&oom, at_ms(1000 + SHIM_OOM_RECENT_MS - 1), &kills));
    cr_assert(shim_oom_look(&oom, at_ms(1000 + SHIM_OOM_RECENT_MS), &kills));
    cr_expect_eq(kills, 2);
    cr_expect_not(shim_oom_is_recent(&oom, at_ms(1000 + SHIM_OOM_RECENT_MS)));
    cr_expect_eq(shim_oom_wait_ms(&oom, at_ms(1000 + SHIM_OOM_RECENT_MS)), -1);
    cr_expect_not(shim_oom_look(&oom, at_ms(9000), &kills), "told once");
    put("memory.events", "oom 2\noom_kill 3\n");
    cr_expect(shim_oom_is_recent(&oom, at_ms(9001)));
}

Test(oom, version_1_counts_in_oom_control)
{
    put("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 7\n");
    shim_oom_open(&oom, dir);
    put("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 8\n");
    cr_expect(shim_oom_is_recent(&oom, at_ms(1)));
}

Test(oom, a_real_v1_cgroup_tells)
{
    CLEANUP(str_freep)
    char *real = str_format("/sys/fs/cgroup/memory/oom-test-%d", (int)getpid());
    CLEANUP(str_freep) char *limit = str_format("%s/memory.limit_in_bytes", real);
    CLEANUP(str_freep) char *procs = str_format("%s/cgroup.procs", real);
    if (geteuid() != 0 || mkdir(real, 0755) < 0)
        cr_skip_test("no v1 memory controller that we may use");
    FILE *out = fopen(limit, "we");
    cr_assert(out && fputs("8388608", out) >= 0 && fclose(out) == 0);
    shim_oom_open(&oom, real);
    cr_assert(fd_is_open(oom.told), "no eventfd");
    const pid_t child = fork();
    if (child == 0) {
        const int fd = open(procs, O_WRONLY | O_CLOEXEC);
        if (fd < 0 || write(fd, "0", 1) != 1)
            _exit(99);
        for (size_t i = 0; i < 64 << 20; i += 4096) {
            char *page = malloc(4096);
            *(volatile char *)page = 1;
        }
        _exit(0);
    }
    struct pollfd wait = shim_oom_poll(&oom);
    cr_assert_eq(poll(&wait, 1, 10000), 1, "not told");
    cr_expect(wait.revents & POLLIN);
    int status = 0;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    cr_expect(shim_oom_is_recent(&oom, boot_now()));
    cr_expect_eq(oom.kills, 1);
    shim_oom_close(&oom);
    cr_expect_eq(rmdir(real), 0);
}
