/* server.h - the answering side: a table of methods over connections of one unix socket.
 *
 * Each call reaches its row's handler once and is answered once. A call that is not answered in
 * its handler must be held there, so that its end by the peer is noticed. Methods that are in no
 * row are answered UNIMPLEMENTED. Loop thread only. */
#pragma once
#include "common/base/fd.h"
#include "driver/rpc/rpc.h"

struct rpc_server;
struct rpc_call;

enum rpc_kind {
    RPC_UNARY,  /* request, then one reply */
    RPC_STREAM, /* request, then replies until the end */
    RPC_DUPLEX, /* replies until the end; what the peer sends is never read */
    RPC_TALK,   /* messages both ways until the end; the owner asks for each one of the peer's */
};

/** `request` is lent until the handler returns; empty for RPC_DUPLEX and RPC_TALK. */
typedef void rpc_handler_fn(void *arg, struct rpc_call *call, struct view request);

struct rpc_method {
    const char *path; /* "/package.Service/Method" */
    enum rpc_kind kind;
    rpc_handler_fn *on_call;
};

struct rpc_server_spec {
    const struct rpc_method *methods; /* static */
    size_t count;
    void *arg; /* of every handler */
};

/** Serves every connection that `listener` (ours now) accepts from uid 0 or our own uid; others
 *  are closed. The listener's path is not touched. */
struct rpc_server *rpc_server_new(struct rpc *rpc, struct fd listener,
                                  const struct rpc_server_spec *spec);

/** Refuses new calls, ends held ones with UNAVAILABLE (their on_end is called), lets replies that
 *  are on their way leave, closes the connections after at most `grace_ms`, calls on_done. */
void rpc_server_stop(struct rpc_server *server, int64_t grace_ms, void (*on_done)(void *arg),
                     void *arg);
/** After rpc_server_stop has completed. NULL is fine. */
void rpc_server_free(struct rpc_server *server);

/** Calls that are open, or whose answer has not left yet. */
size_t rpc_server_calls(const struct rpc_server *server);

struct rpc_hold {
    /** The peer has gone or cancelled, or the server stops: the call is over, forget it. Not
     *  called after the owner has answered. */
    void (*on_end)(void *arg);
    /** A stream's message was taken, the next may be sent. NULL for unary calls. */
    void (*on_ready)(void *arg);
    void *arg;
};

/** Keeps the call open beyond its handler. Once a call, inside its handler. */
void rpc_call_hold(struct rpc_call *call, const struct rpc_hold *hold);

/** Answers a unary call; the call is over. `message` is copied. */
void rpc_call_reply(struct rpc_call *call, struct view message);
/** Ends any call with a status (OK ends a stream well); the call is over. */
void rpc_call_end(struct rpc_call *call, const struct rpc_status *status);

/** True when no message of this stream is on its way. */
bool rpc_call_is_ready(const struct rpc_call *call);
/** Sends one message of a stream, which must be ready (asserted). At most one is on its way: an
 *  owner with news for a busy stream waits for on_ready and sends what is newest then. */
void rpc_call_send(struct rpc_call *call, struct view message);

/** The message that was asked for, lent; NULL: the peer sends no more. `arg` is the hold's. */
typedef void rpc_input_fn(void *arg, const struct view *message);

/** Asks for the next message of a held RPC_TALK call: on_input is called once, unless the call ends
 *  first. What was not asked for stays with the peer, by the library's flow control. At most one is
 *  asked for at a time (asserted). */
void rpc_call_receive(struct rpc_call *call, rpc_input_fn *on_input);
