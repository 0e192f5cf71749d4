#include "common/shimwire/spec.h"

#include <criterion/criterion.h>
#include <sys/mman.h>

#include "common/base/own.h"

static const char *const agent_argv[] = { "/bin/sh", "-c", "exit 7", NULL };
static const char *const agent_envp[] = { "A=1", "B=two words", NULL };
static const char *const side_argv[] = { "/usr/bin/agent-sidecar", "attach", NULL };
static const char *const no_envp[] = { NULL };
static const uint32_t groups[] = { 4, 20 };

static struct shim_spec sample(void)
{
    struct shim_spec spec;
    shim_spec_init(&spec);
    spec.flags = SHIM_STANDALONE;
    spec.task_id = "id";
    spec.task_name = "planner";
    spec.agent = (struct shim_program){ agent_argv, agent_envp };
    spec.sidecar = (struct shim_program){ side_argv, no_envp };
    spec.cwd = "/tmp";
    spec.uid = 1000;
    spec.gid = 1001;
    spec.groups = groups;
    spec.group_count = 2;
    spec.lock_fd = 4;
    spec.stderr_fd = 2;
    spec.record_path = "/var/lib/x/exit";
    spec.socket_path = "/run/x.sock";
    spec.cgroup_dir = "/sys/fs/cgroup/x";
    spec.isolation = view_of("\1\2", 2);
    spec.stop_signal = 2;
    spec.reserve_ms = 1000;
    spec.oom_score_adj = -500;
    return spec;
}

static bool there_and_back(const struct shim_spec *spec, struct err *err)
{
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    static struct shim_spec_store store;
    struct shim_spec got;
    return shim_spec_encode(spec, &bytes, err) &&
           shim_spec_decode(buf_view(&bytes), &store, &got, err);
}

Test(spec, comes_back_as_it_was_written)
{
    struct err err = { 0 };
    struct shim_spec spec = sample(), got;
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    CLEANUP(buf_fini) struct buf again = { 0 };
    static struct shim_spec_store store;
    cr_assert(shim_spec_encode(&spec, &bytes, &err), "%s", err.msg);
    cr_assert(shim_spec_decode(buf_view(&bytes), &store, &got, &err), "%s", err.msg);
    cr_assert(shim_spec_encode(&got, &again, &err), "%s", err.msg);
    cr_assert(view_is_equal(buf_view(&bytes), buf_view(&again)));
    cr_expect_str_eq(got.agent.argv[2], "exit 7");
    cr_expect_null(got.agent.argv[3]);
    cr_expect_str_eq(got.agent.envp[1], "B=two words");
    cr_expect_str_eq(got.sidecar.argv[1], "attach");
    cr_expect_eq(got.groups[1], 20);
    cr_expect_eq(got.control_fd, -1);
    cr_expect_eq(got.oom_score_adj, -500);
    cr_expect_str_eq(got.cgroup_dir, "/sys/fs/cgroup/x");
}

Test(spec, has_the_golden_front)
{
    struct err err = { 0 };
    struct shim_spec spec = sample();
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    cr_assert(shim_spec_encode(&spec, &bytes, &err));
    const uint8_t front[] = { 'A', 'G', 'N', 'T', 'S', 'P', 'E', 'C', 2, 0 };
    cr_expect_arr_eq(bytes.data, front, sizeof(front));
    const uint8_t numbers[] = { 1, 0, 0, 0, 0xe8, 3,    0,    0,    0xe9, 3,   0,
                                0, 4, 0, 0, 0,    0xff, 0xff, 0xff, 0xff, 0xff };
    cr_expect_arr_eq(bytes.data + sizeof(front) + SHIM_NONCE_BYTES, numbers, sizeof(numbers));
}

Test(spec, without_a_sidecar_its_program_is_null)
{
    struct err err = { 0 };
    struct shim_spec spec = sample(), got;
    spec.sidecar = (struct shim_program){ NULL, NULL };
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    static struct shim_spec_store store;
    cr_assert(shim_spec_encode(&spec, &bytes, &err));
    cr_assert(shim_spec_decode(buf_view(&bytes), &store, &got, &err));
    cr_assert_null(got.sidecar.argv);
}

Test(spec, every_truncation_is_corrupt)
{
    struct err err = { 0 };
    struct shim_spec spec = sample(), got;
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    static struct shim_spec_store store;
    cr_assert(shim_spec_encode(&spec, &bytes, &err));
    for (size_t len = 0; len < bytes.len; len++) {
        cr_assert_not(shim_spec_decode(view_of(bytes.data, len), &store, &got, &err));
        cr_assert_eq(err.kind, ERR_CORRUPT);
    }
    buf_put_u8(&bytes, 0);
    cr_assert_not(shim_spec_decode(buf_view(&bytes), &store, &got, &err));
}

