#include "common/base/text.h"

#include <criterion/criterion.h>

Test(text, hex_goes_both_ways)
{
    struct err err = { 0 };
    char hex[9];
    hex_encode(view_of("\x00\xff\x1a\xb2", 4), hex);
    cr_assert_str_eq(hex, "00ff1ab2");
    uint8_t bytes[4];
    cr_assert(hex_decode(view_str("00FF1ab2"), bytes, 4, &err));
    cr_assert_eq(memcmp(bytes, "\x00\xff\x1a\xb2", 4), 0);
    cr_assert_not(hex_decode(view_str("00ff1a"), bytes, 4, &err));
    cr_assert_not(hex_decode(view_str("00ff1axx"), bytes, 4, &err));
    cr_assert_eq(err.kind, ERR_INVALID);
}

Test(text, integers_are_whole_and_in_range)
{
    struct err err = { 0 };
    int64_t value;
    cr_assert(int_parse(view_str("-9223372036854775808"), INT64_MIN, INT64_MAX, &value, &err));
    cr_assert_eq(value, INT64_MIN);
    cr_assert(int_parse(view_str("42"), 0, 100, &value, &err) && value == 42);
    static const char *const bad[] = { "", "-", "4x", " 4", "9223372036854775808", "101", "-1" };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert_not(int_parse(view_str(bad[i]), 0, 100, &value, &err), "%s", bad[i]);
}

Test(text, durations_need_a_unit)
{
    struct err err = { 0 };
    int64_t ms;
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = { { "0", 0 },          { "0s", 0 },          { "250ms", 250 },    { "15s", 15000 },
                 { "1.5h", 5400000 }, { "1h30m", 5400000 }, { "7d", 604800000 }, { "1500us", 1 } };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        cr_assert(duration_parse(view_str(good[i].text), &ms, &err), "%s", good[i].text);
        cr_assert_eq(ms, good[i].ms, "%s is %lld", good[i].text, (long long)ms);
    }
    static const char *const bad[] = { "",    "5",  "s",      "-1s", "1s ",
                                       "1 s", "1x", "1.2.3s", ".s",  "99999999999999999999d" };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert_not(duration_parse(view_str(bad[i]), &ms, &err), "%s", bad[i]);
    cr_assert_eq(err.kind, ERR_INVALID);
}

Test(text, utf8_is_checked_to_the_letter)
{
    cr_assert(utf8_is_valid(view_str("h\xc3\xa9llo \xe2\x82\xac \xf0\x9f\x98\x80")));
    static const char *const bad[] = { "\xc0\x80", "\xed\xa0\x80", "\xf5\x80\x80\x80",
                                       "\xe2\x82", "\x80",         "\xff" };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert_not(utf8_is_valid(view_str(bad[i])), "row %zu", i);
    cr_assert_not(utf8_is_valid(view_of("a\0b", 3)));
}

Test(text, cleaning_replaces_only_bad_bytes)
{
    struct buf out = { 0 };
    utf8_put_clean(&out, view_of("a\xff"
                                 "b\0c",
                                 5));
    cr_assert_str_eq(buf_borrow_str(&out), "a\xef\xbf\xbd"
                                           "b\xef\xbf\xbd"
                                           "c");
    buf_fini(&out);
}

Test(text, mending_keeps_the_length_and_every_good_sequence)
{
    char text[] = "a\xff\xe2\x82\xac\xe2\x82";
    utf8_mend(text);
    cr_assert_str_eq(text, "a?\xe2\x82\xac??");
    char empty[] = "";
    utf8_mend(empty);
    cr_assert_str_eq(empty, "");
}
