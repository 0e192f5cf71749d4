#include "driver/plugin/answer.h"

#include "common/base/own.h"
#include "driver/rpc/world_test.h"

#include <criterion/criterion.h>

static struct answer *newest;

static void keep(void *arg, struct rpc_call *call, struct view request)
{
    (void)request;
    newest = answer_new(call, STATUS_OTHER);
    world_quit(arg);
}

static const struct rpc_method methods[] = { { "/test.Test/Keep", RPC_UNARY, keep } };

static struct rpc_request *ask(struct world *w, struct seen *seen)
{
    world_init(w);
    world_serve(w, &(struct rpc_server_spec){ methods, 1, w });
    struct rpc_events events = seen_events(w, seen);
    struct rpc_request *request = rpc_client_call(w->client, "/test.Test/Keep", view_of("", 0), 0,
                                                  &events);
    while (newest == NULL)
        loop_run(w->loop);
    return request;
}

static void wait_end(struct world *w, struct seen *seen)
{
    while (seen->ends == 0)
        loop_run(w->loop);
    seen_fini(seen);
    world_fini(w);
}

Test(answer, is_empty_when_done)
{
    struct world w;
    struct seen seen;
    (void)ask(&w, &seen);
    answer_done(newest, NULL);
    wait_end(&w, &seen);
    cr_assert_eq(seen.code, RPC_OK);
    cr_assert_eq(seen.messages, 1);
}

Test(answer, is_a_status_when_it_failed)
{
    struct world w;
    struct seen seen;
    struct err err;
    (void)ask(&w, &seen);
    err_set(&err, ERR_NOT_FOUND, "find it: not there");
    answer_done(newest, &err);
    wait_end(&w, &seen);
    cr_assert_eq(seen.code, RPC_NOT_FOUND);
    cr_assert_str_eq(seen.text, "find it: not there");
}

Test(answer, goes_nowhere_when_nobody_waits)
{
    struct world w;
    struct seen seen;
    rpc_request_cancel(ask(&w, &seen));
    while (newest->call != NULL) {
        loop_post(w.loop, world_quit, &w);
        loop_run(w.loop);
    }
    answer_send(newest, view_str("late"));
    world_fini(&w);
    cr_assert_eq(seen.ends + seen.messages, 0);
}
