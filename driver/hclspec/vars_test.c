#include "driver/hclspec/vars.h"

#include "common/base/own.h"
#include "common/hcl/read.h"

#include <criterion/criterion.h>

static struct vars vars_for_tests(void)
{
    struct vars v = { 0 };
    vars_set(&v, "env", "NOMAD_TASK_DIR", "/old");
    vars_set(&v, "env", "NOMAD_TASK_DIR", "/a/local");
    vars_set(&v, "env", "my.var", "dotted");
    vars_set(&v, "env", "HOME", "/root");
    vars_set(&v, "meta", "team", "blue");
    vars_set(&v, "node", "unique.name", "node-1");
    return v;
}

static void expands(const char *source, bool keep, const char *wanted)
{
    CLEANUP(str_freep) char *text = str_format("a = 1\nb = %s\n", source);
    CLEANUP(hcl_freep) struct hcl *tree = NULL;
    CLEANUP(vars_fini) struct vars vars = vars_for_tests();
    CLEANUP(buf_fini) struct buf out = { 0 };
    struct err err = { 0 };
    cr_assert(hcl_parse("j", view_str(text), &tree, &err), "%s", err.msg);
    const struct hcl_node *b = hcl_attr(hcl_root(tree), "b");
    if (keep ? vars_keep(tree, b, &out, &err) : vars_expand(&vars, tree, b, &out, &err))
        cr_assert_str_eq(buf_borrow_str(&out), wanted);
    else
        cr_assert_str_eq(err.msg, wanted);
}

Test(vars, references_of_nomad_are_replaced)
{
    expands("\"plain\"", false, "plain");
    expands("\"x ${NOMAD_TASK_DIR}/y\"", false, "x /a/local/y");
    expands("\"${ env[\"HOME\"] } ${env.HOME} ${env[\"my.var\"]}\"", false, "/root /root dotted");
    expands("\"${meta.team}@${node.unique.name}\"", false, "blue@node-1");
    expands("\"$${NOMAD_TASK_DIR} $${x} ${meta.team}\"", false, "${NOMAD_TASK_DIR} ${x} blue");
}

Test(vars, what_nobody_set_is_an_error_with_its_place)
{
    expands("\"${NOMAD_NOPE}\"", false, "j:2:5: ${NOMAD_NOPE} is not set here");
    expands("\"${attr.kernel.name}\"", false, "j:2:5: ${attr.kernel.name} is not set here");
    expands("\"${meta.other}\"", false, "j:2:5: ${meta.other} is not set here: add it to meta");
    expands("\"${foo}\"", false, "j:2:5: ${foo}: unknown reference; for a literal write $${");
    expands("\"${upper(\"x\")}\"", false,
            "j:2:5: ${upper(\"x\")}: functions and expressions are not supported; for a literal "
            "write $${");
    expands("\"${}\"", false,
            "j:2:5: ${}: functions and expressions are not supported; for a literal write $${");
    expands("\"%{ if x }\"", false, "j:2:5: %{ directives are not supported");
}

Test(vars, template_data_keeps_what_nomad_would_keep)
{
    expands("\"a ${NOMAD_TASK_DIR} ${env[\"X\"]} $${b}\"", true,
            "a ${NOMAD_TASK_DIR} ${env[\"X\"]} ${b}");
    expands("\"${b}\"", true, "j:2:5: ${b}: unknown reference; for a literal write $${");
}

Test(vars, values_are_found_by_room_and_name)
{
    CLEANUP(vars_fini) struct vars v = vars_for_tests();
    cr_assert_str_eq(vars_find(&v, "meta", "team"), "blue");
    cr_assert_null(vars_find(&v, "meta", "TEAM"));
}
