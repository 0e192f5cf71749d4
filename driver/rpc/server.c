#include "driver/rpc/server.h"

#include "common/base/own.h"
#include "common/log/log.h"
#include "common/loop/loop.h"
#include "driver/rpc/call.h"
#include "driver/rpc/socket.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <grpc/grpc_posix.h>
#include <grpc/grpc_security.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#define SERVER_MAGIC 0x73657276U /* "serv" */
/* When no descriptor is left for a connection, look again after this long instead of spinning. */
#define ACCEPT_PAUSE_MS 100

/* A second descriptor of a connection that the library owns: the only way to end it by force, and
 * to know when it has ended. */
struct conn {
    struct rpc_server *server;
    struct fd socket;
    struct loop_watch *watch;
    struct conn *next, **link;
};

struct offer_slot { /* one method; the library holds one unfilled call for it at a time */
    const struct rpc_method *method;
    void *registered;
};

struct rpc_server {
    unsigned magic;
    struct rpc *rpc;
    struct rpc_server_spec spec;
    grpc_server *core;
    struct offer_slot *slots; /* spec.count, then one for unknown methods */
    struct fd listener;
    struct loop_watch *watch;
    struct loop_timer *timer; /* accepting again; while stopping: the end of the grace */
    struct conn *conns;
    struct rpc_call *open; /* not answered yet */
    size_t call_count;     /* open, or answered with tags on their way */
    size_t offer_count;
    struct rpc_tag shut;
    bool is_stopping, is_shut, has_stopped;
    void (*on_stopped)(void *arg);
    void *arg;
};

static void offer(struct rpc_server *server, struct offer_slot *slot);

/* Connections. */

static void conn_free(struct conn *conn)
{
    *conn->link = conn->next;
    if (conn->next != NULL)
        conn->next->link = conn->link;
    loop_watch_freep(&conn->watch);
    fd_closep(&conn->socket);
    free(conn);
}

static void conn_hangup(void *arg, unsigned events)
{
    (void)events;
    conn_free(arg);
}

static void conn_add(struct rpc_server *server, struct fd socket)
{
    struct err err;
    uid_t uid;
    if (!socket_peer_uid(socket.raw, &uid, &err) || (uid != 0 && uid != geteuid())) {
        LOG(LOG_WARN, "connection refused: not our user", F(uid, (int64_t)uid));
        fd_closep(&socket);
        return;
    }
    CLEANUP(fd_closep) struct fd second = { fcntl(socket.raw, F_DUPFD_CLOEXEC, 3) };
    if (second.raw < 0) {
        LOG(LOG_WARN, "connection refused: no descriptor left");
        fd_closep(&socket);
        return;
    }
    struct conn *conn = mem_new(struct conn);
    conn->server = server;
    conn->socket = fd_take(&second);
    conn->watch = loop_watch_new(rpc_core_loop(server->rpc), conn->socket.raw, LOOP_HUP,
                                 conn_hangup, conn);
    conn->next = server->conns;
    conn->link = &server->conns;
    if (conn->next != NULL)
        conn->next->link = &conn->next;
    server->conns = conn;
    grpc_server_credentials *plain = grpc_insecure_server_credentials_create();
    grpc_server_add_channel_from_fd(server->core, fd_take(&socket).raw, plain);
    grpc_server_credentials_release(plain);
}

static void on_listener(void *arg, unsigned events)
{
    (void)events;
    struct rpc_server *server = arg;
    for (;;) {
        struct fd socket = { accept4(server->listener.raw, NULL, NULL,
                                     SOCK_CLOEXEC | SOCK_NONBLOCK) };
        if (fd_is_open(socket)) {
            conn_add(server, socket);
            continue;
        }
        if (errno == EINTR || errno == ECONNABORTED)
            continue;
        if (errno != EAGAIN) {
            LOG(LOG_WARN, "accepting paused", F(os_errno, errno));
            loop_watch_change(server->watch, 0);
            loop_timer_arm(server->timer, boot_add_ms(boot_now(), ACCEPT_PAUSE_MS));
        }
        return;
    }
}

/* Calls. */

static void call_over(struct rpc_call *call)
{
    *call->link = call->next;
    if (call->next != NULL)
        call->next->link = call->link;
}

static void check_stopped(struct rpc_server *server)
{
    if (!server->is_shut || server->call_count > 0 || server->offer_count > 0)
        return;
    grpc_server_destroy(server->core);
    loop_timer_freep(&server->timer);
    while (server->conns != NULL)
        conn_free(server->conns);
    server->has_stopped = true;
    server->on_stopped(server->arg);
}

static void call_gone(struct rpc_call *call)
{
    struct rpc_server *server = call->owner;
    assert(server->magic == SERVER_MAGIC && server->call_count > 0);
    server->call_count--;
    if (server->is_stopping)
        check_stopped(server);
}

static void refuse_unknown(struct rpc_call *call)
{
    struct view path = rpc_core_view(&call->details.method);
    char text[256];
    snprintf(text, sizeof(text), "method \"%.*s\" is not implemented",
             (int)(path.len < 200 ? path.len : 200), (const char *)path.data);
    rpc_call_refuse(call, RPC_UNIMPLEMENTED, text);
}

static void dispatch(struct rpc_server *server, struct rpc_call *call)
{
    if (server->is_stopping) {
        rpc_call_refuse(call, RPC_UNAVAILABLE, "the plugin is shutting down");
    } else if (call->method == NULL) {
        refuse_unknown(call);
    } else if (call->payload == NULL && rpc_method_has_request(call->method)) {
        rpc_call_refuse(call, RPC_INVALID_ARGUMENT, "the request has no message");
    } else {
        grpc_slice bytes = rpc_core_unpack(call->payload);
        call->method->on_call(server->spec.arg, call, rpc_core_view(&bytes));
        grpc_slice_unref(bytes);
        assert(call->is_held || call->is_over); /* or its end would never be noticed */
        if (call->payload != NULL)
            grpc_byte_buffer_destroy(call->payload); /* a held call keeps no request */
        call->payload = NULL;
    }
}

