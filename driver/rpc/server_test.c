#include "driver/rpc/server.h"

#include "driver/rpc/chat_test.h"
#include "driver/rpc/world_test.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <string.h>
#include <sys/socket.h>

#define MAX_HELD 64

struct service {
    struct world w;
    struct rpc_call *held[MAX_HELD];
    int held_count, ended, ready;
    int quit_at_held;
    int inputs, input_ends; /* of talks */
    bool is_patient;        /* they do not ask for the next message by themselves */
    struct buf heard;
};

static void echo(void *arg, struct rpc_call *call, struct view request)
{
    (void)arg;
    rpc_call_reply(call, request);
}

static void measure(void *arg, struct rpc_call *call, struct view request)
{
    (void)arg;
    char text[32];
    snprintf(text, sizeof(text), "%zu", request.len);
    rpc_call_reply(call, view_str(text));
}

static void fail_with_details(void *arg, struct rpc_call *call, struct view request)
{
    (void)arg;
    (void)request;
    struct rpc_status status = { RPC_FAILED_PRECONDITION, "caf\xc3\xa9 \xff\n\"%41\"",
                                 view_of("\0\x01\xff", 3) };
    rpc_call_end(call, &status);
}

static void held_ended(void *arg) { ((struct service *)arg)->ended++; }
static void held_ready(void *arg) { ((struct service *)arg)->ready++; }

static void keep(struct service *service, struct rpc_call *call)
{
    service->held[service->held_count++] = call;
    if (service->held_count == service->quit_at_held)
        loop_quit(service->w.loop);
}

static void hold(void *arg, struct rpc_call *call, struct view request)
{
    (void)request;
    rpc_call_hold(call, &(struct rpc_hold){ held_ended, NULL, arg });
    keep(arg, call);
}

static void stream(void *arg, struct rpc_call *call, struct view request)
{
    rpc_call_send(call, request);
    cr_assert_not(rpc_call_is_ready(call));
    rpc_call_hold(call, &(struct rpc_hold){ held_ended, held_ready, arg });
    keep(arg, call);
}

static void silent(void *arg, struct rpc_call *call, struct view request)
{
    cr_assert_eq(request.len, 0);
    rpc_call_hold(call, &(struct rpc_hold){ held_ended, NULL, arg });
    keep(arg, call);
}

/* Answers each message with itself and asks for the next one. */
static void on_input(void *arg, const struct view *message)
{
    struct service *service = arg;
    struct rpc_call *call = service->held[service->held_count - 1];
    if (message == NULL) {
        service->input_ends++;
        return;
    }
    service->inputs++;
    service->heard.len = 0;
    buf_put(&service->heard, *message);
    if (rpc_call_is_ready(call) && message->len < 64)
        rpc_call_send(call, *message);
    if (!service->is_patient)
        rpc_call_receive(call, on_input);
}

static void talk(void *arg, struct rpc_call *call, struct view request)
{
    cr_assert_eq(request.len, 0);
    rpc_call_hold(call, &(struct rpc_hold){ held_ended, held_ready, arg });
    keep(arg, call);
    rpc_call_receive(call, on_input);
}

static const struct rpc_method methods[] = {
    { "/test.Test/Talk", RPC_TALK, talk },
    { "/test.Test/Echo", RPC_UNARY, echo },
    { "/test.Test/Measure", RPC_UNARY, measure },
    { "/test.Test/Fail", RPC_UNARY, fail_with_details },
    { "/test.Test/Hold", RPC_UNARY, hold },
    { "/test.Test/Stream", RPC_STREAM, stream },
    { "/test.Test/Silent", RPC_DUPLEX, silent },
};

static void service_init(struct service *service)
{
    memset(service, 0, sizeof(*service));
    world_init(&service->w);
    world_serve(&service->w,
                &(struct rpc_server_spec){ methods, sizeof(methods) / sizeof(*methods), service });
}

/* Opens a stream or a call that stays, and waits until the server holds it. */
static struct rpc_request *open_held(struct service *service, const char *path, bool is_stream,
                                     struct seen *seen)
{
    struct rpc_events events = seen_events(&service->w, seen);
    service->quit_at_held = service->held_count + 1;
    struct rpc_request *request = is_stream ? rpc_client_stream(service->w.client, path,
                                                                view_str("first"), &events)
                                            : rpc_client_call(service->w.client, path,
                                                              view_str("x"), 0, &events);
    while (service->held_count < service->quit_at_held)
        loop_run(service->w.loop);
    return request;
}

