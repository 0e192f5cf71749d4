#include "sidecar/cmd/verify.h"

#include "sidecar/cmd/made_test.h"

static struct made made;
static void teardown(void) { made_remove(&made); }
TestSuite(verify_command, .fini = teardown);

Test(verify_command, intact_checkpoint_says_so)
{
    struct err err;
    char text[8192];
    made_make(&made, true);
    struct args args = made_args(&made);
    cr_assert(made_run(&made, cmd_verify, &args, text, &err), "%s", err.msg);
    cr_assert_not_null(strstr(text, "intact, 1 files"));
    args.json = "true";
    cr_assert(made_run(&made, cmd_verify, &args, text, &err));
    cr_assert_not_null(strstr(text, "\"intact\":true"));
}

Test(verify_command, damage_is_corrupt_and_nothing_to_verify_is_not_found)
{
    struct err err = { 0 };
    char text[8192];
    made_make(&made, true);
    struct args args = made_args(&made);
    made_damage(&made, made.root);
    cr_assert_not(made_run(&made, cmd_verify, &args, text, &err));
    cr_assert_eq(err.kind, ERR_CORRUPT);
    made_remove(&made);
    made_make(&made, false);
    args = made_args(&made);
    cr_assert_not(made_run(&made, cmd_verify, &args, text, &err));
    cr_assert_eq(err.kind, ERR_NOT_FOUND);
}

Test(verify_command, record_that_is_gone_is_done_without_when_asked)
{
    struct err err = { 0 };
    char text[8192];
    made_make(&made, true);
    struct args args = made_args(&made);
    made_forget_record(&made);
    args.without_record = "true";
    cr_assert(made_run(&made, cmd_verify, &args, text, &err), "%s", err.msg);
    cr_assert_not_null(strstr(text, made.id));
}
