#include "driver/nomad/msgpack_bounds.h"

#include <criterion/criterion.h>

#define CHECK(...)        \
    msgpack_bounds_check( \
        view_of((const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ })), &err)

Test(msgpack_bounds, accepts_every_type_nomad_sends)
{
    struct err err = { 0 };
    cr_assert(CHECK(0x80));
    cr_assert(CHECK(0x81, 0xa1, 'a', 0xc0));
    cr_assert(CHECK(0x92, 0xc2, 0xc3));
    cr_assert(CHECK(0xcd, 1, 2));
    cr_assert(CHECK(0xcb, 0, 0, 0, 0, 0, 0, 0, 0));
    cr_assert(CHECK(0xd9, 1, 'x'));
    cr_assert(CHECK(0xdc, 0, 1, 0xff));
    cr_assert(CHECK(0xdf, 0, 0, 0, 1, 0xa1, 'a', 0x91, 0x80));
}

Test(msgpack_bounds, refuses_truncated_and_trailing_bytes)
{
    struct err err = { 0 };
    cr_assert_not(CHECK(0x81, 0xa1, 'a'));
    cr_assert_eq(err.kind, ERR_INVALID);
    cr_assert_not(CHECK(0xd9, 2, 'x'));
    cr_assert_not(CHECK(0xdb, 0, 0));
    cr_assert_not(CHECK(0x80, 0x80));
    cr_assert_not(msgpack_bounds_check(view_of("", 0), &err));
}

Test(msgpack_bounds, refuses_a_count_that_the_bytes_cannot_hold)
{
    struct err err = { 0 };
    cr_assert_not(CHECK(0xdd, 0xff, 0xff, 0xff, 0xff));
    cr_assert_not(CHECK(0xdf, 0xff, 0xff, 0xff, 0xff));
    cr_assert_not(CHECK(0xdb, 0xff, 0xff, 0xff, 0xff, 'x'));
}

Test(msgpack_bounds, refuses_deep_nesting_and_foreign_types)
{
    struct err err = { 0 };
    uint8_t deep[64];
    memset(deep, 0x91, sizeof(deep));
    cr_assert_not(msgpack_bounds_check(view_of(deep, sizeof(deep)), &err));
    cr_assert_not(CHECK(0xc1));
    cr_assert_not(CHECK(0xd4, 1, 2));
}
