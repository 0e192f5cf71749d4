#include "driver/rpc/client.h"

#include "driver/rpc/world_test.h"

#include <criterion/criterion.h>

static void echo(void *arg, struct rpc_call *call, struct view request)
{
    (void)arg;
    rpc_call_reply(call, request);
}
static void forget(void *arg) { (void)arg; }
static void hold(void *arg, struct rpc_call *call, struct view request)
{
    (void)request;
    rpc_call_hold(call, &(struct rpc_hold){ forget, NULL, arg });
}
static void end_well(void *arg, struct rpc_call *call, struct view request)
{
    (void)arg;
    (void)request;
    rpc_call_end(call, &(struct rpc_status){ RPC_OK, "", { 0 } });
}
static void send_one(void *arg, struct rpc_call *call, struct view request)
{
    rpc_call_send(call, request);
    rpc_call_hold(call, &(struct rpc_hold){ forget, NULL, arg });
}

static const struct rpc_method methods[] = {
    { "/test.Test/Echo", RPC_UNARY, echo },      { "/test.Test/Hold", RPC_UNARY, hold },
    { "/test.Test/Empty", RPC_UNARY, end_well }, { "/test.Test/Ended", RPC_STREAM, end_well },
    { "/test.Test/One", RPC_STREAM, send_one },
};

static void init(struct world *w)
{
    world_init(w);
    world_serve(w, &(struct rpc_server_spec){ methods, sizeof(methods) / sizeof(*methods), w });
}

Test(client, says_when_nobody_listens)
{
    struct world w;
    struct err err;
    world_init(&w);
    cr_assert_not(rpc_client_open(w.rpc, w.path, &w.client, &err));
    cr_assert_eq(err.kind, ERR_NOT_FOUND);
    world_fini(&w);
}

Test(client, gives_up_at_the_deadline)
{
    struct world w;
    struct seen seen;
    init(&w);
    struct rpc_events events = seen_events(&w, &seen);
    (void)rpc_client_call(w.client, "/test.Test/Hold", view_str("x"), 50, &events);
    while (seen.ends == 0)
        loop_run(w.loop);
    cr_assert_eq(seen.code, RPC_DEADLINE_EXCEEDED);
    seen_fini(&seen);
    world_fini(&w);
}

Test(client, treats_success_without_a_reply_as_an_error)
{
    struct world w;
    struct seen seen;
    init(&w);
    world_ask(&w, "/test.Test/Empty", view_str("x"), &seen);
    cr_assert_eq(seen.code, RPC_INTERNAL);
    cr_assert_eq(seen.messages, 0);
    seen_fini(&seen);
    world_fini(&w);
}

Test(client, sees_a_stream_end_without_a_message)
{
    struct world w;
    struct seen seen;
    init(&w);
    struct rpc_events events = seen_events(&w, &seen);
    (void)rpc_client_stream(w.client, "/test.Test/Ended", view_str("x"), &events);
    while (seen.ends == 0)
        loop_run(w.loop);
    cr_assert_eq(seen.code, RPC_OK);
    cr_assert_eq(seen.messages, 0);
    seen_fini(&seen);
    world_fini(&w);
}

static void cancel_on_message(void *arg, struct view message)
{
    struct rpc_request **request = arg;
    (void)message;
    rpc_request_cancel(*request);
    *request = NULL;
}
static void never(void *arg, const struct rpc_status *status)
{
    (void)arg;
    cr_assert_fail("a forgotten request ended: %s", status->text);
}

Test(client, cancels_inside_its_own_callback_and_hears_no_more)
{
    struct world w;
    struct seen seen;
    init(&w);
    struct rpc_request *request = NULL;
    struct rpc_events events = { cancel_on_message, never, &request };
    request = rpc_client_stream(w.client, "/test.Test/One", view_str("x"), &events);
    while (request != NULL) {
        world_ask(&w, "/test.Test/Echo", view_str("x"), &seen);
        cr_assert_eq(seen.code, RPC_OK);
        seen_fini(&seen);
    }
    world_fini(&w);
}

Test(client, forgets_open_requests_when_it_is_freed)
{
    struct world w;
    init(&w);
    struct rpc_events events = { NULL, never, NULL };
    for (int i = 0; i < 10; i++)
        (void)rpc_client_call(w.client, "/test.Test/Hold", view_str("x"), 0, &events);
    world_fini(&w);
}

Test(client, ends_unavailable_when_the_peer_goes)
{
    struct world w;
    struct seen seen;
    init(&w);
    struct rpc_events events = seen_events(&w, &seen);
    (void)rpc_client_call(w.client, "/test.Test/Hold", view_str("x"), 0, &events);
    rpc_server_stop(w.server, 100, world_server_stopped, &w);
    while (!w.is_server_stopped || seen.ends == 0)
        loop_run(w.loop);
    cr_assert_eq(seen.code, RPC_UNAVAILABLE);
    seen_fini(&seen);
    world_ask(&w, "/test.Test/Echo", view_str("x"), &seen);
    cr_assert_eq(seen.code, RPC_UNAVAILABLE);
    seen_fini(&seen);
    world_fini(&w);
}
