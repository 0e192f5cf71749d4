#include "common/hcl/write.h"

#include "common/base/own.h"
#include "common/hcl/read.h"

#include <criterion/criterion.h>

static void round_trips(struct view text)
{
    CLEANUP(buf_fini) struct buf out = { 0 };
    struct err err = { 0 };
    buf_put_str(&out, "a = ");
    cr_assert(hcl_put_text(&out, text, &err), "%s", err.msg);
    CLEANUP(hcl_freep) struct hcl *tree = NULL;
    cr_assert(hcl_parse("t", buf_view(&out), &tree, &err), "%s: %s", err.msg, buf_borrow_str(&out));
    const struct hcl_node *a = hcl_attr(hcl_root(tree), "a");
    cr_assert_not(a->has_template);
    cr_assert(view_is_equal(view_str(a->text), text), "%s", buf_borrow_str(&out));
}

Test(write, every_text_comes_back_as_a_literal)
{
    static const char *const texts[] = {
        "",
        "plain",
        "q\" b\\ n\n r\r t\t \x01 \x7f",
        "${NOMAD_TASK_DIR}",
        "%{ if x }",
        "$${x} $$${y} %%{",
        "$",
        "%",
        "{",
        "\xc3\xa9\xe2\x82\xac",
        "a # b // c /* d",
        "<<EOT",
        "tail $",
        "tail \\",
    };
    for (size_t i = 0; i < COUNT(texts); i++)
        round_trips(view_str(texts[i]));
    for (unsigned c = 1; c < 128; c++)
        for (unsigned d = 1; d < 128; d++)
            round_trips(view_of((uint8_t[]){ (uint8_t)c, (uint8_t)d, '{' }, 3));
}

Test(write, text_that_is_not_utf8_is_refused_and_nothing_is_written)
{
    CLEANUP(buf_fini) struct buf out = { 0 };
    struct err err = { 0 };
    cr_assert_not(hcl_put_attr(&out, 0, "path", "\xff", &err));
    cr_assert_eq(err.kind, ERR_INVALID);
    cr_assert_str_eq(err.msg, "path: write text as HCL: it is not UTF-8");
    cr_assert_not(hcl_put_text(&out, view_of("\0", 1), &err));
    cr_assert_eq(out.len, 0);
}

Test(write, attributes_are_indented_lines)
{
    CLEANUP(buf_fini) struct buf out = { 0 };
    struct err err = { 0 };
    cr_assert(hcl_put_attr(&out, 1, "ttl", "15s", &err));
    cr_assert_str_eq(buf_borrow_str(&out), "  ttl = \"15s\"\n");
}
