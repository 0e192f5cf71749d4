#include "common/base/err.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

Test(err, set_fills_kind_and_message_and_returns_false)
{
    struct err err = { 0 };
    cr_assert_not(err_set(&err, ERR_CORRUPT, "read \"%s\": %d bytes", "x", 3));
    cr_assert_eq(err.kind, ERR_CORRUPT);
    cr_assert_str_eq(err.msg, "read \"x\": 3 bytes");
}

Test(err, sys_keeps_errno_and_says_why)
{
    struct err err = { 0 };
    cr_assert_not(err_sys(&err, ENOENT, "open \"%s\"", "/nope"));
    cr_assert_eq(err.kind, ERR_SYSTEM);
    cr_assert_eq(err.os_errno, ENOENT);
    cr_assert_str_eq(err.msg, "open \"/nope\": No such file or directory");
}

Test(err, wrap_adds_context_and_never_changes_the_kind)
{
    struct err err = { 0 };
    (void)err_sys(&err, EACCES, "open");
    cr_assert_not(err_wrap(&err, "load key \"%s\"", "k"));
    cr_assert_eq(err.kind, ERR_SYSTEM);
    cr_assert_eq(err.os_errno, EACCES);
    cr_assert_str_eq(err.msg, "load key \"k\": open: Permission denied");
}

Test(err, long_messages_end_in_an_ellipsis_on_a_character_boundary)
{
    char text[600];
    for (size_t at = 0; at + 3 < sizeof(text); at += 3)
        memcpy(text + at, "\xe2\x82\xac", 3); /* the euro sign */
    text[sizeof(text) - 3] = '\0';
    for (int shift = 0; shift < 3; shift++) {
        struct err err = { 0 };
        (void)err_set(&err, ERR_INVALID, "%.*s%s", shift, "ab", text);
        size_t len = strlen(err.msg);
        cr_assert_lt(len, sizeof(err.msg));
        cr_assert_str_eq(err.msg + len - 3, "...");
        unsigned char last = (unsigned char)err.msg[len - 4];
        cr_assert_eq(last, 0xac, "cut inside a character: %02x", last);
    }
}

Test(err, quoted_bytes_that_are_no_text_become_question_marks)
{
    struct err err = { 0 };
    (void)err_set(&err, ERR_INVALID, "read \"%s\"", "a\xffz\xc3 \xe2\x82\xac");
    cr_expect_str_eq(err.msg, "read \"a?z? \xe2\x82\xac\"");
    (void)err_wrap(&err, "\x80");
    cr_expect_str_eq(err.msg, "?: read \"a?z? \xe2\x82\xac\"");
    (void)err_sys(&err, EACCES, "open \"\xfe\"");
    cr_expect_str_eq(err.msg, "open \"?\": Permission denied");
}

Test(err, every_kind_has_a_name_and_an_exit_code)
{
    for (int kind = ERR_NONE + 1; kind < ERR_KIND_COUNT; kind++) {
        cr_assert_gt(strlen(err_kind_name((enum err_kind)kind)), 0);
        cr_assert_gt(err_exit_code((enum err_kind)kind), 0);
    }
    cr_assert_eq(err_exit_code(ERR_NONE), 0);
}
