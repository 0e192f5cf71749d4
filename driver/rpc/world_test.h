/* world_test.h - for this room's tests only: a loop, a server and a client over a socket of their
 * own.
 *
 * Everything that is not under test aborts on failure. */
#pragma once
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/own.h"
#include "common/loop/loop.h"
#include "driver/rpc/client.h"
#include "driver/rpc/server.h"
#include "driver/rpc/socket.h"

struct world {
    struct loop *loop;
    struct loop_timer *guard;
    struct rpc *rpc;
    struct rpc_server *server;
    struct rpc_client *client;
    char dir[64], path[96];
    bool is_server_stopped;
};

struct seen { /* what a request has told */
    struct world *world;
    int messages, ends;
    struct buf last;
    enum rpc_code code;
    char text[2048];
    struct buf details;
    int quit_after; /* messages; 0: quit at the end */
};

/** The guard: a test that waits for ever fails. */
static inline void world_timeout(void *arg)
{
    (void)arg;
    fputs("nothing happened for 60 s\n", stderr);
    abort();
}

/** A loop, the library and a guard that aborts a test that waits for ever. */
static inline void world_init(struct world *w)
{
    *w = (struct world){ .loop = loop_new() };
    w->guard = loop_timer_new(w->loop, world_timeout, NULL);
    loop_timer_arm(w->guard, boot_add_ms(boot_now(), 60000));
    w->rpc = rpc_new(w->loop);
    snprintf(w->dir, sizeof(w->dir), "/tmp/rpc-test-XXXXXX");
    char *made = mkdtemp(w->dir);
    assert(made != NULL);
    snprintf(w->path, sizeof(w->path), "%s/s", w->dir);
}

/** Serves `methods` and connects a client. */
static inline void world_serve(struct world *w, const struct rpc_server_spec *spec)
{
    struct err err;
    struct fd listener;
    bool ok = socket_listen(w->path, &listener, &err);
    assert(ok);
    w->server = rpc_server_new(w->rpc, listener, spec);
    ok = rpc_client_open(w->rpc, w->path, &w->client, &err);
    assert(ok);
}

/** Quits the loop; for callbacks without a better use of `arg`. */
static inline void world_quit(void *arg) { loop_quit(((struct world *)arg)->loop); }

/** Notes that the server has stopped, and quits. */
static inline void world_server_stopped(void *arg)
{
    ((struct world *)arg)->is_server_stopped = true;
    world_quit(arg);
}

/** Stops what is still there, in order, and proves that nothing is left. */
static inline void world_fini(struct world *w)
{
    rpc_client_free(w->client);
    if (w->server != NULL && !w->is_server_stopped) {
        rpc_server_stop(w->server, 100, world_server_stopped, w);
        while (!w->is_server_stopped)
            loop_run(w->loop);
    }
    rpc_server_free(w->server);
    rpc_stop(w->rpc, world_quit, w);
    loop_run(w->loop);
    rpc_free(w->rpc);
    loop_timer_freep(&w->guard);
    loop_free(w->loop);
    (void)unlink(w->path);
    (void)rmdir(w->dir);
}

/** rpc_events.on_message */
static inline void seen_message(void *arg, struct view message)
{
    struct seen *seen = arg;
    seen->messages++;
    seen->last.len = 0;
    buf_put(&seen->last, message);
    if (seen->quit_after > 0 && seen->messages >= seen->quit_after)
        loop_quit(seen->world->loop);
}

/** rpc_events.on_end */
static inline void seen_end(void *arg, const struct rpc_status *status)
{
    struct seen *seen = arg;
    seen->ends++;
    seen->code = status->code;
    snprintf(seen->text, sizeof(seen->text), "%s", status->text);
    seen->details.len = 0;
    buf_put(&seen->details, status->details);
    loop_quit(seen->world->loop);
}

/** Events that are noted in `seen`. */
static inline struct rpc_events seen_events(struct world *w, struct seen *seen)
{
    *seen = (struct seen){ .world = w, .code = RPC_CODE_COUNT };
    return (struct rpc_events){ seen_message, seen_end, seen };
}

/** Releases what was noted. */
static inline void seen_fini(struct seen *seen)
{
    buf_fini(&seen->last);
    buf_fini(&seen->details);
}

/** Asks and waits for the end. */
static inline void world_ask(struct world *w, const char *path, struct view message,
                             struct seen *seen)
{
    struct rpc_events events = seen_events(w, seen);
    (void)rpc_client_call(w->client, path, message, 0, &events);
    while (seen->ends == 0)
        loop_run(w->loop);
}