static void run_until(struct service *service, const int *value, int at_least)
{
    while (*value < at_least) { /* one turn at a time: the callbacks here do not all quit */
        loop_post(service->w.loop, world_quit, &service->w);
        loop_run(service->w.loop);
    }
}

static void run_until_idle(struct service *service)
{
    while (rpc_server_calls(service->w.server) > 0) {
        loop_post(service->w.loop, world_quit, &service->w);
        loop_run(service->w.loop);
    }
}

static int descriptors(void)
{
    int count = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count;
}

Test(server, answers_a_unary_call_with_the_same_bytes)
{
    struct service s;
    struct seen seen;
    service_init(&s);
    world_ask(&s.w, "/test.Test/Echo", view_of("a\0b", 3), &seen);
    cr_assert_eq(seen.code, RPC_OK);
    cr_assert(view_is_equal(buf_view(&seen.last), view_of("a\0b", 3)));
    seen_fini(&seen);
    world_ask(&s.w, "/test.Test/Echo", view_of("", 0), &seen);
    cr_assert_eq(seen.code, RPC_OK);
    cr_assert_eq(seen.messages, 1);
    cr_assert_eq(seen.last.len, 0);
    seen_fini(&seen);
    world_fini(&s.w);
}

Test(server, carries_status_text_and_details)
{
    struct service s;
    struct seen seen;
    service_init(&s);
    world_ask(&s.w, "/test.Test/Fail", view_str("x"), &seen);
    cr_assert_eq(seen.code, RPC_FAILED_PRECONDITION);
    cr_assert_eq(seen.messages, 0);
    cr_assert_str_eq(seen.text, "caf\xc3\xa9 \xef\xbf\xbd\n\"%41\"");
    cr_assert(view_is_equal(buf_view(&seen.details), view_of("\0\x01\xff", 3)));
    seen_fini(&seen);
    world_fini(&s.w);
}

Test(server, answers_unknown_methods_with_unimplemented_again_and_again)
{
    struct service s;
    struct seen seen;
    service_init(&s);
    for (int i = 0; i < 5; i++) {
        world_ask(&s.w, "/other.Service/Method", view_str("x"), &seen);
        cr_assert_eq(seen.code, RPC_UNIMPLEMENTED);
        cr_assert_not_null(strstr(seen.text, "/other.Service/Method"));
        seen_fini(&seen);
    }
    world_ask(&s.w, "/test.Test/Echo", view_str("still there"), &seen);
    cr_assert_eq(seen.code, RPC_OK);
    seen_fini(&seen);
    world_fini(&s.w);
}

Test(server, takes_a_large_message_and_refuses_one_beyond_the_limit)
{
#ifdef __SANITIZE_THREAD__ /* it looks at each 8 bytes that the library sends, for minutes */
    cr_skip_test("too slow under ThreadSanitizer");
#endif
    struct service s;
    struct seen seen;
    service_init(&s);
    size_t len = 5 << 20;
    char *bytes = calloc(1, RPC_MESSAGE_BYTES_MAX + 1);
    world_ask(&s.w, "/test.Test/Measure", view_of(bytes, len), &seen);
    cr_assert_eq(seen.code, RPC_OK);
    cr_assert(view_is_equal(buf_view(&seen.last), view_str("5242880")));
    seen_fini(&seen);
    world_ask(&s.w, "/test.Test/Measure", view_of(bytes, RPC_MESSAGE_BYTES_MAX + 1), &seen);
    cr_assert_eq(seen.code, RPC_RESOURCE_EXHAUSTED);
    seen_fini(&seen);
    world_ask(&s.w, "/test.Test/Echo", view_str("still there"), &seen);
    cr_assert_eq(seen.code, RPC_OK);
    seen_fini(&seen);
    free(bytes);
    world_fini(&s.w);
}

Test(server, tells_the_holder_when_the_peer_cancels)
{
    struct service s;
    struct seen seen;
    service_init(&s);
    struct rpc_request *request = open_held(&s, "/test.Test/Hold", false, &seen);
    cr_assert_eq(rpc_server_calls(s.w.server), 1);
    rpc_request_cancel(request);
    run_until(&s, &s.ended, 1);
    run_until_idle(&s);
    cr_assert_eq(seen.ends, 0);
    cr_assert_eq(rpc_server_calls(s.w.server), 0);
    seen_fini(&seen);
    world_fini(&s.w);
    cr_assert_eq(s.ended, 1);
}

