#include "common/shimwire/spec.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <sys/mman.h>

#include "common/base/own.h"

static const char *const agent_argv[] = { "/bin/sh", "-c", "exit 7", NULL };
static const char *const agent_envp[] = { "A=1", "B=two words", NULL };
static const char *const side_argv[] = { "/usr/bin/agent-sidecar", "attach", NULL };
static const char *const no_envp[] = { NULL };
static const uint32_t groups[] = { 4, 20 };
static const char *const enters[] = { "/cg/memory/a/cgroup.procs", "/cg/cpu/a/cgroup.procs", NULL };

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
    spec.memory_dir = "/cg/memory/a";
    spec.cores = "0,2-3";
    spec.agent_enters = enters;
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
    cr_expect_str_eq(got.memory_dir, "/cg/memory/a");
    cr_expect_str_eq(got.cores, "0,2-3");
    cr_expect_str_eq(got.agent_enters[1], enters[1]);
    cr_expect_null(got.agent_enters[2]);
    cr_expect_null(got.sidecar_enters[0]);
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
    for (int row = 0; row < 12; row++) {
        struct shim_spec spec = sample();
        const char *names[] = { "no command", "not absolute", "cwd",           "socket_path",
                                "cgroup_dir", "stop_signal",  "oom_score_adj", "uid",
                                "groups",     "lock_fd",      "memory_dir",    "agent_enters" };
        spec.agent.argv = row == 0 ? no_envp : row == 1 ? relative : spec.agent.argv;
        spec.cwd = row == 2 ? "tmp" : spec.cwd;
        spec.socket_path = row == 3 ? path : spec.socket_path;
        spec.cgroup_dir = row == 4 ? "x" : spec.cgroup_dir;
        spec.stop_signal = row == 5 ? 65 : spec.stop_signal;
        spec.oom_score_adj = row == 6 ? 1001 : spec.oom_score_adj;
        spec.uid = row == 7 ? UINT32_MAX : spec.uid;
        spec.group_count = row == 8 ? SHIM_SPEC_GROUPS_MAX + 1 : spec.group_count;
        spec.lock_fd = row == 9 ? -2 : spec.lock_fd;
        spec.memory_dir = row == 10 ? "x" : spec.memory_dir;
        spec.agent_enters = row == 11 ? relative : spec.agent_enters;
        struct err err = { 0 };
        cr_expect_not(there_and_back(&spec, &err), "row %d", row);
        cr_expect_eq(err.kind, ERR_INVALID, "row %d", row);
        cr_expect_not_null(strstr(err.msg, names[row]), "row %d: %s", row, err.msg);
    }
}

/* The numbers in the order of the wire, each with what lies just outside its limits. */
#define NUMBER(member, ...)                                          \
    {                                                                \
#member, offsetof(struct shim_spec, member), { __VA_ARGS__ } \
    }
#define MINUS(value) ((uint32_t) - (value))
static const struct {
    const char *name;
    size_t offset;
    uint32_t wrong[2]; /* 0 in the second place: none */
} numbers[] = {
    NUMBER(flags, SHIM_STANDALONE + 1, UINT32_MAX),
    NUMBER(uid, UINT32_MAX),
    NUMBER(gid, UINT32_MAX),
    NUMBER(lock_fd, MINUS(2), 1U << 31),
    NUMBER(control_fd, MINUS(2), 1U << 31),
    NUMBER(stdin_fd, MINUS(2), 1U << 31),
    NUMBER(stdout_fd, MINUS(2), 1U << 31),
    NUMBER(stderr_fd, MINUS(2), 1U << 31),
    NUMBER(config_fd, MINUS(2), 1U << 31),
    NUMBER(stop_signal, 65, MINUS(1)),
    NUMBER(stop_timeout_ms, 0), /* any is fine */
    NUMBER(reserve_ms, 0),
    NUMBER(oom_score_adj, 1001, MINUS(1001)),
    NUMBER(log_dir_fd, MINUS(2), 1U << 31),
    NUMBER(log_max_files, 10001, UINT32_MAX),
    NUMBER(log_max_mb, 1000001, UINT32_MAX),
};

Test(spec, every_number_is_refused_by_name_outside_its_limits)
{
    const size_t first_at = 8 + 2 + SHIM_NONCE_BYTES;
    struct shim_spec good = sample(), got;
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    static struct shim_spec_store store;
    struct err err = { 0 };
    cr_assert(shim_spec_encode(&good, &bytes, &err));
    for (size_t i = 0; i < COUNT(numbers); i++)
        for (size_t w = 0; w < 2 && numbers[i].wrong[w] != 0; w++) {
            struct shim_spec bad = sample();
            CLEANUP(buf_fini) struct buf torn = { 0 };
            memcpy((char *)&bad + numbers[i].offset, &numbers[i].wrong[w], 4);
            cr_expect_not(there_and_back(&bad, &err), "%s", numbers[i].name);
            cr_expect(err.kind == ERR_INVALID && strstr(err.msg, numbers[i].name) != NULL, "%s: %s",
                      numbers[i].name, err.msg);
            buf_put(&torn, buf_view(&bytes));
            memcpy(torn.data + first_at + 4 * i, &numbers[i].wrong[w], 4);
            cr_expect_not(shim_spec_decode(buf_view(&torn), &store, &got, &err));
            cr_expect(err.kind == ERR_CORRUPT && strstr(err.msg, numbers[i].name) != NULL, "%s: %s",
                      numbers[i].name, err.msg);
        }
}

#define TEXT(member, max, is_path)                                \
    {                                                             \
#member, offsetof(struct shim_spec, member), max, is_path \
    }
static const struct {
    const char *name;
    size_t offset, max;
    bool is_path;
} texts[] = {
    TEXT(task_id, 1024, false),    TEXT(task_name, 1024, false), TEXT(cwd, 4095, true),
    TEXT(record_path, 4095, true), TEXT(socket_path, 107, true), TEXT(api_path, 107, true),
    TEXT(cgroup_dir, 1023, true),
};

Test(spec, every_text_is_refused_by_name_when_too_long_or_not_absolute)
{
    for (size_t i = 0; i < COUNT(texts); i++) {
        CLEANUP(str_freep) char *text = mem_array(texts[i].max + 2, 1);
        struct err err = { 0 };
        memset(text, '/', texts[i].max);
        struct shim_spec spec = sample();
        memcpy((char *)&spec + texts[i].offset, &text, sizeof text);
        cr_expect(there_and_back(&spec, &err), "%s: %s", texts[i].name, err.msg);
        text[texts[i].max] = '/';
        cr_expect_not(there_and_back(&spec, &err), "%s", texts[i].name);
        cr_expect_not_null(strstr(err.msg, texts[i].name), "%s", err.msg);
        (void)snprintf(text, texts[i].max, "relative");
        cr_expect_eq(there_and_back(&spec, &err), !texts[i].is_path, "%s", texts[i].name);
        cr_expect(!texts[i].is_path || strstr(err.msg, texts[i].name) != NULL, "%s", err.msg);
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