static void offered_back(struct rpc_tag *tag, bool ok)
{
    struct rpc_call *call = CONTAINER(tag, struct rpc_call, offered);
    struct rpc_server *server = call->owner;
    assert(server->magic == SERVER_MAGIC && server->offer_count > 0);
    server->offer_count--;
    if (!ok) { /* the server is shutting down */
        rpc_call_free(call);
        check_stopped(server);
        return;
    }
    struct offer_slot *slot = server->slots;
    while (slot->method != call->method)
        slot++;
    server->call_count++;
    call->next = server->open;
    call->link = &server->open;
    if (call->next != NULL)
        call->next->link = &call->next;
    server->open = call;
    if (!server->is_stopping)
        offer(server, slot);
    dispatch(server, call);
}

static void offer(struct rpc_server *server, struct offer_slot *slot)
{
    struct rpc_call *call = rpc_call_new(server->rpc, slot->method, server);
    call->on_over = call_over;
    call->on_gone = call_gone;
    grpc_completion_queue *queue = rpc_core_queue(server->rpc);
    void *armed = rpc_tag_arm(server->rpc, &call->offered, offered_back);
    server->offer_count++;
    bool has_payload = slot->method != NULL && rpc_method_has_request(slot->method);
    grpc_call_error refused = slot->method == NULL
                                  ? grpc_server_request_call(server->core, &call->core,
                                                             &call->details, &call->metadata, queue,
                                                             queue, armed)
                                  : grpc_server_request_registered_call(
                                        server->core, slot->registered, &call->core,
                                        &call->deadline, &call->metadata,
                                        has_payload ? &call->payload : NULL, queue, queue, armed);
    assert(refused == GRPC_CALL_OK);
}

/* Life. */

static void on_timer(void *arg)
{
    struct rpc_server *server = arg;
    if (!server->is_stopping) {
        loop_watch_change(server->watch, LOOP_READ);
        return;
    }
    /* A peer that does not read or does not close is not waited for. */
    grpc_server_cancel_all_calls(server->core);
    for (struct conn *conn = server->conns; conn != NULL; conn = conn->next)
        (void)shutdown(conn->socket.raw, SHUT_RDWR);
}

static grpc_server *core_new(struct rpc *rpc)
{
    char limit[] = GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH;
    grpc_arg args[] = {
        { .type = GRPC_ARG_INTEGER, .key = limit, .value.integer = RPC_MESSAGE_BYTES_MAX },
    };
    grpc_channel_args all = { COUNT(args), args };
    grpc_server *core = grpc_server_create(&all, NULL);
    grpc_server_register_completion_queue(core, rpc_core_queue(rpc), NULL);
    return core;
}

struct rpc_server *rpc_server_new(struct rpc *rpc, struct fd listener,
                                  const struct rpc_server_spec *spec)
{
    struct rpc_server *server = mem_new(struct rpc_server);
    server->magic = SERVER_MAGIC;
    server->rpc = rpc;
    server->spec = *spec;
    server->listener = listener;
    server->core = core_new(rpc);
    server->slots = mem_array(spec->count + 1, sizeof(*server->slots));
    for (size_t i = 0; i < spec->count; i++) {
        const struct rpc_method *method = &spec->methods[i];
        server->slots[i].method = method;
        server->slots[i].registered = grpc_server_register_method(
            server->core, method->path, NULL,
            rpc_method_has_request(method) ? GRPC_SRM_PAYLOAD_READ_INITIAL_BYTE_BUFFER
                                           : GRPC_SRM_PAYLOAD_NONE,
            0);
        assert(server->slots[i].registered != NULL); /* a path twice in the table */
    }
    grpc_server_start(server->core);
    for (size_t i = 0; i <= spec->count; i++)
        offer(server, &server->slots[i]);
    struct loop *loop = rpc_core_loop(rpc);
    server->timer = loop_timer_new(loop, on_timer, server);
    server->watch = loop_watch_new(loop, server->listener.raw, LOOP_READ, on_listener, server);
    return server;
}

static void shut_back(struct rpc_tag *tag, bool ok)
{
    (void)ok;
    struct rpc_server *server = CONTAINER(tag, struct rpc_server, shut);
    server->is_shut = true;
    check_stopped(server);
}

void rpc_server_stop(struct rpc_server *server, int64_t grace_ms, void (*on_done)(void *arg),
                     void *arg)
{
    assert(server->magic == SERVER_MAGIC && !server->is_stopping);
    server->is_stopping = true;
    server->on_stopped = on_done;
    server->arg = arg;
    loop_watch_freep(&server->watch);
    fd_closep(&server->listener);
    loop_timer_arm(server->timer, boot_add_ms(boot_now(), grace_ms));
    void *armed = rpc_tag_arm(server->rpc, &server->shut, shut_back);
    grpc_server_shutdown_and_notify(server->core, rpc_core_queue(server->rpc), armed);
    while (server->open != NULL)
        rpc_call_drop(server->open);
}

void rpc_server_free(struct rpc_server *server)
{
    if (server == NULL)
        return;
    assert(server->magic == SERVER_MAGIC && server->has_stopped);
    server->magic = 0;
    free(server->slots);
    free(server);
}

size_t rpc_server_calls(const struct rpc_server *server) { return server->call_count; }
