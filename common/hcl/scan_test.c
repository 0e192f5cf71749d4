#include "common/hcl/scan.h"

#include "common/base/own.h"

#include <criterion/criterion.h>

static struct hcl_arena memory;
static struct err failure;

static struct hcl_scan scan_of(const char *text)
{
    const struct view v = view_str(text);
    memory = (struct hcl_arena){ 0 };
    failure = (struct err){ 0 };
    return (struct hcl_scan){ .at = v.data,
                              .end = v.data + v.len,
                              .line_start = v.data,
                              .line = 1,
                              .name = "t",
                              .arena = &memory,
                              .err = &failure };
}

Test(scan, blanks_stop_at_line_ends_unless_told)
{
    struct hcl_scan s = scan_of(" \t# c\n /* \n */ // d\nx");
    cr_assert(hcl_scan_blank(&s, false));
    cr_assert_eq(hcl_scan_peek(&s), '\n');
    cr_assert(hcl_scan_blank(&s, true));
    cr_assert_eq(hcl_scan_peek(&s), 'x');
    cr_assert_eq(hcl_scan_pos(&s).line, 4);
    cr_assert_eq(hcl_scan_pos(&s).col, 1);
}

Test(scan, names_and_numbers_end_where_they_end)
{
    struct hcl_scan s = scan_of("kill-node_2=-1.5e+3]");
    cr_assert_str_eq(hcl_scan_name(&s), "kill-node_2");
    cr_assert_null(hcl_scan_name(&s));
    hcl_scan_skip(&s);
    const char *number;
    cr_assert(hcl_scan_number(&s, &number));
    cr_assert_str_eq(number, "-1.5e+3");
    cr_assert_eq(hcl_scan_peek(&s), ']');
    hcl_arena_fini(&memory);
}

Test(scan, the_end_of_the_text_is_not_read)
{
    struct hcl_scan s = scan_of("");
    cr_assert_eq(hcl_scan_peek(&s), -1);
    cr_assert(hcl_scan_blank(&s, true));
    cr_assert(hcl_scan_check_bytes(&s));
    cr_assert_null(hcl_scan_name(&s));
    const char *number;
    cr_assert_not(hcl_scan_number(&s, &number));
    cr_assert_str_eq(failure.msg, "t:1:1: not a number (durations and sizes are quoted: \"15s\")");
}
