#include "sidecar/api/api.h"

#include "common/base/own.h"
#include "common/json/out.h"
#include "common/log/log.h"
#include "sidecar/api/conn.h"
#include "sidecar/api/error.h"
#include "sidecar/api/listener.h"
#include "sidecar/api/peer.h"

#include <sys/socket.h>

#define ACCEPTS_A_TURN 16 /* those who are connected get their turn in between */

struct client {
    struct api *api;
    struct client *next;
    struct conn *conn;
    struct peer peer;
    bool is_wishing, is_barrier;
    struct wish wish;
};

struct api {
    struct loop *loop;
    struct engine *engine;
    struct observe *observe;
    pid_t shim;
    char *path;
    struct fd socket;
    struct loop_watch *watch;
    struct client *clients; /* newest first */
    unsigned count;
};

/* Answers */

static void answer_error(struct client *c, int status, const char *allow, const struct err *err)
{
    CLEANUP(buf_fini) struct buf json = { 0 };
    error_put(&json, err);
    c->api->observe->api_refused++;
    conn_answer(c->conn, status, allow, buf_view(&json)); /* may end in the client's free */
}

static void put_checkpoint(struct json_out *json, const struct engine_status *s)
{
    if (!s->has_checkpoint) {
        json_out_null(json, "checkpoint");
        return;
    }
    json_out_object(json, "checkpoint");
    json_out_text(json, "id", s->checkpoint_id);
    json_out_int(json, "sequence", s->sequence);
    if (s->age_ms >= 0)
        json_out_int(json, "age_ms", s->age_ms);
    else
        json_out_null(json, "age_ms");
    json_out_close(json);
}

static void put_status(struct buf *out, const struct engine_status *s, const struct observe *o)
{
    struct json_out json = json_out_to(out);
    json_out_object(&json, NULL);
    json_out_text(&json, "name", s->name);
    json_out_text(&json, "node", s->node);
    json_out_text(&json, "role", life_state_role(s->state));
    json_out_text(&json, "phase", life_state_name(s->state));
    json_out_int(&json, "epoch", s->epoch);
    json_out_int(&json, "lease_left_ms", s->lease_left_ms);
    json_out_text(&json, "holder", s->holder[0] != '\0' ? s->holder : NULL);
    json_out_int(&json, "holder_epoch", s->holder_epoch);
    put_checkpoint(&json, s);
    json_out_int(&json, "rpo_ms", s->rpo_ms);
    json_out_int(&json, "agent_pid", s->agent_pid);
    json_out_int(&json, "unsaved_count", s->unsaved_count);
    json_out_text(&json, "unsaved", s->unsaved[0] != '\0' ? s->unsaved : NULL);
    json_out_bool(&json, "degraded", s->degraded[0] != '\0');
    json_out_text(&json, "degraded_why", s->degraded[0] != '\0' ? s->degraded : NULL);
    json_out_object(&json, "metrics");
    for (size_t i = 0; i < observe_count(); i++)
        json_out_int(&json, observe_row(o, i).name, observe_row(o, i).value);
    json_out_close(&json);
    json_out_close(&json);
    json_out_finish(&json);
}

static void call_status(struct client *c)
{
    CLEANUP(buf_fini) struct buf json = { 0 };
    struct engine_status status;
    engine_status(c->api->engine, &status);
    put_status(&json, &status, c->api->observe);
    conn_answer(c->conn, 200, NULL, buf_view(&json));
}

static void on_wish_done(void *arg, const struct wish_result *result, const struct err *err)
{
    struct client *c = arg;
    CLEANUP(buf_fini) struct buf json = { 0 };
    c->is_wishing = false;
    if (c->is_barrier && err == NULL)
        c->api->observe->barriers++;
    else if (c->is_barrier)
        c->api->observe->barriers_failed++;
    if (err != NULL) {
        answer_error(c, error_status(err->kind), NULL, err);
        return;
    }
    struct json_out out = json_out_to(&json);
    json_out_object(&out, NULL);
    json_out_text(&out, "id", result->id);
    json_out_int(&out, "sequence", result->sequence);
    json_out_close(&out);
    json_out_finish(&out);
    conn_answer(c->conn, 200, NULL, buf_view(&json));
}

/* A checkpoint and a barrier are the same promise here: what was written before the call is in a
 * committed checkpoint. They differ in what is counted. */
