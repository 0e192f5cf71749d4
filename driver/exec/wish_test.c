#include "driver/exec/wish.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/own.h"
#include "common/shimwire/exec_spec.h"

static struct shim_spec_store store;
static struct buf bytes;
static struct exec_spec got;

static struct inside inside_of(void)
{
    struct inside inside = { .is_known = true,
                             .uid = 7,
                             .gid = 8,
                             .cwd = str_copy("/t/web"),
                             .agent_name = str_copy("a"),
                             .state_path = str_copy("/t/web/local"),
                             .task_dir = str_copy("/t/web"),
                             .env_count = 2 };
    static const char env[] = "MARK=canary\0PATH=/usr/bin:relative::/bin";
    buf_put(&inside.env, view_of(env, sizeof(env)));
    return inside;
}

/* Seals and reads again. */
static void seal(const struct inside *inside, const char *command, enum exec_mode mode,
                 char **cgroup)
{
    struct err err = { 0 };
    const char *const argv[] = { command, "-x", NULL };
    const struct exec_target target = { .inside = inside,
                                        .agent_pid = 71,
                                        .agent_start_ticks = 5,
                                        .epoch = 3,
                                        .boot_id = "boot",
                                        .api_path = "/r/a.api",
                                        .cgroup_dir = "/sys/fs/cgroup/a" };
    CLEANUP(fd_closep) struct fd spec = FD_NONE;
    cr_assert(exec_wish_seal(&(struct exec_wish){ argv, mode }, &target, &spec, cgroup, &err), "%s",
              err.msg);
    buf_fini(&bytes);
    const off_t len = lseek(spec.raw, 0, SEEK_END);
    bytes.len = (size_t)pread(spec.raw, buf_reserve(&bytes, (size_t)len), (size_t)len, 0);
    cr_assert(exec_spec_decode(buf_view(&bytes), &store, &got, &err), "%s", err.msg);
}

static void tear_down(void) { buf_fini(&bytes); }
TestSuite(wish, .fini = tear_down);

Test(wish, says_where_and_as_whom)
{
    struct inside inside = inside_of();
    CLEANUP(str_freep) char *cgroup = NULL;
    CLEANUP(str_freep) char *other = NULL;
    seal(&inside, "/bin/x", EXEC_PIPES, &cgroup);
    cr_expect(got.agent_pid == 71 && got.agent_start_ticks == 5 && got.uid == 7 && got.gid == 8);
    cr_expect_str_eq(got.cwd, "/t/web");
    cr_expect_str_eq(got.cgroup_dir, "/sys/fs/cgroup/a");
    cr_expect_eq(strncmp(cgroup, "/sys/fs/cgroup/a/exec-", 22), 0, "%s", cgroup);
    cr_expect_str_eq(strrchr(cgroup, '/') + 1, got.cgroup_name);
    cr_expect_str_eq(got.arguments[0], "-x");
    cr_expect_null(got.arguments[1]);
    cr_expect_eq(got.flags, 0);
    static const char *const env[] = {
        "MARK=canary",        "PATH=/usr/bin:relative::/bin", "AGENT_NAME=a",
        "AGENT_API=/r/a.api", "AGENT_STATE_DIR=/t/web/local", "AGENT_EPOCH=3"
    };
    for (size_t i = 0; i < COUNT(env); i++)
        cr_expect_str_eq(got.envp[i], env[i]);
    cr_expect_null(got.envp[COUNT(env)]);
    seal(&inside, "/bin/x", EXEC_TTY, &other);
    cr_assert_str_neq(cgroup, other, "a fresh name each time");
    cr_expect_eq(got.flags, EXEC_TERMINAL);
    cr_expect_str_eq(got.envp[COUNT(env)], "TERM=xterm");
    inside_fini(&inside);
}

static void expect_programs(const char *command, const char *const *wanted)
{
    struct inside inside = inside_of();
    CLEANUP(str_freep) char *cgroup = NULL;
    seal(&inside, command, EXEC_ONE_PIPE, &cgroup);
    size_t i = 0;
    for (; wanted[i] != NULL; i++)
        cr_expect_str_eq(got.programs[i], wanted[i]);
    cr_expect_null(got.programs[i]);
    inside_fini(&inside);
}

Test(wish, looks_for_a_command_as_a_task_does)
{
    expect_programs("/bin/x", (const char *const[]){ "/bin/x", NULL });
    expect_programs(
        "x", (const char *const[]){ "/t/web/local/x", "/t/web/x", "/usr/bin/x", "/bin/x", NULL });
    expect_programs("d/x", (const char *const[]){ "/t/web/local/d/x", "/t/web/d/x", NULL });
}

Test(wish, that_is_too_long_is_refused)
{
    struct err err = { 0 };
    struct inside inside = inside_of();
    char *large = mem_array(1, SHIM_SPEC_BYTES_MAX + 1);
    memset(large, 'x', SHIM_SPEC_BYTES_MAX);
    const char *const argv[] = { "/bin/x", large, NULL };
    const struct exec_target target = {
        .inside = &inside, .agent_pid = 71, .boot_id = "boot", .api_path = "", .cgroup_dir = ""
    };
    CLEANUP(fd_closep) struct fd spec = FD_NONE;
    CLEANUP(str_freep) char *cgroup = NULL;
    cr_expect_not(
        exec_wish_seal(&(struct exec_wish){ argv, EXEC_PIPES }, &target, &spec, &cgroup, &err));
    cr_expect_eq(err.kind, ERR_INVALID);
    free(large);
    inside_fini(&inside);
}
