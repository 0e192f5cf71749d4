#include "common/base/buf.h"

#include <criterion/criterion.h>

Test(buf, what_is_put_is_read_back_in_order)
{
    struct err err = { 0 };
    struct buf b = { 0 };
    buf_put_u8(&b, 7);
    buf_put_u16(&b, 0x1234);
    buf_put_u32(&b, 0xdeadbeef);
    buf_put_u64(&b, UINT64_MAX - 1);
    buf_put_bytes(&b, view_str("name"));
    struct cursor c = cursor_of(buf_view(&b), "sample");
    uint8_t u8;
    uint16_t u16;
    uint32_t u32;
    uint64_t u64;
    struct view name;
    cr_assert(cursor_u8(&c, "a", &u8, &err) && u8 == 7);
    cr_assert(cursor_u16(&c, "b", &u16, &err) && u16 == 0x1234);
    cr_assert(cursor_u32(&c, "c", &u32, &err) && u32 == 0xdeadbeef);
    cr_assert(cursor_u64(&c, "d", &u64, &err) && u64 == UINT64_MAX - 1);
    cr_assert(cursor_bytes(&c, "e", 16, &name, &err));
    cr_assert(view_is_equal(name, view_str("name")));
    cr_assert(cursor_finish(&c, &err));
    buf_fini(&b);
}

Test(buf, the_wire_is_little_endian)
{
    struct buf b = { 0 };
    buf_put_u32(&b, 0x04030201);
    cr_assert_eq(memcmp(b.data, "\1\2\3\4", 4), 0);
    buf_fini(&b);
}

Test(buf, a_short_view_fails_and_names_the_field)
{
    struct err err = { 0 };
    struct cursor c = cursor_of(view_of("\1", 1), "record");
    uint32_t value;
    cr_assert_not(cursor_u32(&c, "epoch", &value, &err));
    cr_assert_eq(err.kind, ERR_CORRUPT);
    cr_assert_str_eq(err.msg, "record: \"epoch\" wants 4 bytes, 1 are left");
}

Test(buf, a_byte_string_over_its_limit_fails)
{
    struct err err = { 0 };
    struct buf b = { 0 };
    buf_put_bytes(&b, view_str("toolong"));
    struct cursor c = cursor_of(buf_view(&b), "spec");
    struct view out;
    cr_assert_not(cursor_bytes(&c, "user", 4, &out, &err));
    cr_assert_eq(err.kind, ERR_CORRUPT);
    buf_fini(&b);
}

Test(buf, trailing_bytes_are_refused)
{
    struct err err = { 0 };
    struct cursor c = cursor_of(view_of("x", 1), "spec");
    cr_assert_not(cursor_finish(&c, &err));
    cr_assert_str_eq(err.msg, "spec: 1 bytes too many at the end");
}

Test(buf, formatted_text_grows_the_buffer)
{
    struct buf b = { 0 };
    for (int i = 0; i < 100; i++)
        buf_put_fmt(&b, "%03d,", i);
    cr_assert_eq(b.len, 400);
    cr_assert_eq(strlen(buf_borrow_str(&b)), 400);
    struct buf taken = buf_take(&b);
    cr_assert_eq(b.len, 0);
    buf_fini(&taken);
}
