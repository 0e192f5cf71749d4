#include "driver/isolation/plan.h"

#include <criterion/criterion.h>

#include "common/base/own.h"

static struct isolation_plan plan, got;

/* One of everything. */
static void fill(void)
{
    static const uint8_t filter[16] = { 6, 0, 0, 0, 0, 0, 0xff, 0x7f, 6 };
    isolation_default(&plan);
    plan.mounts = ISOLATION_MOUNTS_OWN;
    plan.flags = ISOLATION_NO_NEW_PRIVS | ISOLATION_OWN_IPC | ISOLATION_CAPS;
    plan.nice = -2;
    plan.oom_score_adj = 7;
    plan.umask = 022;
    plan.caps_bound = 0x1000000003;
    plan.caps_given = 2;
    plan.netns = "/n";
    plan.landlock_abi = 7;
    plan.limits[0] = (struct isolation_limit){ 7, 64, 128 };
    plan.limit_count = 1;
    plan.mount[0] = (struct isolation_mount){ ISOLATION_BIND, ISOLATION_RDONLY, "/s", "/", "t" };
    plan.mount_count = 1;
    plan.rules[0] = (struct isolation_rule){ ISOLATION_READ | ISOLATION_EXECUTE, "/usr" };
    plan.rule_count = 1;
    plan.filter = view_of(filter, sizeof(filter));
}

static const uint8_t golden[] = {
    2,    2, 0xfe, 7,                                                         /* head */
    0x89, 0, 0,    0,  7,    0,   0, 0,   022, 0,   0,    0,                  /* flags ... umask */
    3,    0, 0,    0,  0x10, 0,   0, 0,   2,   0,   0,    0,    0,   0, 0, 0, /* capabilities */
    2,    0, 0,    0,  '/',  'n', 0,                                          /* netns */
    1,    0, 7,    64, 0,    0,   0, 0,   0,   0,   0,    128,  0,   0, 0, 0, 0, 0, 0, /* limits */
    1,    0, 0,    1,  0,    0,   0, 2,   0,   0,   0,    '/',  's', 0, 1, 0, 0, 0, '/',
    0,                                                       /* a mount */
    1,    0, 0,    0,  't',  0,                              /* its target */
    1,    0, 9,    4,  0,    0,   0, '/', 'u', 's', 'r',  0, /* rules */
    16,   0, 0,    0,  6,    0,   0, 0,   0,   0,   0xff, 0x7f, 6,   0, 0, 0, 0, 0, 0,
    0 /* filter */
};

Test(plan, has_the_golden_bytes)
{
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    fill();
    isolation_encode(&plan, &bytes);
    cr_assert_eq(bytes.len, sizeof(golden));
    cr_assert_arr_eq(bytes.data, golden, sizeof(golden));
}

Test(plan, comes_back_as_it_was_written)
{
    CLEANUP(buf_fini) struct buf again = { 0 };
    struct err err = { 0 };
    cr_assert(isolation_decode(view_of(golden, sizeof(golden)), &got, &err), "%s", err.msg);
    cr_expect_eq(got.nice, -2);
    cr_expect_eq(got.caps_bound, 0x1000000003);
    cr_expect_str_eq(got.netns, "/n");
    cr_expect_str_eq(got.mount[0].source, "/s");
    cr_expect_str_eq(got.rules[0].path, "/usr");
    isolation_encode(&got, &again);
    cr_assert(view_is_equal(buf_view(&again), view_of(golden, sizeof(golden))));
}

Test(plan, no_bytes_are_the_default)
{
    struct err err = { 0 };
    cr_assert(isolation_decode(view_of(NULL, 0), &got, &err));
    cr_expect_eq(got.mounts, ISOLATION_MOUNTS_AUTO);
    cr_expect_eq(got.flags, ISOLATION_NO_NEW_PRIVS);
    cr_expect_eq(got.mount_count + got.rule_count + got.limit_count + got.filter.len, 0);
}

/* What an older driver writes, whose shim was replaced under it. */
Test(plan, version_1_is_understood)
{
    static const uint8_t old[16] = { 1, 2, 1, 5, 0xfe, 0xff, 0xff, 0xff };
    struct err err = { 0 };
    cr_assert(isolation_decode(view_of(old, sizeof(old)), &got, &err), "%s", err.msg);
    cr_expect_eq(got.mounts, ISOLATION_MOUNTS_OWN);
    cr_expect_eq(got.flags, ISOLATION_NO_NEW_PRIVS);
    cr_expect_eq(got.nice, 5);
    cr_expect_eq(got.oom_score_adj, -2);
    cr_expect_eq(got.umask, ISOLATION_UMASK_KEEP);
}

static void is_corrupt(const uint8_t *bytes, size_t len, const char *what)
{
    struct err err = { 0 };
    cr_expect_not(isolation_decode(view_of(bytes, len), &got, &err), "%s", what);
    cr_expect_eq(err.kind, ERR_CORRUPT, "%s", what);
}

Test(plan, what_is_not_known_is_corrupt)
{
    static const struct {
        const char *what;
        size_t at;
        uint8_t value;
    } rows[] = {
        { "version", 0, 3 },
        { "mounts", 1, 3 },
        { "nice", 2, 20 },
        { "ABI", 3, 65 },
        { "flags", 5, 1 },
        { "oom_score_adj", 9, 0x7f },
        { "umask", 13, 0xff },
        { "capabilities", 22, 2 },
        { "given, not bound", 24, 4 },
        { "NUL inside a path", 37, 0 },
        { "no NUL after it", 38, 1 },
    };
    uint8_t bytes[sizeof(golden)];
    for (size_t i = 0; i < COUNT(rows); i++) {
        memcpy(bytes, golden, sizeof(bytes));
        bytes[rows[i].at] = rows[i].value;
        is_corrupt(bytes, sizeof(bytes), rows[i].what);
    }
    for (size_t len = 1; len < sizeof(golden); len++)
        is_corrupt(golden, len, "truncated");
}

Test(plan, a_list_with_a_bad_entry_is_corrupt)
{
    const struct {
        const char *what;
        struct isolation_mount mount;
    } rows[] = {
        { "kind", { 99, 0, "/s", "/", "t" } },
        { "flags", { ISOLATION_BIND, 1 << 20, "/s", "/", "t" } },
        { "relative source", { ISOLATION_BIND, 0, "s", "/", "t" } },
        { "relative root", { ISOLATION_BIND, 0, "/s", "r", "t" } },
        { "absolute target", { ISOLATION_BIND, 0, "/s", "/", "/t" } },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        CLEANUP(buf_fini) struct buf bytes = { 0 };
        fill();
        plan.mount[0] = rows[i].mount;
        isolation_encode(&plan, &bytes);
        is_corrupt(bytes.data, bytes.len, rows[i].what);
    }
    CLEANUP(buf_fini) struct buf limit = { 0 };
    fill();
    plan.limits[0] = (struct isolation_limit){ 7, 2, 1 };
    isolation_encode(&plan, &limit);
    is_corrupt(limit.data, limit.len, "soft above hard");
    CLEANUP(buf_fini) struct buf filter = { 0 };
    fill();
    plan.filter.len = 9;
    isolation_encode(&plan, &filter);
    is_corrupt(filter.data, filter.len, "half an instruction");
}