Test(spec, what_cannot_work_is_refused_by_its_name)
{
    static const char *const relative[] = { "sh", NULL };
    char path[200];
    memset(path, 'x', sizeof(path) - 1);
    path[0] = '/';
    path[sizeof(path) - 1] = '\0';
    for (int row = 0; row < 10; row++) {
        struct shim_spec spec = sample();
        const char *names[] = { "no command",  "not absolute",  "cwd", "socket_path", "cgroup_dir",
                                "stop_signal", "oom_score_adj", "uid", "groups",      "lock_fd" };
        spec.agent.argv = row == 0 ? no_envp : row == 1 ? relative : spec.agent.argv;
        spec.cwd = row == 2 ? "tmp" : spec.cwd;
        spec.socket_path = row == 3 ? path : spec.socket_path;
        spec.cgroup_dir = row == 4 ? "x" : spec.cgroup_dir;
        spec.stop_signal = row == 5 ? 65 : spec.stop_signal;
        spec.oom_score_adj = row == 6 ? 1001 : spec.oom_score_adj;
        spec.uid = row == 7 ? UINT32_MAX : spec.uid;
        spec.group_count = row == 8 ? SHIM_SPEC_GROUPS_MAX + 1 : spec.group_count;
        spec.lock_fd = row == 9 ? -2 : spec.lock_fd;
        struct err err = { 0 };
        cr_expect_not(there_and_back(&spec, &err), "row %d", row);
        cr_expect_eq(err.kind, ERR_INVALID, "row %d", row);
        cr_expect_not_null(strstr(err.msg, names[row]), "row %d: %s", row, err.msg);
    }
}

Test(spec, too_many_or_too_long_arguments_are_refused)
{
    static const char *many[SHIM_SPEC_SLOTS + 1];
    for (size_t i = 0; i < SHIM_SPEC_SLOTS; i++)
        many[i] = "/x";
    struct shim_spec spec = sample();
    spec.agent.argv = many;
    struct err err = { 0 };
    cr_expect_not(there_and_back(&spec, &err));
    cr_expect_eq(err.kind, ERR_INVALID);
    CLEANUP(str_freep) char *huge = mem_array(SHIM_SPEC_BYTES_MAX + 1, 1);
    memset(huge, '/', SHIM_SPEC_BYTES_MAX);
    const char *const one[] = { huge, NULL };
    spec.agent.argv = one;
    err = (struct err){ 0 };
    cr_expect_not(there_and_back(&spec, &err));
    cr_expect_eq(err.kind, ERR_INVALID);
}

Test(spec, a_list_that_claims_more_than_fits_is_corrupt)
{
    struct err err = { 0 };
    struct shim_spec spec = sample(), got;
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    static struct shim_spec_store store;
    cr_assert(shim_spec_encode(&spec, &bytes, &err));
    memset(bytes.data + bytes.len - 4, 0xff, 4); /* count of the sidecar's environment */
    cr_assert_not(shim_spec_decode(buf_view(&bytes), &store, &got, &err));
    cr_assert_eq(err.kind, ERR_CORRUPT);
}

Test(spec, own_logs_need_a_name_limits_and_no_other_collector)
{
    const char *names[] = { "task_name", "task_name", "stdout_fd", "log_max_files", "log_max_mb" };
    for (int row = 0; row < 6; row++) {
        struct shim_spec spec = sample();
        spec.stderr_fd = -1;
        spec.log_dir_fd = 9;
        spec.task_name = row == 0 ? "../x" : row == 1 ? "" : "web";
        spec.stdout_fd = row == 2 ? 3 : -1;
        spec.log_max_files = row == 3 ? 0 : 10;
        spec.log_max_mb = row == 4 ? 1000001 : 10;
        struct err err = { 0 };
        cr_expect_eq(there_and_back(&spec, &err), row == 5, "row %d: %s", row, err.msg);
        cr_expect(row == 5 || strstr(err.msg, names[row]), "row %d: %s", row, err.msg);
    }
}

Test(spec, sealed_it_cannot_change_any_more)
{
    struct err err = { 0 };
    struct shim_spec spec = sample();
    CLEANUP(fd_closep) struct fd file = FD_NONE;
    cr_assert(shim_spec_seal(&spec, &file, &err), "%s", err.msg);
    cr_assert(fd_is_sealed(file.raw));
    spec.cwd = "";
    CLEANUP(fd_closep) struct fd none = FD_NONE;
    cr_assert_not(shim_spec_seal(&spec, &none, &err));
    cr_assert_eq(err.kind, ERR_INVALID);
}
