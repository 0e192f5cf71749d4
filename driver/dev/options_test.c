#include "driver/dev/options.h"

#include "common/base/own.h"

#include <criterion/criterion.h>

#define WORDS(...) ((const char *const[]){ __VA_ARGS__, NULL })

Test(options, every_flag_is_read_in_each_spelling)
{
    struct dev_options o;
    struct err err = { 0 };
    cr_assert(options_parse(WORDS("run", "-nodes=2", "--kill-node=after:5s", "-kill-node",
                                  "2:after:7s", "--partition-node", "1:after:1m", "j.hcl",
                                  "--stop=after:10s", "-timeout=1m", "-store=/s", "--data-dir=/d",
                                  "-meta", "a=b", "-meta=c=d=e", "--env=X=", "-plugin=/p",
                                  "-shim=/h", "-sidecar=/i", "-json"),
                            &o, &err),
              "%s", err.msg);
    cr_assert_eq(o.command, DEV_RUN);
    cr_assert_str_eq(o.job, "j.hcl");
    cr_assert_eq(o.nodes, 2);
    cr_assert_eq(o.fault_count, 3);
    cr_assert_eq(o.faults[0].kind, DEV_KILL);
    cr_assert_eq(o.faults[0].node, 0);
    cr_assert_eq(o.faults[0].after_ms, 5000);
    cr_assert_eq(o.faults[1].node, 2);
    cr_assert_eq(o.faults[2].kind, DEV_PARTITION);
    cr_assert_eq(o.faults[2].after_ms, 60000);
    cr_assert_eq(o.stop_after_ms, 10000);
    cr_assert_eq(o.timeout_ms, 60000);
    cr_assert_str_eq(o.store, "/s");
    cr_assert_str_eq(o.data_dir, "/d");
    cr_assert_str_eq(o.meta[1], "c=d=e");
    cr_assert_eq(o.meta_count, 2);
    cr_assert_null(o.meta[2]);
    cr_assert_str_eq(o.env[0], "X=");
    cr_assert_str_eq(o.plugin, "/p");
    cr_assert_str_eq(o.shim, "/h");
    cr_assert_str_eq(o.sidecar, "/i");
    cr_assert(o.json);
}

Test(options, without_flags_one_node_runs_until_it_ends)
{
    struct dev_options o;
    struct err err = { 0 };
    cr_assert(options_parse(WORDS("validate", "j.hcl"), &o, &err));
    cr_assert_eq(o.command, DEV_VALIDATE);
    cr_assert_eq(o.nodes, 1);
    cr_assert_eq(o.stop_after_ms, -1);
    cr_assert_eq(o.timeout_ms, -1);
    cr_assert(options_parse(WORDS("--help"), &o, &err));
    cr_assert_eq(o.command, DEV_HELP);
    cr_assert(options_parse(WORDS("version"), &o, &err));
    cr_assert_eq(o.command, DEV_VERSION);
}

Test(options, mistakes_name_the_word)
{
    static const struct {
        const char *words[5];
        const char *message;
    } rows[] = {
        { { NULL }, "write agent-dev run JOB.hcl, validate JOB.hcl or help" },
        { { "start" }, "write agent-dev run JOB.hcl, validate JOB.hcl or help" },
        { { "run" }, "run needs a job file" },
        { { "run", "a", "b" }, "unexpected word \"b\"" },
        { { "help", "a" }, "unexpected word \"a\"" },
        { { "run", "-node=2", "a" }, "unknown flag -node; did you mean -nodes?" },
        { { "run", "-zzz", "a" }, "unknown flag -zzz" },
        { { "run", "a", "-nodes" }, "-nodes needs a value: N" },
        { { "run", "a", "-json=1" }, "-json takes no value" },
        { { "run", "a", "-store=" }, "-store: a path must follow" },
        { { "run", "a", "-meta=x" }, "-meta: write NAME=VALUE" },
        { { "run", "a", "-env==x" }, "-env: write NAME=VALUE" },
        { { "run", "a", "-kill-node=5s" },
          "-kill-node: write after:5s, or 1:after:5s for the first node" },
        { { "run", "a", "-stop=5s" }, "-stop: write after:10s" },
        { { "run", "a", "-kill-node=3:after:5s" }, "a fault names node 3, there are 1" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct dev_options o;
        struct err err = { 0 };
        cr_assert_not(options_parse(rows[i].words, &o, &err), "row %zu", i);
        cr_assert_eq(err.kind, ERR_INVALID);
        cr_assert_str_eq(err.msg, rows[i].message);
    }
    struct dev_options o;
    struct err err = { 0 };
    cr_assert_not(options_parse(WORDS("run", "a", "-nodes=10"), &o, &err));
    cr_assert_not(options_parse(WORDS("run", "a", "-timeout=5"), &o, &err));
}

Test(options, faults_and_pairs_are_bounded)
{
    const char *words[80] = { "run", "a" };
    struct dev_options o;
    struct err err = { 0 };
    for (int i = 0; i < 9; i++)
        words[2 + i] = "-kill-node=after:1s";
    cr_assert_not(options_parse(words, &o, &err));
    cr_assert_str_eq(err.msg, "-kill-node: more than 8 faults");
    for (int i = 0; i < 70; i++)
        words[2 + i] = "-env=a=b";
    cr_assert_not(options_parse(words, &o, &err));
    cr_assert_str_eq(err.msg, "-env: more than 63 of them");
}

Test(options, the_usage_names_every_flag)
{
    CLEANUP(buf_fini) struct buf out = { 0 };
    options_put_usage(&out);
    cr_assert_not_null(strstr(buf_borrow_str(&out), "-partition-node=[N:]after:5s"));
}
