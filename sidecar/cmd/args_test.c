#include "sidecar/cmd/args.h"

#include "common/base/own.h"

#include <criterion/criterion.h>

static const struct command listing = {
    .name = "list",
    .summary = "List checkpoints",
    .options = ARG_BIT(store) | ARG_BIT(name) | ARG_BIT(json) | ARG_BIT(timeout),
};
static const struct command running = {
    .name = "run", .rest = "-- COMMAND [ARGUMENTS]", .summary = "Run", .options = ARG_BIT(config)
};

#define ARGV(...) ((char *const[]){ __VA_ARGS__ __VA_OPT__(, ) NULL })

Test(args, both_dashes_and_both_ways_to_give_a_value_are_the_same)
{
    struct args args;
    struct err err;
    cr_assert(args_read(&listing, ARGV("-store=a", "--name", "b", "--json"), &args, &err));
    cr_assert_str_eq(args.store, "a");
    cr_assert_str_eq(args.name, "b");
    cr_assert_not_null(args.json);
    cr_assert_eq(args.rest_count, 0);
    cr_assert(args_read(&listing, ARGV("--store=x=y", "-name", "-b"), &args, &err));
    cr_assert_str_eq(args.store, "x=y");
    cr_assert_str_eq(args.name, "-b");
    cr_assert_null(args.json);
}

Test(args, command_behind_two_dashes_is_left_alone)
{
    struct args args;
    struct err err;
    char *const dashed[] = { "-config=f", "--", "-x", "--json", NULL };
    char *const plain[] = { "-config=f", "sh", "-c", NULL };
    cr_assert(args_read(&running, dashed, &args, &err));
    cr_assert_eq(args.rest_count, 2);
    cr_assert_str_eq(args.rest[0], "-x");
    cr_assert(args_read(&running, plain, &args, &err));
    cr_assert_eq(args.rest_count, 2);
}

static void refuses(char *const *argv, const char *part)
{
    struct args args;
    struct err err = { 0 };
    cr_assert_not(args_read(&listing, argv, &args, &err));
    cr_assert_eq(err.kind, ERR_INVALID);
    cr_assert_not_null(strstr(err.msg, part), "%s", err.msg);
}

Test(args, what_is_wrong_is_named)
{
    refuses(ARGV("-stor=a"), "perhaps \"-store\"");
    refuses(ARGV("-zzz"), "see -help");
    refuses(ARGV("-config=f"), "unknown option \"-config\"");
    refuses(ARGV("-store"), "needs a value: URL");
    refuses(ARGV("-store="), "needs a value: URL");
    refuses(ARGV("-json=1"), "takes no value");
    refuses(ARGV("-store=a", "--store=b"), "given twice");
    refuses(ARGV("-store=a", "extra"), "unexpected word \"extra\"");
    refuses(ARGV("-"), "unexpected word");
}

Test(args, help_lists_only_what_the_command_takes)
{
    struct args args;
    struct err err;
    CLEANUP(buf_fini) struct buf out = { 0 };
    cr_assert(args_read(&listing, ARGV("-help", "-zzz"), &args, &err) && args.is_help);
    args_put_help(&out, "agent-sidecar", &listing);
    const char *text = buf_borrow_str(&out);
    cr_assert_not_null(strstr(text, "-store=URL"));
    cr_assert_not_null(strstr(text, "  -json  "));
    cr_assert_null(strstr(text, "-config"));
}

Test(args, timeout_is_a_duration_above_zero)
{
    struct args args = { 0 };
    struct err err;
    int64_t ms;
    cr_assert(args_timeout_ms(&args, 5, &ms, &err) && ms == 5);
    args.timeout = "2s";
    cr_assert(args_timeout_ms(&args, 5, &ms, &err) && ms == 2000);
    args.timeout = "0";
    cr_assert_not(args_timeout_ms(&args, 5, &ms, &err));
    args.timeout = "soon";
    cr_assert_not(args_timeout_ms(&args, 5, &ms, &err));
}
