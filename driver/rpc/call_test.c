#include "driver/rpc/call.h"

#include "driver/rpc/world_test.h"

#include <criterion/criterion.h>
#include <string.h>

struct app {
    struct world w;
    struct rpc_call *call;
    int ended, ready;
};

static void on_end(void *arg) { ((struct app *)arg)->ended++; }
static void on_ready(void *arg) { ((struct app *)arg)->ready++; }

static void long_error(void *arg, struct rpc_call *call, struct view request)
{
    (void)arg;
    (void)request;
    char text[4 * RPC_STATUS_TEXT_MAX];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    rpc_call_end(call, &(struct rpc_status){ RPC_UNKNOWN, text, { 0 } });
}

static void hold_stream(void *arg, struct rpc_call *call, struct view request)
{
    (void)request;
    struct app *app = arg;
    app->call = call;
    rpc_call_hold(call, &(struct rpc_hold){ on_end, on_ready, app });
    loop_quit(app->w.loop);
}

static void end_when_ready(void *arg)
{
    struct app *app = arg;
    app->ready++;
    rpc_call_end(app->call, &(struct rpc_status){ RPC_OK, "", { 0 } });
}

static void send_then_end(void *arg, struct rpc_call *call, struct view request)
{
    struct app *app = arg;
    app->call = call;
    rpc_call_send(call, request);
    rpc_call_hold(call, &(struct rpc_hold){ on_end, end_when_ready, app });
}

static const struct rpc_method methods[] = {
    { "/test.Test/Long", RPC_UNARY, long_error },
    { "/test.Test/Stream", RPC_STREAM, hold_stream },
    { "/test.Test/SendThenEnd", RPC_STREAM, send_then_end },
};

static void init(struct app *app)
{
    memset(app, 0, sizeof(*app));
    world_init(&app->w);
    world_serve(&app->w,
                &(struct rpc_server_spec){ methods, sizeof(methods) / sizeof(*methods), app });
}

Test(call, cuts_a_long_status_text)
{
    struct app app;
    struct seen seen;
    init(&app);
    world_ask(&app.w, "/test.Test/Long", view_str("x"), &seen);
    cr_assert_eq(seen.code, RPC_UNKNOWN);
    cr_assert_eq(strlen(seen.text), RPC_STATUS_TEXT_MAX);
    seen_fini(&seen);
    world_fini(&app.w);
}

Test(call, may_end_inside_on_ready)
{
    struct app app;
    struct seen seen;
    init(&app);
    struct rpc_events events = seen_events(&app.w, &seen);
    (void)rpc_client_stream(app.w.client, "/test.Test/SendThenEnd", view_str("x"), &events);
    while (seen.ends == 0)
        loop_run(app.w.loop);
    cr_assert_eq(seen.messages, 1);
    cr_assert_eq(app.ready, 1);
    cr_assert_eq(app.ended, 0);
    seen_fini(&seen);
    world_fini(&app.w);
}

Test(call, of_a_vanished_peer_ends_with_a_message_on_its_way)
{
    struct app app;
    struct seen seen;
    init(&app);
    struct rpc_events events = seen_events(&app.w, &seen);
    (void)rpc_client_stream(app.w.client, "/test.Test/Stream", view_str("x"), &events);
    while (app.call == NULL)
        loop_run(app.w.loop);
    rpc_call_send(app.call, view_str("unread"));
    rpc_client_free(app.w.client);
    app.w.client = NULL;
    while (app.ended == 0) {
        loop_post(app.w.loop, world_quit, &app.w);
        loop_run(app.w.loop);
    }
    cr_assert_eq(app.ended, 1);
    seen_fini(&seen);
    world_fini(&app.w);
}
