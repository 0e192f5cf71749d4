#include "driver/isolation/plan.h"

#include <criterion/criterion.h>

Test(plan, has_the_golden_bytes)
{
    const struct isolation_plan plan = { ISOLATION_MOUNTS_OWN, true, false, -2, 5 };
    const uint8_t want[ISOLATION_BYTES] = { 1, 2, 1, 5, 0xfe, 0xff, 0xff, 0xff };
    uint8_t bytes[ISOLATION_BYTES];
    isolation_encode(&plan, bytes);
    cr_assert_arr_eq(bytes, want, sizeof(want));
}

Test(plan, comes_back_as_it_was_written)
{
    struct err err = { 0 };
    const struct isolation_plan plan = { ISOLATION_MOUNTS_HOST, false, true, 900, -20 };
    uint8_t bytes[ISOLATION_BYTES];
    struct isolation_plan got;
    isolation_encode(&plan, bytes);
    cr_assert(isolation_decode(view_of(bytes, sizeof(bytes)), &got, &err), "%s", err.msg);
    cr_expect_eq(got.mounts, plan.mounts);
    cr_expect_eq(got.no_new_privs, plan.no_new_privs);
    cr_expect_eq(got.core_dumps, plan.core_dumps);
    cr_expect_eq(got.oom_score_adj, plan.oom_score_adj);
    cr_expect_eq(got.nice, plan.nice);
}

Test(plan, no_bytes_are_the_default)
{
    struct err err = { 0 };
    struct isolation_plan got;
    cr_assert(isolation_decode(view_of(NULL, 0), &got, &err));
    cr_expect_eq(got.mounts, ISOLATION_MOUNTS_AUTO);
    cr_expect(got.no_new_privs);
    cr_expect_not(got.core_dumps);
}

Test(plan, what_is_not_known_is_corrupt)
{
    const struct isolation_plan plan = isolation_default();
    uint8_t good[ISOLATION_BYTES];
    isolation_encode(&plan, good);
    static const struct {
        size_t at;
        uint8_t value;
    } rows[] = { { 0, 2 }, { 1, 3 }, { 2, 4 }, { 3, 20 }, { 7, 0x7f }, { 15, 1 } };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct err err = { 0 };
        struct isolation_plan got;
        uint8_t bytes[ISOLATION_BYTES];
        memcpy(bytes, good, sizeof(bytes));
        bytes[rows[i].at] = rows[i].value;
        cr_expect_not(isolation_decode(view_of(bytes, sizeof(bytes)), &got, &err), "row %zu", i);
        cr_expect_eq(err.kind, ERR_CORRUPT);
    }
    struct err err = { 0 };
    struct isolation_plan got;
    for (size_t len = 1; len < sizeof(good); len++)
        cr_expect_not(isolation_decode(view_of(good, len), &got, &err));
}
