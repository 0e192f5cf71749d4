#include "driver/exec/environ.h"

#include <criterion/criterion.h>

#include "common/base/own.h"

static const char nomads[] = "A=1\0AGENT_API=/other\0AGENT_EPOCH=9\0PATH=/bin"; /* and a NUL */

static struct environ_in sample(struct buf *env)
{
    buf_put(env, view_of(nomads, sizeof(nomads)));
    return (struct environ_in){ .env = env, .env_count = 4 };
}

Test(environ, without_a_sidecar_it_is_nomads_without_our_names)
{
    CLEANUP(buf_fini) struct buf env = { 0 };
    CLEANUP(environ_fini) struct environ got = { 0 };
    const struct environ_in in = sample(&env);
    environ_fill(&in, &got);
    cr_expect_str_eq(got.list[0], "A=1");
    cr_expect_str_eq(got.list[1], "PATH=/bin");
    cr_expect_null(got.list[2]);
}

Test(environ, with_a_sidecar_ours_win)
{
    CLEANUP(buf_fini) struct buf env = { 0 };
    CLEANUP(environ_fini) struct environ got = { 0 };
    struct environ_in in = sample(&env);
    in.agent_name = "default/job";
    in.api_path = "/run/a.api";
    in.state_path = "/t/local";
    in.epoch = 7;
    in.term = "xterm";
    environ_fill(&in, &got);
    static const char *const wanted[] = { "A=1",
                                          "PATH=/bin",
                                          "AGENT_NAME=default/job",
                                          "AGENT_API=/run/a.api",
                                          "AGENT_STATE_DIR=/t/local",
                                          "AGENT_EPOCH=7",
                                          "TERM=xterm" };
    for (size_t i = 0; i < COUNT(wanted); i++)
        cr_expect_str_eq(got.list[i], wanted[i]);
    cr_expect_null(got.list[COUNT(wanted)]);
}

Test(environ, a_term_of_nomads_stays)
{
    CLEANUP(buf_fini) struct buf env = { 0 };
    CLEANUP(environ_fini) struct environ got = { 0 };
    buf_put(&env, view_of("TERM=vt100\0", 11));
    environ_fill(&(struct environ_in){ .env = &env, .env_count = 1, .term = "xterm" }, &got);
    cr_expect_str_eq(got.list[0], "TERM=vt100");
    cr_expect_null(got.list[1]);
}

Test(environ, an_empty_one_is_a_list_of_none)
{
    struct buf env = { 0 };
    CLEANUP(environ_fini) struct environ got = { 0 };
    environ_fill(&(struct environ_in){ .env = &env }, &got);
    cr_expect_null(got.list[0]);
    cr_expect_null(environ_value(&env, 0, "PATH"));
}

Test(environ, a_value_is_found_by_its_whole_name)
{
    CLEANUP(buf_fini) struct buf env = { 0 };
    buf_put(&env, view_of(nomads, sizeof(nomads)));
    cr_expect_str_eq(environ_value(&env, 4, "PATH"), "/bin");
    cr_expect_null(environ_value(&env, 4, "PAT"));
    cr_expect_null(environ_value(&env, 4, "PATHS"));
}