Test(server, answers_a_held_call_later_and_tells_nobody_that_it_ended)
{
    struct service s;
    struct seen seen;
    service_init(&s);
    (void)open_held(&s, "/test.Test/Hold", false, &seen);
    rpc_call_reply(s.held[0], view_str("late"));
    run_until(&s, &seen.ends, 1);
    cr_assert_eq(seen.code, RPC_OK);
    cr_assert(view_is_equal(buf_view(&seen.last), view_str("late")));
    run_until_idle(&s);
    cr_assert_eq(s.ended, 0);
    seen_fini(&seen);
    world_fini(&s.w);
    cr_assert_eq(s.ended, 0);
}

Test(server, streams_one_message_at_a_time_and_says_when_the_next_may_go)
{
    struct service s;
    struct seen seen;
    service_init(&s);
    (void)open_held(&s, "/test.Test/Stream", true, &seen);
    for (int i = 1; i <= 50; i++) {
        run_until(&s, &s.ready, i);
        cr_assert(rpc_call_is_ready(s.held[0]));
        rpc_call_send(s.held[0], view_str("next"));
        cr_assert_not(rpc_call_is_ready(s.held[0]));
    }
    run_until(&s, &seen.messages, 51);
    rpc_call_end(s.held[0], &(struct rpc_status){ RPC_OK, "", { 0 } });
    run_until(&s, &seen.ends, 1);
    cr_assert_eq(seen.code, RPC_OK);
    cr_assert_eq(seen.messages, 51);
    seen_fini(&seen);
    world_fini(&s.w);
    cr_assert_eq(s.ended, 0);
}

Test(server, ends_a_stream_behind_the_message_that_is_on_its_way)
{
    struct service s;
    struct seen seen;
    service_init(&s);
    (void)open_held(&s, "/test.Test/Stream", true, &seen);
    run_until(&s, &s.ready, 1);
    rpc_call_send(s.held[0], view_str("last words"));
    rpc_call_end(s.held[0], &(struct rpc_status){ RPC_NOT_FOUND, "gone", { 0 } });
    run_until(&s, &seen.ends, 1);
    cr_assert_eq(seen.messages, 2);
    cr_assert(view_is_equal(buf_view(&seen.last), view_str("last words")));
    cr_assert_eq(seen.code, RPC_NOT_FOUND);
    seen_fini(&seen);
    world_fini(&s.w);
}

Test(server, keeps_a_duplex_call_open_and_silent_until_the_peer_cancels)
{
    struct service s;
    struct seen seen, other;
    service_init(&s);
    struct rpc_request *request = open_held(&s, "/test.Test/Silent", true, &seen);
    world_ask(&s.w, "/test.Test/Echo", view_str("x"), &other);
    cr_assert_eq(other.code, RPC_OK);
    cr_assert_eq(seen.messages + seen.ends + s.ended, 0);
    rpc_request_cancel(request);
    run_until(&s, &s.ended, 1);
    seen_fini(&other);
    seen_fini(&seen);
    world_fini(&s.w);
}

Test(server, survives_a_hundred_connections_without_a_byte)
{
    struct service s;
    struct seen seen;
    service_init(&s);
    world_ask(&s.w, "/test.Test/Echo", view_str("x"), &seen);
    seen_fini(&seen);
    int before = descriptors();
    for (int i = 0; i < 100; i++) {
        struct err err;
        struct fd probe = FD_NONE;
        while (!socket_connect(s.w.path, &probe, &err)) { /* the backlog is full */
            cr_assert_eq(err.os_errno, EAGAIN, "%s", err.msg);
            loop_post(s.w.loop, world_quit, &s.w);
            loop_run(s.w.loop);
        }
        fd_closep(&probe);
        loop_post(s.w.loop, world_quit, &s.w);
        loop_run(s.w.loop);
    }
    while (descriptors() > before) { /* the library closes in its own time; the guard is 60 s */
        world_ask(&s.w, "/test.Test/Echo", view_str("x"), &seen);
        cr_assert_eq(seen.code, RPC_OK);
        seen_fini(&seen);
    }
    world_fini(&s.w);
}

