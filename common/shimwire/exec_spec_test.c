#include "common/shimwire/exec_spec.h"

#include <criterion/criterion.h>

#include "common/base/own.h"
#include "common/base/text.h"
#include "common/shimwire/spec.h"

static const char *const programs[] = { "/t/local/sh", "/t/sh", "/bin/sh", NULL };
static const char *const arguments[] = { "-c", "exit 3", NULL };
static const char *const envp[] = { "A=1", "B=two words", NULL };
static const uint32_t groups[] = { 4, 20 };

static struct exec_spec sample(void)
{
    return (struct exec_spec){ .flags = EXEC_TERMINAL,
                               .agent_pid = 4711,
                               .agent_start_ticks = 123456,
                               .boot_id = "c0ffee00-0000-4000-8000-000000000001",
                               .uid = 1000,
                               .gid = 1001,
                               .groups = groups,
                               .group_count = 2,
                               .cwd = "/t",
                               .cgroup_dir = "/sys/fs/cgroup/a",
                               .cgroup_name = "exec-1",
                               .isolation = view_of("\1\2", 2),
                               .programs = programs,
                               .arguments = arguments,
                               .envp = envp };
}

Test(exec_spec, comes_back_as_it_was_written)
{
    struct err err = { 0 };
    struct exec_spec spec = sample(), got;
    static struct shim_spec_store store;
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    CLEANUP(buf_fini) struct buf again = { 0 };
    cr_assert(exec_spec_encode(&spec, &bytes, &err), "%s", err.msg);
    cr_assert(exec_spec_decode(buf_view(&bytes), &store, &got, &err), "%s", err.msg);
    cr_assert(exec_spec_encode(&got, &again, &err), "%s", err.msg);
    cr_assert(view_is_equal(buf_view(&bytes), buf_view(&again)));
    cr_expect_eq(got.agent_pid, 4711);
    cr_expect_eq(got.agent_start_ticks, 123456);
    cr_expect_str_eq(got.boot_id, spec.boot_id);
    cr_expect_str_eq(got.cwd, "/t");
    cr_expect_str_eq(got.cgroup_name, "exec-1");
    cr_expect_eq(got.groups[1], 20);
    cr_expect_str_eq(got.programs[2], "/bin/sh");
    cr_expect_null(got.programs[3]);
    cr_expect_str_eq(got.arguments[1], "exit 3");
    cr_expect_str_eq(got.envp[1], "B=two words");
}

/* proto/shim.md, section 6. */
Test(exec_spec, has_the_golden_bytes)
{
    static const char *const one[] = { "/x", NULL };
    struct err err = { 0 };
    struct exec_spec spec = { .agent_pid = 10,
                              .agent_start_ticks = 11,
                              .boot_id = "b",
                              .uid = 12,
                              .gid = 13,
                              .cwd = "/",
                              .cgroup_dir = "",
                              .cgroup_name = "e",
                              .programs = one };
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    cr_assert(exec_spec_encode(&spec, &bytes, &err), "%s", err.msg);
    char hex[512];
    cr_assert_lt(2 * bytes.len, sizeof(hex));
    hex_encode(buf_view(&bytes), hex);
    cr_expect_str_eq(hex, "41474e54455845430100000000000a0000000b000000000000000c0000000d000000"
                          "01000000620001000000"
                          "2f00000000000001000000650000000000"
                          "000000000100000002000000"
                          "2f78000000000000000000");
}

Test(exec_spec, every_truncation_and_a_trailing_byte_is_corrupt)
{
    struct err err = { 0 };
    struct exec_spec spec = sample(), got;
    static struct shim_spec_store store;
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    cr_assert(exec_spec_encode(&spec, &bytes, &err));
    for (size_t len = 0; len < bytes.len; len++) {
        cr_assert_not(exec_spec_decode(view_of(bytes.data, len), &store, &got, &err), "%zu", len);
        cr_assert_eq(err.kind, ERR_CORRUPT);
    }
    buf_put_u8(&bytes, 0);
    cr_assert_not(exec_spec_decode(buf_view(&bytes), &store, &got, &err));
}

static void refused(struct exec_spec spec)
{
    struct err err = { 0 };
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    cr_assert_not(exec_spec_encode(&spec, &bytes, &err));
    cr_assert_eq(err.kind, ERR_INVALID, "%s", err.msg);
}

Test(exec_spec, refuses_what_cannot_be_carried_out)
{
    static const char *const none[] = { NULL }, *const relative[] = { "sh", NULL };
    struct exec_spec spec = sample();
    spec.programs = none;
    refused(spec);
    spec.programs = relative;
    refused(spec);
    spec = sample();
    spec.cwd = "t";
    refused(spec);
    spec = sample();
    spec.cgroup_dir = "a";
    refused(spec);
    spec = sample();
    spec.cgroup_name = "../a";
    refused(spec);
    spec.cgroup_name = "..";
    refused(spec);
    spec.cgroup_name = "";
    refused(spec);
    spec = sample();
    spec.agent_pid = 0;
    refused(spec);
    spec = sample();
    spec.flags = 2;
    refused(spec);
    spec = sample();
    spec.uid = UINT32_MAX;
    refused(spec);
    spec = sample();
    spec.group_count = SHIM_SPEC_GROUPS_MAX + 1;
    refused(spec);
}

Test(exec_spec, refuses_more_bytes_or_entries_than_fit)
{
    struct exec_spec spec = sample();
    char **many = mem_array(SHIM_SPEC_SLOTS + 1, sizeof(char *));
    char entry[] = "x=";
    for (size_t i = 0; i < SHIM_SPEC_SLOTS; i++)
        many[i] = entry;
    spec.envp = (const char *const *)many;
    refused(spec);
    char *large = mem_array(1, SHIM_SPEC_BYTES_MAX + 1);
    memset(large, 'x', SHIM_SPEC_BYTES_MAX);
    many[0] = large;
    many[1] = NULL;
    refused(spec);
    free(large);
    free(many);
}

Test(exec_spec, is_sealed_and_told_apart_from_a_shims)
{
    struct err err = { 0 };
    struct exec_spec spec = sample();
    CLEANUP(fd_closep) struct fd sealed = FD_NONE;
    cr_assert(exec_spec_seal(&spec, &sealed, &err), "%s", err.msg);
    cr_assert(fd_is_sealed(sealed.raw));
    cr_assert(exec_spec_is_in(sealed.raw));
    CLEANUP(fd_closep) struct fd other = FD_NONE;
    cr_assert(fd_sealed("other", "AGNTSPEC", 8, &other, &err));
    cr_assert_not(exec_spec_is_in(other.raw));
    CLEANUP(fd_closep) struct fd empty = FD_NONE;
    cr_assert(fd_sealed("empty", "", 0, &empty, &err));
    cr_assert_not(exec_spec_is_in(empty.raw));
}
