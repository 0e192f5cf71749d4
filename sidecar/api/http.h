/* http.h - HTTP/1.1 messages out of a byte stream, and answers into a buffer.
 *
 * Private to this room; pure: no I/O. Bounded: first line and headers are at most HTTP_HEAD_MAX
 * bytes, a body HTTP_BODY_MAX. Whatever is wrong becomes the status to answer with; after that the
 * connection is to be closed. Wraps Debian's http_parser, whose types stay inside. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "common/base/buf.h"

#define HTTP_HEAD_MAX                                                                              \
    ((size_t)8192)                    /* what a local client needs, with room for proxies' headers \
                                       */
#define HTTP_BODY_MAX ((size_t)65536) /* all bodies of this API are small */
#define HTTP_PATH_MAX 256

enum http_verb { HTTP_VERB_GET, HTTP_VERB_POST, HTTP_VERB_OTHER };

struct http_message {
    enum http_verb verb;      /* of a request */
    char path[HTTP_PATH_MAX]; /* of a request, without the query */
    int status;               /* of an answer */
    struct buf body;
    bool is_kept; /* the other side wants the connection to stay */
};

enum http_state {
    HTTP_MORE,  /* give more bytes */
    HTTP_READY, /* a whole message is there; http_next goes on to the following one */
    HTTP_BROKEN /* see http_broken_status, then close */
};

enum http_side { HTTP_SIDE_SERVER, HTTP_SIDE_CLIENT }; /* reads requests; reads answers */

struct http_reader;

/** A reader of a new connection. */
struct http_reader *http_reader_new(enum http_side side);
/** NULL is fine. */
void http_reader_free(struct http_reader *reader);
static inline void http_reader_freep(struct http_reader **reader)
{
    http_reader_free(*reader);
    *reader = NULL;
}

/** Feeds bytes and returns what is known then; `*out_used` of them were taken, fewer than all only
 *  when a message is ready or the stream is broken. Not while a message is ready (asserted). */
enum http_state http_feed(struct http_reader *reader, struct view bytes, size_t *out_used);

/** The stream has ended: what an answer without a length needs. */
enum http_state http_feed_end(struct http_reader *reader);

/** The ready message; lent until http_next. */
const struct http_message *http_borrow_message(const struct http_reader *reader);
/** Forgets the message; the reader wants the next one. */
void http_next(struct http_reader *reader);

/** Of a broken stream: 400 malformed, 413 body too large, 414 path too long, 431 head too large,
 *  501 upgrade asked for, 505 not HTTP/1. */
int http_broken_status(const struct http_reader *reader);

/** Appends a whole answer with a JSON body. `allow` names what is allowed with a 405, else NULL. */
void http_put_answer(struct buf *out, int status, const char *allow, struct view json,
                     bool is_kept);
/** "OK", "Not Found", ...; static. */
const char *http_reason(int status);
