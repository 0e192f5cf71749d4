#include "common/json/scan.h"

#include "common/base/own.h"

#include <criterion/criterion.h>

Test(scan, depth_counts_brackets_outside_strings)
{
    static const struct {
        const char *text;
        unsigned depth;
    } rows[] = {
        { "", 0 },
        { "1", 0 },
        { "{}", 1 },
        { "{\"[[[[\":1}", 1 },
        { "{\"\\\"[[\":[{}]}", 3 },
        { "[[],[[]]]", 3 },
        { "]]]][", 1 },
        { "\"\\", 0 },
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        cr_assert_eq(scan_depth(view_str(rows[i].text), 10), rows[i].depth, "%s", rows[i].text);
}

Test(scan, depth_stops_counting_past_its_limit)
{
    cr_assert_eq(scan_depth(view_str("[[[[[[[["), 3), 4);
}

static void expect_path(const char *text, const char *mark, const char *path)
{
    char got[SCAN_PATH_BYTES];
    const char *at = strstr(text, mark);
    cr_assert_not_null(at);
    scan_path(view_str(text), (size_t)(at - text) + strlen(mark), got);
    cr_assert_str_eq(got, path);
}

Test(scan, byte_belongs_to_the_key_before_it)
{
    const char *text = "{\"a\":{\"b\":[1,{\"c\":22}],\"d\":33},\"e\":44}";
    expect_path(text, "22", "a.b[1].c");
    expect_path(text, "[1", "a.b[0]");
    expect_path(text, "33", "a.d");
    expect_path(text, "44", "e");
    expect_path(text, "44}", "");
    expect_path("[[0,", ",", "[0][1]");
}

Test(scan, any_bytes_give_printable_text)
{
    static const char *const texts[] = {
        "{\"\xff\x01 \":1",
        "{\"a",
        "\"\\",
        "{\"a\\",
        "]]}}",
        ":,:,",
        "{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{",
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    };
    for (size_t i = 0; i < COUNT(texts); i++) {
        char path[SCAN_PATH_BYTES];
        scan_path(view_str(texts[i]), 1000, path);
        for (const char *p = path; *p != '\0'; p++)
            cr_assert(*p > ' ' && *p < 0x7f);
    }
}

Test(scan, long_keys_are_cut)
{
    CLEANUP(buf_fini) struct buf text = { 0 };
    char path[SCAN_PATH_BYTES];
    for (int i = 0; i < 10; i++) {
        buf_put_str(&text, "{\"");
        for (int j = 0; j < 300; j++)
            buf_put_u8(&text, 'k');
        buf_put_str(&text, "\":");
    }
    scan_path(buf_view(&text), text.len, path);
    cr_assert_lt(strlen(path), SCAN_PATH_BYTES);
}
