#include "common/shimwire/launch.h"

#include <criterion/criterion.h>

#include "common/base/own.h"

static struct launch sample(void)
{
    struct launch l = { .alloc_id = "6b1d6f3c",
                        .task_name = "planner",
                        .task_id = "6b1d6f3c/planner/0011aabb",
                        .cgroup_dir = "/sys/fs/cgroup/a",
                        .boot_id = "c0ffee00-0000-4000-8000-000000000001",
                        .at = { 1000000007 } };
    for (uint8_t i = 0; i < SHIM_NONCE_BYTES; i++)
        l.nonce[i] = i;
    return l;
}

Test(launch, comes_back_as_it_was_written)
{
    struct err err = { 0 };
    struct launch before = sample(), after;
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    cr_assert(launch_encode(&before, &bytes, &err), "%s", err.msg);
    cr_assert(launch_decode(buf_view(&bytes), &after, &err), "%s", err.msg);
    cr_expect_str_eq(after.alloc_id, before.alloc_id);
    cr_expect_str_eq(after.task_name, before.task_name);
    cr_expect_str_eq(after.task_id, before.task_id);
    cr_expect_str_eq(after.cgroup_dir, before.cgroup_dir);
    cr_expect_str_eq(after.boot_id, before.boot_id);
    cr_expect_eq(after.at.ns, before.at.ns);
    cr_expect_eq(memcmp(after.nonce, before.nonce, SHIM_NONCE_BYTES), 0);
}

Test(launch, every_truncation_and_every_flipped_byte_is_corrupt)
{
    struct err err = { 0 };
    struct launch before = sample(), after;
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    cr_assert(launch_encode(&before, &bytes, &err));
    for (size_t len = 0; len < bytes.len; len++) {
        cr_assert_not(launch_decode(view_of(bytes.data, len), &after, &err));
        cr_assert_eq(err.kind, ERR_CORRUPT);
    }
    for (size_t at = 0; at < bytes.len; at++) {
        bytes.data[at] ^= 0x20;
        cr_assert_not(launch_decode(buf_view(&bytes), &after, &err), "byte %zu", at);
        bytes.data[at] ^= 0x20;
    }
}

Test(launch, a_text_that_does_not_fit_is_refused)
{
    struct err err = { 0 };
    struct launch l = sample();
    memset(l.boot_id, 'x', sizeof(l.boot_id));
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    cr_assert_not(launch_encode(&l, &bytes, &err));
    cr_assert_eq(err.kind, ERR_INVALID);
}
