#include "common/hcl/template.h"

#include "common/base/own.h"

#include <criterion/criterion.h>

static void splits(const char *text, const char *joined)
{
    struct view rest = view_str(text);
    struct hcl_template_part part;
    struct hcl_template_fault fault;
    CLEANUP(buf_fini) struct buf out = { 0 };
    while (hcl_template_next(&rest, &part, &fault)) {
        buf_put_str(&out, part.is_reference ? "<" : "");
        buf_put(&out, part.text);
        buf_put_str(&out, part.is_reference ? ">" : "");
    }
    if (fault.reason)
        buf_put_fmt(&out, "!%s", fault.reason);
    cr_assert_str_eq(buf_borrow_str(&out), joined);
}

Test(template, parts_are_literals_and_references)
{
    splits("", "");
    splits("plain $5", "plain $5");
    splits("${NOMAD_TASK_DIR}/x", "<NOMAD_TASK_DIR>/x");
    splits("a${ meta.k }b${env[\"X}\"]}", "a<meta.k>b<env[\"X}\"]>");
    splits("$${no} %%{no} ${yes}", "${no} %{no} <yes>");
    splits("${}", "<>");
}

Test(template, faults_have_a_reason)
{
    splits("a ${x", "a !${ is never closed");
    splits("a ${x \"}", "a !${ is never closed");
    splits("%{ if x }", "!%{ directives are not supported");
}

Test(template, a_fault_of_an_escape_says_where)
{
    char out[16];
    bool has_template;
    struct hcl_template_fault fault;
    cr_assert_not(hcl_template_unescape(view_str("ab\\q"), true, out, &has_template, &fault));
    cr_assert_eq(fault.offset, 2);
    cr_assert_not(hcl_template_unescape(view_str("ab\\"), true, out, &has_template, &fault));
    cr_assert_eq(fault.offset, 2);
    cr_assert(hcl_template_unescape(view_str("ab\\q"), false, out, &has_template, &fault));
    cr_assert_str_eq(out, "ab\\q");
}
