#include "common/shimwire/parts.h"

#include <criterion/criterion.h>

#include "common/base/own.h"

static const char *const words[] = { "a", "", "two words", NULL };

Test(parts, a_list_and_groups_come_back)
{
    struct err err = { 0 };
    static struct shim_spec_store store;
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    const uint32_t groups[] = { 4, 20 }, *got_groups = NULL;
    const char *const *list = NULL, *const *empty = NULL;
    size_t count = 0;
    parts_put_list(&bytes, words);
    parts_put_list(&bytes, NULL);
    parts_put_groups(&bytes, groups, 2);
    struct cursor c = cursor_of(buf_view(&bytes), "test");
    cr_assert(parts_take_list(&c, "words", &store, &list, &err), "%s", err.msg);
    cr_assert(parts_take_list(&c, "empty", &store, &empty, &err), "%s", err.msg);
    cr_assert(parts_take_groups(&c, &store, &got_groups, &count, &err), "%s", err.msg);
    cr_assert(cursor_finish(&c, &err));
    cr_expect_eq(parts_count(list), 3);
    cr_expect_str_eq(list[2], "two words");
    cr_expect_eq(parts_count(empty), 0);
    cr_expect_eq(count, 2);
    cr_expect_eq(got_groups[1], 20);
}

Test(parts, more_entries_than_slots_and_more_groups_than_fit_are_corrupt)
{
    struct err err = { 0 };
    static struct shim_spec_store store;
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    const char *const *list = NULL;
    const uint32_t *groups = NULL;
    size_t count = 0;
    buf_put_u32(&bytes, SHIM_SPEC_SLOTS);
    struct cursor c = cursor_of(buf_view(&bytes), "test");
    cr_expect_not(parts_take_list(&c, "words", &store, &list, &err));
    cr_expect_eq(err.kind, ERR_CORRUPT);
    bytes.len = 0;
    buf_put_u32(&bytes, SHIM_SPEC_GROUPS_MAX + 1);
    c = cursor_of(buf_view(&bytes), "test");
    cr_expect_not(parts_take_groups(&c, &store, &groups, &count, &err));
    cr_expect_eq(err.kind, ERR_CORRUPT);
}

Test(parts, a_text_has_its_nul_at_the_end_and_nowhere_else)
{
    struct err err = { 0 };
    const char *text = NULL;
    struct cursor inside = cursor_of(view_of("\2\0\0\0a\0\0", 7), "test");
    cr_expect_not(parts_take_text(&inside, "word", &text, &err));
    cr_expect_eq(err.kind, ERR_CORRUPT);
    struct cursor after = cursor_of(view_of("\1\0\0\0ab", 6), "test");
    cr_expect_not(parts_take_text(&after, "word", &text, &err));
    struct cursor good = cursor_of(view_of("\1\0\0\0a\0", 6), "test");
    cr_expect(parts_take_text(&good, "word", &text, &err));
    cr_expect_str_eq(text, "a");
}
