#include "sidecar/cmd/selftest.h"

#include "sidecar/cmd/made_test.h"

static struct made made;
static void setup(void) { made_make(&made, false); }
static void teardown(void) { made_remove(&made); }
TestSuite(selftest, .init = setup, .fini = teardown);

/* Runs it; `text` is the whole of what it printed (a trace is longer than made_run takes). */
static bool shown(const struct args *args, struct buf *text, struct err *err)
{
    struct err why;
    CLEANUP(str_freep) char *path = str_format("%s/stdout", made.root);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    cr_assert(fd >= 0 && dup2(fd, STDOUT_FILENO) == STDOUT_FILENO);
    close(fd);
    bool ok = cmd_selftest(args, err);
    text->len = 0;
    cr_assert(file_read(AT_FDCWD, path, 1 << 20, text, &why), "%s", why.msg);
    return ok;
}

Test(selftest, histories_that_hold_are_counted)
{
    struct err err;
    CLEANUP(buf_fini) struct buf text = { 0 };
    struct args args = { .seed = "11", .seeds = "5" };
    cr_assert(shown(&args, &text, &err), "%s", err.msg);
    cr_assert_not_null(strstr(buf_borrow_str(&text), "5 histories from seed 11"));
    args.json = "true";
    cr_assert(shown(&args, &text, &err));
    cr_assert_not_null(strstr(buf_borrow_str(&text), "\"histories\":[]"));
    cr_assert_not_null(strstr(buf_borrow_str(&text), "\"first_seed\":11,\"seeds\":5,\"failed\":0"));
}

Test(selftest, one_seed_alone_is_played_and_its_trace_is_shown_when_asked)
{
    struct err err;
    CLEANUP(buf_fini) struct buf text = { 0 };
    struct args args = { .seed = "11", .trace = "true" };
    cr_assert(shown(&args, &text, &err), "%s", err.msg);
    cr_assert_not_null(strstr(buf_borrow_str(&text), "seed 11: holds"));
    cr_assert_not_null(strstr(buf_borrow_str(&text), "takes effect: epoch 1"));
}

Test(selftest, rule_that_is_left_out_is_corrupt_with_its_seed_and_trace)
{
    struct err err = { 0 };
    CLEANUP(buf_fini) struct buf text = { 0 };
    struct args args = { .seeds = "40", .defect = "nonce" };
    cr_assert_not(shown(&args, &text, &err));
    cr_assert_eq(err.kind, ERR_CORRUPT);
    cr_assert_not_null(strstr(err.msg, "; seed "));
    cr_assert_not_null(strstr(buf_borrow_str(&text), "VIOLATED"));
}

Test(selftest, options_that_make_no_sense_are_invalid)
{
    struct args rows[] = { { .seed = "-1" },      { .seed = "" },
                           { .seeds = "0" },      { .seeds = "ten" },
                           { .defect = "clock" }, { .seed = "99999999999999999999999" } };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct err err = { 0 };
        cr_assert_not(cmd_selftest(&rows[i], &err));
        cr_assert_eq(err.kind, ERR_INVALID);
    }
}
