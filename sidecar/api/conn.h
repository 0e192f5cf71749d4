/* conn.h - one client's connection: bytes in, one request at a time out, answers back in order.
 *
 * Private to this room. Bounded both ways: nothing is read while a request waits for its answer or
 * an answer waits for the client. A client that goes away is noticed when it is written to. */
#pragma once
#include "common/base/fd.h"
#include "common/loop/loop.h"
#include "sidecar/api/http.h"

struct conn;

struct conn_events {
    /** A request, lent during the call; conn_answer is due, now or later, exactly once. */
    void (*on_request)(void *arg, const struct http_message *request);
    /** The connection is over; free it. Never inside on_request, but maybe inside conn_answer. */
    void (*on_closed)(void *arg);
    void *arg;
};

/** `socket` is non-blocking and ours now. */
struct conn *conn_new(struct loop *loop, struct fd socket, const struct conn_events *events);
/** No callback follows. NULL is fine. */
void conn_free(struct conn *conn);

/** Answers the request at hand. `allow` as in http_put_answer. May end in on_closed. */
void conn_answer(struct conn *conn, int status, const char *allow, struct view json);
/** The answer to the request at hand is the last: then the connection is over. */
void conn_finish(struct conn *conn);
/** True when no request is at hand and nothing is to be written. */
bool conn_is_idle(const struct conn *conn);