static void wish(struct client *c, bool is_barrier)
{
    struct err err;
    c->wish = (struct wish){ .done = on_wish_done, .arg = c };
    c->is_barrier = is_barrier;
    if (!engine_wish(c->api->engine, &c->wish, &err)) {
        c->api->observe->barriers_failed += is_barrier;
        answer_error(c, error_status(err.kind), NULL, &err);
        return;
    }
    c->is_wishing = true;
}

static void call_checkpoint(struct client *c) { wish(c, false); }
static void call_barrier(struct client *c) { wish(c, true); }

static const struct {
    const char *path, *method;
    enum http_verb verb;
    void (*call)(struct client *client);
} routes[] = {
    { "/v1/status", "GET", HTTP_VERB_GET, call_status },
    { "/v1/checkpoint", "POST", HTTP_VERB_POST, call_checkpoint },
    { "/v1/barrier", "POST", HTTP_VERB_POST, call_barrier },
};

static void on_request(void *arg, const struct http_message *request)
{
    struct client *c = arg;
    struct err err;
    c->api->observe->api_requests++;
    if (!peer_is_allowed(&c->peer, c->api->shim)) {
        (void)err_set(&err, ERR_DENIED, "refuse user %u: not of this task", (unsigned)c->peer.uid);
        conn_finish(c->conn); /* or strangers who do not read would take every place */
        answer_error(c, 403, NULL, &err);
        return;
    }
    for (size_t i = 0; i < COUNT(routes); i++) {
        if (strcmp(request->path, routes[i].path) != 0)
            continue;
        if (request->verb == routes[i].verb) {
            routes[i].call(c);
            return;
        }
        (void)err_set(&err, ERR_INVALID, "call %s: only %s is possible", routes[i].path,
                      routes[i].method);
        answer_error(c, 405, routes[i].method, &err);
        return;
    }
    (void)err_set(&err, ERR_NOT_FOUND, "find \"%.100s\": no such call", request->path);
    answer_error(c, 404, NULL, &err);
}

/* Connections */

static void client_free(struct client *c)
{
    struct client **at = &c->api->clients;
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    c->api->count--;
    if (c->is_wishing)
        engine_forget(c->api->engine, &c->wish);
    conn_free(c->conn);
    free(c);
}

static void on_closed(void *arg) { client_free(arg); }

/* The connection that has been there longest without doing anything now. */
static bool make_room(struct api *api)
{
    struct client *oldest = NULL;
    for (struct client *c = api->clients; c != NULL; c = c->next)
        if (conn_is_idle(c->conn))
            oldest = c;
    if (oldest == NULL)
        return false;
    client_free(oldest);
    return true;
}

/* False when nobody waits (any more). */
static bool accept_one(struct api *api)
{
    struct err err;
    struct peer peer;
    struct fd socket = { accept4(api->socket.raw, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK) };
    if (!fd_is_open(socket))
        return false;
    if ((api->count >= API_CLIENTS_MAX && !make_room(api)) || !peer_of(socket.raw, &peer, &err)) {
        fd_closep(&socket);
        return true;
    }
    struct client *c = mem_new(struct client);
    c->api = api;
    c->peer = peer;
    c->next = api->clients;
    api->clients = c;
    api->count++;
    c->conn = conn_new(api->loop, socket, &(struct conn_events){ on_request, on_closed, c });
    return true;
}

static void on_accept(void *arg, unsigned events)
{
    (void)events;
    for (unsigned i = 0; i < ACCEPTS_A_TURN && accept_one(arg); i++) {}
}

struct api *api_new(struct loop *loop, struct engine *engine, struct observe *observe, pid_t shim)
{
    struct api *api = mem_new(struct api);
    *api = (struct api){
        .loop = loop, .engine = engine, .observe = observe, .shim = shim, .socket = FD_NONE
    };
    return api;
}

void api_free(struct api *api)
{
    if (api == NULL)
        return;
    while (api->clients != NULL)
        client_free(api->clients);
    loop_watch_freep(&api->watch);
    if (fd_is_open(api->socket))
        (void)unlink(api->path);
    fd_closep(&api->socket);
    free(api->path);
    free(api);
}

bool api_listen(struct api *api, const char *path, struct err *err)
{
    if (fd_is_open(api->socket))
        return true;
    if (!listener_open(path, &api->socket, err))
        return false;
    api->path = str_copy(path);
    api->watch = loop_watch_new(api->loop, api->socket.raw, LOOP_READ, on_accept, api);
    LOG(LOG_INFO, "api listens", F(path, path));
    return true;
}

bool api_is_listening(const struct api *api) { return fd_is_open(api->socket); }
