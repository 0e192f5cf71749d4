#include "common/shimwire/launch.h"

#include <criterion/criterion.h>

#include "common/base/own.h"
#include "common/base/text.h"
#include "common/shimwire/pen.h"

/* As version 1 wrote it. */
static struct launch older(void)
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

static struct launch sample(void)
{
    struct launch l = older();
    l.inside = (struct launch_inside){ .is_known = true,
                                       .uid = 1000,
                                       .gid = 1001,
                                       .groups = { 4, 20 },
                                       .group_count = 2,
                                       .cwd = "/a/planner",
                                       .agent_name = "default/job",
                                       .state_path = "/a/planner/local",
                                       .isolation = { 1, 2, 3 },
                                       .isolation_len = 3 };
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
    cr_expect(after.inside.is_known);
    cr_expect_eq(after.inside.uid, 1000);
    cr_expect_eq(after.inside.gid, 1001);
    cr_expect_eq(after.inside.group_count, 2);
    cr_expect_eq(after.inside.groups[1], 20);
    cr_expect_str_eq(after.inside.cwd, before.inside.cwd);
    cr_expect_str_eq(after.inside.agent_name, before.inside.agent_name);
    cr_expect_str_eq(after.inside.state_path, before.inside.state_path);
    cr_expect_eq(after.inside.isolation_len, 3);
    cr_expect_eq(memcmp(after.inside.isolation, before.inside.isolation, 3), 0);
}

/* proto/shim.md, section 3: the ends of both, which differ in nothing else. */
Test(launch, has_the_golden_bytes)
{
    struct err err = { 0 };
    struct launch old = older(), new = sample();
    CLEANUP(buf_fini) struct buf first = { 0 };
    CLEANUP(buf_fini) struct buf second = { 0 };
    cr_assert(launch_encode(&old, &first, &err), "%s", err.msg);
    cr_assert(launch_encode(&new, &second, &err), "%s", err.msg);
    char hex[512];
    hex_encode(view_of(first.data, 12), hex);
    cr_expect_str_eq(hex, "41474e544c4e434801000001");
    hex_encode(view_of(second.data, 12), hex);
    cr_expect_str_eq(hex, "41474e544c4e434802000001");
    cr_expect_eq(memcmp(first.data + 10, second.data + 10, first.len - 18), 0);
    size_t at = first.len - 8; /* before its checksum */
    hex_encode(view_of(second.data + at, second.len - at), hex);
    cr_expect_str_eq(hex, "e8030000e90300000200000004000000140000000a0000002f612f706c616e6e6572"
                          "0b00000064656661756c742f6a6f62100000002f612f706c616e6e65722f6c6f63616c"
                          "0300000001020369c7cc8d0ed77fbd");
}

Test(launch, of_an_older_driver_is_read_and_says_so)
{
    struct err err = { 0 };
    struct launch old = older(), after;
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    CLEANUP(buf_fini) struct buf again = { 0 };
    cr_assert(launch_encode(&old, &bytes, &err), "%s", err.msg);
    cr_assert(launch_decode(buf_view(&bytes), &after, &err), "%s", err.msg);
    cr_expect_str_eq(after.cgroup_dir, old.cgroup_dir);
    cr_expect_not(after.inside.is_known);
    cr_assert(launch_encode(&after, &again, &err));
    cr_expect(view_is_equal(buf_view(&bytes), buf_view(&again)));
}

/* `at` is written over and the checksum made right. */
static bool decodes_with(struct buf *bytes, size_t at, uint8_t value, struct err *err)
{
    struct launch after;
    bytes->data[at] = value;
    uint64_t sum = fnv_add(FNV_START, view_of(bytes->data, bytes->len - 8));
    for (size_t i = 0; i < 8; i++)
        bytes->data[bytes->len - 8 + i] = (uint8_t)(sum >> (8 * i));
    return launch_decode(buf_view(bytes), &after, err);
}

Test(launch, of_a_future_driver_is_refused_by_its_version)
{
    struct err err = { 0 };
    struct launch l = sample();
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    cr_assert(launch_encode(&l, &bytes, &err));
    cr_assert_not(decodes_with(&bytes, 8, 3, &err));
    cr_expect_eq(err.kind, ERR_CORRUPT);
    cr_expect_not_null(strstr(err.msg, "version 3"));
    cr_assert(decodes_with(&bytes, 8, 2, &err), "%s", err.msg);
}

Test(launch, more_groups_or_a_longer_plan_than_fit_are_refused)
{
    struct err err = { 0 };
    struct launch l = sample();
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    l.inside.group_count = SHIM_SPEC_GROUPS_MAX + 1;
    cr_assert_not(launch_encode(&l, &bytes, &err));
    cr_assert_eq(err.kind, ERR_INVALID);
    l = sample();
    l.inside.isolation_len = SHIM_SPEC_PLAN_MAX + 1;
    cr_assert_not(launch_encode(&l, &bytes, &err));
    cr_assert_eq(err.kind, ERR_INVALID);
}

Test(launch, the_longest_fits)
{
    struct err err = { 0 };
    struct launch l = sample(), after;
    memset(l.alloc_id, 'a', LAUNCH_ID_MAX);
    memset(l.task_name, 'a', LAUNCH_ID_MAX);
    memset(l.task_id, 'a', LAUNCH_ID_MAX);
    memset(l.cgroup_dir, 'a', LAUNCH_PATH_MAX);
    memset(l.inside.cwd, 'a', LAUNCH_DIR_MAX);
    memset(l.inside.agent_name, 'a', LAUNCH_ID_MAX);
    memset(l.inside.state_path, 'a', LAUNCH_DIR_MAX);
    l.inside.group_count = SHIM_SPEC_GROUPS_MAX;
    l.inside.isolation_len = SHIM_SPEC_PLAN_MAX;
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    cr_assert(launch_encode(&l, &bytes, &err), "%s", err.msg);
    cr_assert(launch_decode(buf_view(&bytes), &after, &err), "%s", err.msg);
    cr_expect_str_eq(after.inside.state_path, l.inside.state_path);
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
