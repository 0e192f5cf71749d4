#include "sidecar/api/conn.h"

#include "common/base/own.h"
#include "sidecar/api/error.h"

#include <assert.h>
#include <sys/socket.h>

#define READ_BYTES 16384

struct conn {
    struct loop *loop;
    struct fd socket;
    struct loop_watch *watch;
    struct http_reader *reader;
    struct conn_events events;
    struct buf in, out;
    size_t in_used, out_sent;
    bool is_pending; /* a request waits for its answer */
    bool is_last;    /* close once everything is written */
    bool is_over;    /* nothing more can be read or written */
    bool is_busy;    /* inside advance */
};

static void flush(struct conn *c)
{
    while (c->out_sent < c->out.len) {
        ssize_t put = send(c->socket.raw, c->out.data + c->out_sent, c->out.len - c->out_sent,
                           MSG_NOSIGNAL | MSG_DONTWAIT);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0) {
            c->is_over = errno != EAGAIN;
            return;
        }
        c->out_sent += (size_t)put;
    }
    c->out.len = c->out_sent = 0;
    c->is_over = c->is_over || c->is_last;
}

static void refuse(struct conn *c, int status)
{
    CLEANUP(buf_fini) struct buf json = { 0 };
    struct err err;
    (void)err_set(&err, ERR_INVALID, "refuse request: %s", http_reason(status));
    error_put(&json, &err);
    http_put_answer(&c->out, status, NULL, buf_view(&json), false);
    c->is_last = true;
    flush(c);
}

/* Takes one request out of what was read. */
static void take(struct conn *c)
{
    size_t used;
    struct view rest = view_of(c->in.data + c->in_used, c->in.len - c->in_used);
    enum http_state state = http_feed(c->reader, rest, &used);
    c->in_used += used;
    switch (state) {
    case HTTP_MORE:
        break;
    case HTTP_READY:
        c->is_pending = true;
        c->is_last = !http_borrow_message(c->reader)->is_kept;
        c->events.on_request(c->events.arg, http_borrow_message(c->reader));
        break;
    case HTTP_BROKEN:
        refuse(c, http_broken_status(c->reader));
        break;
    }
}

/* Goes on as far as the bytes at hand allow, and then waits for the right thing. */
static void advance(struct conn *c)
{
    c->is_busy = true;
    while (conn_is_idle(c) && !c->is_over && c->in_used < c->in.len)
        take(c);
    c->is_busy = false;
    if (c->in_used == c->in.len)
        c->in.len = c->in_used = 0;
    if (c->is_over) {
        c->events.on_closed(c->events.arg);
        return;
    }
    unsigned wait = c->out.len > 0 ? LOOP_WRITE : c->is_pending ? 0 : LOOP_READ;
    loop_watch_change(c->watch, wait);
}

static void receive(struct conn *c)
{
    ssize_t got = recv(c->socket.raw, buf_reserve(&c->in, READ_BYTES), READ_BYTES, MSG_DONTWAIT);
    if (got > 0)
        c->in.len += (size_t)got;
    else
        c->is_over = got == 0 || (errno != EAGAIN && errno != EINTR);
}

static void on_ready(void *arg, unsigned events)
{
    struct conn *c = arg;
    if (c->out.len > 0)
        flush(c);
    else if (events & LOOP_READ)
        receive(c);
    advance(c);
}

struct conn *conn_new(struct loop *loop, struct fd socket, const struct conn_events *events)
{
    struct conn *c = mem_new(struct conn);
    c->loop = loop;
    c->socket = socket;
    c->events = *events;
    c->reader = http_reader_new(HTTP_SIDE_SERVER);
    c->watch = loop_watch_new(loop, socket.raw, LOOP_READ, on_ready, c);
    return c;
}

void conn_free(struct conn *c)
{
    if (c == NULL)
        return;
    loop_watch_free(c->watch);
    http_reader_free(c->reader);
    fd_closep(&c->socket);
    buf_fini(&c->in);
    buf_fini(&c->out);
    free(c);
}

void conn_answer(struct conn *c, int status, const char *allow, struct view json)
{
    assert(c->is_pending);
    c->is_pending = false;
    http_put_answer(&c->out, status, allow, json, !c->is_last);
    http_next(c->reader);
    flush(c);
    if (!c->is_busy)
        advance(c);
}

void conn_finish(struct conn *c)
{
    assert(c->is_pending);
    c->is_last = true;
}

bool conn_is_idle(const struct conn *c) { return !c->is_pending && c->out.len == 0; }