Test(server, survives_bytes_that_are_not_http2)
{
    struct service s;
    struct seen seen;
    service_init(&s);
    struct err err;
    CLEANUP(fd_closep) struct fd foe = FD_NONE;
    cr_assert(socket_connect(s.w.path, &foe, &err));
    cr_assert(fd_write_all(foe.raw, "GET / HTTP/1.1\r\n\r\n", 18, &err));
    for (int i = 0; i < 20; i++) {
        world_ask(&s.w, "/test.Test/Echo", view_str("x"), &seen);
        cr_assert_eq(seen.code, RPC_OK);
        seen_fini(&seen);
    }
    world_fini(&s.w);
}

Test(server, stops_with_calls_outstanding_and_tells_both_sides)
{
    struct service s;
    struct seen call, streaming;
    service_init(&s);
    (void)open_held(&s, "/test.Test/Hold", false, &call);
    (void)open_held(&s, "/test.Test/Stream", true, &streaming);
    rpc_server_stop(s.w.server, 100, world_server_stopped, &s.w);
    cr_assert_eq(s.ended, 2);
    while (!s.w.is_server_stopped)
        loop_run(s.w.loop);
    run_until(&s, &call.ends, 1);
    run_until(&s, &streaming.ends, 1);
    cr_assert_eq(call.code, RPC_UNAVAILABLE);
    cr_assert_eq(streaming.code, RPC_UNAVAILABLE);
    seen_fini(&call);
    seen_fini(&streaming);
    world_fini(&s.w);
    cr_assert_eq(s.ended, 2);
}

static void reply_and_stop(void *arg, struct rpc_call *call, struct view request)
{
    (void)request;
    struct service *s = arg;
    rpc_call_reply(call, view_str("bye"));
    rpc_server_stop(s->w.server, 100, world_server_stopped, &s->w);
}

Test(server, lets_the_reply_to_the_call_that_stops_it_leave)
{
    static const struct rpc_method stopping[] = { { "/test.Test/Stop", RPC_UNARY,
                                                    reply_and_stop } };
    struct service s;
    struct seen seen;
    memset(&s, 0, sizeof(s));
    world_init(&s.w);
    world_serve(&s.w, &(struct rpc_server_spec){ stopping, 1, &s });
    world_ask(&s.w, "/test.Test/Stop", view_str("x"), &seen);
    cr_assert_eq(seen.code, RPC_OK);
    cr_assert(view_is_equal(buf_view(&seen.last), view_str("bye")));
    while (!s.w.is_server_stopped)
        loop_run(s.w.loop);
    seen_fini(&seen);
    world_fini(&s.w);
}

Test(server, does_not_wait_for_a_peer_that_never_closes)
{
    struct service s;
    service_init(&s);
    struct err err;
    CLEANUP(fd_closep) struct fd deaf = FD_NONE;
    cr_assert(socket_connect(s.w.path, &deaf, &err));
    struct seen seen;
    world_ask(&s.w, "/test.Test/Echo", view_str("x"), &seen); /* so that it was accepted */
    seen_fini(&seen);
    struct mono before = mono_now();
    rpc_server_stop(s.w.server, 100, world_server_stopped, &s.w);
    while (!s.w.is_server_stopped)
        loop_run(s.w.loop);
    cr_assert_lt(mono_diff_us(mono_now(), before), 5000000);
    world_fini(&s.w);
}

Test(server, serves_a_second_connection_beside_and_after_the_first)
{
    struct service s;
    struct seen seen;
    struct err err;
    service_init(&s);
    struct rpc_client *first = s.w.client;
    world_ask(&s.w, "/test.Test/Echo", view_str("one"), &seen);
    seen_fini(&seen);
    cr_assert(rpc_client_open(s.w.rpc, s.w.path, &s.w.client, &err));
    world_ask(&s.w, "/test.Test/Echo", view_str("two"), &seen);
    cr_assert_eq(seen.code, RPC_OK);
    seen_fini(&seen);
    rpc_client_free(first);
    world_ask(&s.w, "/test.Test/Echo", view_str("three"), &seen);
    cr_assert_eq(seen.code, RPC_OK);
    seen_fini(&seen);
    world_fini(&s.w);
}

/* A talk that the server holds. */
static void talk_open(struct service *service, struct chat *chat)
{
    service->quit_at_held = service->held_count + 1;
    chat_open(chat, service->w.rpc, service->w.path, "/test.Test/Talk");
    while (service->held_count < service->quit_at_held)
        loop_run(service->w.loop);
}

static void talk_say(struct service *service, struct chat *chat, struct view message)
{
    while (chat->is_sending) {
        loop_post(service->w.loop, world_quit, &service->w);
        loop_run(service->w.loop);
    }
    chat_send(chat, message);
}

