#include "sidecar/cmd/show.h"

#include "sidecar/cmd/made_test.h"

static struct made made;
static void teardown(void) { made_remove(&made); }
TestSuite(show, .fini = teardown);

Test(show, record_checkpoint_and_entries_are_printed)
{
    struct err err;
    char text[8192];
    made_make(&made, true);
    struct args args = made_args(&made);
    args.files = "true";
    cr_assert(made_run(&made, cmd_show, &args, text, &err), "%s", err.msg);
    cr_assert_not_null(strstr(text, "epoch       1 (released)"));
    cr_assert_not_null(strstr(text, made.id));
    cr_assert_not_null(strstr(text, "0640"));
    cr_assert_not_null(strstr(text, "notes.txt"));
    args.json = "true";
    cr_assert(made_run(&made, cmd_show, &args, text, &err));
    cr_assert_not_null(strstr(text, "\"node\":\"node-1\""));
    cr_assert_not_null(strstr(text, "\"path\":\"notes.txt\",\"type\":\"file\",\"mode\":416"));
}

Test(show, no_checkpoint_yet_is_no_error)
{
    struct err err;
    char text[8192];
    made_make(&made, false);
    struct args args = made_args(&made);
    cr_assert(made_run(&made, cmd_show, &args, text, &err), "%s", err.msg);
    cr_assert_not_null(strstr(text, "none yet"));
    args.json = "true";
    cr_assert(made_run(&made, cmd_show, &args, text, &err));
    cr_assert_not_null(strstr(text, "\"checkpoint\":null"));
}

Test(show, unknown_or_malformed_id_is_an_error)
{
    struct err err = { 0 };
    char text[8192];
    made_make(&made, true);
    struct args args = made_args(&made);
    args.at = "00000099-0000000000000000";
    cr_assert_not(made_run(&made, cmd_show, &args, text, &err));
    cr_assert_eq(err.kind, ERR_NOT_FOUND);
    args.at = "../etc";
    cr_assert_not(made_run(&made, cmd_show, &args, text, &err));
    cr_assert_eq(err.kind, ERR_INVALID);
}

Test(show, record_that_is_gone_is_done_without_when_asked)
{
    struct err err = { 0 };
    char text[8192];
    made_make(&made, true);
    struct args args = made_args(&made);
    made_forget_record(&made);
    args.without_record = "true";
    cr_assert(made_run(&made, cmd_show, &args, text, &err), "%s", err.msg);
    cr_assert_not_null(strstr(text, made.id));
    cr_assert_not_null(strstr(text, "record      not read"));
    args.json = "true";
    cr_assert(made_run(&made, cmd_show, &args, text, &err), "%s", err.msg);
    cr_assert_not_null(strstr(text, "\"lease\":null"));
}
