#include "sidecar/cmd/list.h"

#include "sidecar/cmd/made_test.h"

static struct made made;
static void teardown(void) { made_remove(&made); }
TestSuite(list, .fini = teardown);

Test(list, newest_checkpoint_is_a_line_and_an_object)
{
    struct err err;
    char text[8192];
    made_make(&made, true);
    struct args args = made_args(&made);
    cr_assert(made_run(&made, cmd_list, &args, text, &err), "%s", err.msg);
    cr_assert_not_null(strstr(text, made.id));
    cr_assert_not_null(strstr(text, "10 B"));
    args.json = "true";
    cr_assert(made_run(&made, cmd_list, &args, text, &err));
    cr_assert(strstr(text, "[{\"id\":\"") == text &&
              strstr(text, "\"files\":1,\"bytes\":10") != NULL);
}

Test(list, agent_without_a_checkpoint_has_an_empty_list)
{
    struct err err;
    char text[8192];
    made_make(&made, false);
    struct args args = made_args(&made);
    args.json = "true";
    cr_assert(made_run(&made, cmd_list, &args, text, &err), "%s", err.msg);
    cr_assert_str_eq(text, "[]\n");
}

Test(list, unknown_agent_is_not_found_and_damage_is_corrupt)
{
    struct err err = { 0 };
    char text[8192];
    made_make(&made, true);
    struct args args = made_args(&made);
    args.name = "test/other";
    cr_assert_not(made_run(&made, cmd_list, &args, text, &err));
    cr_assert(err.kind == ERR_NOT_FOUND && text[0] == '\0');
    args.name = MADE_NAME;
    made_damage(&made, made.root);
    cr_assert_not(made_run(&made, cmd_list, &args, text, &err));
    cr_assert(err.kind == ERR_CORRUPT && text[0] == '\0', "nothing that looks like a result");
}

Test(list, record_that_is_gone_is_done_without_when_asked)
{
    struct err err = { 0 };
    char text[8192];
    made_make(&made, true);
    struct args args = made_args(&made);
    made_forget_record(&made);
    args.without_record = "true";
    cr_assert(made_run(&made, cmd_list, &args, text, &err), "%s", err.msg);
    cr_assert_not_null(strstr(text, made.id));
}