static void talk_close(struct service *service, struct chat *chat)
{
    while (!chat_is_idle(chat)) {
        loop_post(service->w.loop, world_quit, &service->w);
        loop_run(service->w.loop);
    }
    chat_fini(chat);
    buf_fini(&service->heard);
    world_fini(&service->w);
}

static void run_until_counted(struct service *service, const size_t *value, size_t at_least)
{
    while (*value < at_least) {
        loop_post(service->w.loop, world_quit, &service->w);
        loop_run(service->w.loop);
    }
}

Test(server, gives_each_message_of_a_talk_that_was_asked_for_and_answers_meanwhile)
{
    struct service s;
    struct chat chat = { 0 };
    service_init(&s);
    talk_open(&s, &chat);
    for (int i = 1; i <= 20; i++) {
        char text[24];
        snprintf(text, sizeof(text), "word %d", i);
        talk_say(&s, &chat, view_str(text));
        run_until(&s, &s.inputs, i);
        cr_assert(view_is_equal(buf_view(&s.heard), view_str(text)));
        run_until_counted(&s, &chat.messages, (size_t)i);
        run_until(&s, &s.ready, i);
    }
    rpc_call_end(s.held[0], &(struct rpc_status){ RPC_OK, "", { 0 } });
    while (!chat.has_ended) {
        loop_post(s.w.loop, world_quit, &s.w);
        loop_run(s.w.loop);
    }
    cr_assert_eq(chat.code, GRPC_STATUS_OK);
    cr_assert_eq(s.ended, 0);
    talk_close(&s, &chat);
}

Test(server, tells_a_talk_that_its_peer_says_no_more)
{
    struct service s;
    struct chat chat = { 0 };
    service_init(&s);
    talk_open(&s, &chat);
    talk_say(&s, &chat, view_str(""));
    run_until(&s, &s.inputs, 1);
    while (chat.is_sending) {
        loop_post(s.w.loop, world_quit, &s.w);
        loop_run(s.w.loop);
    }
    chat_half_close(&chat);
    run_until(&s, &s.input_ends, 1);
    cr_assert_eq(s.ended, 0);
    rpc_call_end(s.held[0], &(struct rpc_status){ RPC_NOT_FOUND, "no", { 0 } });
    talk_close(&s, &chat);
}

Test(server, leaves_with_the_peer_what_a_talk_has_not_asked_for)
{
    struct service s;
    struct chat chat = { 0 };
    service_init(&s);
    s.is_patient = true;
    talk_open(&s, &chat);
    size_t len = 1 << 20;
    char *bytes = calloc(1, len);
    for (int i = 0; i < 3; i++) /* the first was asked for; the window holds less than the rest */
        talk_say(&s, &chat, i == 0 ? view_str("x") : view_of(bytes, len));
    run_until(&s, &s.inputs, 1);
    for (int i = 0; i < 200; i++) {
        loop_post(s.w.loop, world_quit, &s.w);
        loop_run(s.w.loop);
    }
    cr_assert(chat.is_sending, "the peer must be kept waiting");
    cr_assert_eq(s.inputs, 1);
    for (int i = 2; i <= 3; i++) {
        rpc_call_receive(s.held[0], on_input);
        run_until(&s, &s.inputs, i);
        cr_assert_eq(s.heard.len, len);
    }
    free(bytes);
    rpc_call_end(s.held[0], &(struct rpc_status){ RPC_OK, "", { 0 } });
    talk_close(&s, &chat);
}

Test(server, ends_a_talk_once_when_its_peer_cancels_while_it_listens)
{
    struct service s;
    struct chat chat = { 0 };
    service_init(&s);
    talk_open(&s, &chat);
    chat_cancel(&chat);
    run_until(&s, &s.ended, 1);
    run_until_idle(&s);
    cr_assert_eq(s.ended, 1);
    cr_assert_eq(s.inputs, 0);
    talk_close(&s, &chat);
}

Test(server, stops_under_a_talk_that_listens)
{
    struct service s;
    struct chat chat = { 0 };
    service_init(&s);
    talk_open(&s, &chat);
    rpc_server_stop(s.w.server, 100, world_server_stopped, &s.w);
    cr_assert_eq(s.ended, 1);
    while (!s.w.is_server_stopped)
        loop_run(s.w.loop);
    talk_close(&s, &chat);
    cr_assert_eq(chat.code, GRPC_STATUS_UNAVAILABLE);
}
