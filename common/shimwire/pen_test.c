#include "common/shimwire/pen.h"

#include <criterion/criterion.h>

Test(pen, numbers_are_little_endian)
{
    uint8_t out[15];
    struct pen pen = { out, sizeof(out) };
    pen_u8(&pen, 0x01);
    pen_u16(&pen, 0x0302);
    pen_u32(&pen, 0x07060504);
    pen_u64(&pen, UINT64_C(0x0f0e0d0c0b0a0908));
    for (uint8_t i = 0; i < sizeof(out); i++)
        cr_expect_eq(out[i], i + 1);
    cr_assert_eq(pen.left, 0);
}

Test(pen, text_is_cut_at_a_character)
{
    char out[6];
    cr_expect_eq(text_clean(out, 5, view_str("abcd\xc3\xa9")), 4);
    cr_expect_str_eq(out, "abcd");
    cr_expect_eq(text_clean(out, 5, view_str("abc\xc3\xa9xx")), 5);
    cr_expect_str_eq(out, "abc\xc3\xa9");
}

Test(pen, what_is_not_utf8_becomes_a_question_mark)
{
    static const char *const bad[] = {
        "\xff",         "\xc3", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xc0\x80",
        "\xe0\x80\x80", "\n",   "\x7f",         "\xf5\x80"
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char out[9];
        size_t len = text_clean(out, 8, view_str(bad[i]));
        cr_expect_eq(len, strlen(bad[i]), "row %zu", i);
        for (size_t at = 0; at < len; at++)
            cr_expect_eq(out[at], '?', "row %zu", i);
    }
}

Test(pen, checksum_is_the_published_one)
{
    cr_expect_eq(fnv_add(FNV_START, view_str("")), UINT64_C(0xcbf29ce484222325));
    cr_expect_eq(fnv_add(FNV_START, view_str("a")), UINT64_C(0xaf63dc4c8601ec8c));
    cr_expect_eq(fnv_add(fnv_add(FNV_START, view_str("foo")), view_str("bar")),
                 UINT64_C(0x85944171f73967e8));
}
