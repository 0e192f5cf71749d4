#include "sidecar/cmd/talk.h"

#include "sidecar/cmd/made_test.h"

static struct made made;
static void teardown(void) { made_remove(&made); }
TestSuite(talk, .fini = teardown);

/* What a running sidecar answers is proved by tests/scenario; here: whom to ask, and nobody there.
 */
Test(talk, sidecar_must_be_named_and_must_run)
{
    struct err err = { 0 };
    char text[8192];
    made_make(&made, false);
    struct args args = { 0 };
    cr_assert_not(made_run(&made, cmd_status, &args, text, &err));
    cr_assert_eq(err.kind, ERR_INVALID);
    CLEANUP(str_freep) char *api = str_format("%s/api", made.root);
    args.api = api;
    cr_assert_not(made_run(&made, cmd_status, &args, text, &err));
    cr_assert_eq(err.kind, ERR_NOT_FOUND);
    cr_assert_not(made_run(&made, cmd_checkpoint, &args, text, &err));
    cr_assert_eq(err.kind, ERR_NOT_FOUND);
    args.api = NULL;
    args.config = "/no/agent.hcl";
    cr_assert_not(made_run(&made, cmd_status, &args, text, &err));
    cr_assert_eq(err.kind, ERR_NOT_FOUND);
    args.timeout = "never";
    cr_assert_not(made_run(&made, cmd_status, &args, text, &err));
    cr_assert(err.kind == ERR_INVALID && text[0] == '\0');
}
