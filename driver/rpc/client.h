/* client.h - the asking side: calls over one connection to a unix socket.
 *
 * It does not reconnect: when the peer is gone every call ends UNAVAILABLE, and the owner opens a
 * new client. Callbacks run on the loop, never inside the call that asked for them. */
#pragma once
#include "driver/rpc/rpc.h"

struct rpc_client;
struct rpc_request;

/** Connects. Errors: NOT_FOUND nobody listens there; INVALID path too long; SYSTEM. */
MUST_USE bool rpc_client_open(struct rpc *rpc, const char *path, struct rpc_client **out,
                              struct err *err);
/** Forgets requests that are open (their callbacks are not called) and closes the connection.
 *  NULL is fine. */
void rpc_client_free(struct rpc_client *client);

struct rpc_events {
    /** A message; lent. Never for calls that failed; any number for streams; before on_end. */
    void (*on_message)(void *arg, struct view message);
    /** The call is over, the request is gone. `status` is lent. A unary call that is OK has had
     *  exactly one message. */
    void (*on_end)(void *arg, const struct rpc_status *status);
    void *arg;
};

/** A call with one request and one reply. `timeout_ms` 0 is none. `message` is copied. The token is
 *  good until on_end. */
struct rpc_request *rpc_client_call(struct rpc_client *client, const char *path,
                                    struct view message, int64_t timeout_ms,
                                    const struct rpc_events *events);
/** A call with one request and a stream of replies, without a deadline. */
struct rpc_request *rpc_client_stream(struct rpc_client *client, const char *path,
                                      struct view message, const struct rpc_events *events);
/** Cancels and forgets: no callback follows. Legal inside the request's own on_message. */
void rpc_request_cancel(struct rpc_request *request);
