/* http.h - HTTP/1.1 requests out of a byte stream, and answers into a buffer.
 *
 * Private to this room; pure: no I/O. Bounded: a request line with headers is at most
 * HTTP_HEAD_MAX bytes, a body HTTP_BODY_MAX. Whatever is wrong becomes the status to answer with;
 * after that the connection is to be closed. Wraps Debian's http_parser, whose types stay inside.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "common/base/buf.h"

#define HTTP_HEAD_MAX ((size_t)8192)  /* what a local client needs, and room for proxies' headers \
                                       */
#define HTTP_BODY_MAX ((size_t)65536) /* all bodies of this API are small */
#define HTTP_PATH_MAX 256

enum http_method { HTTP_GET_, HTTP_POST_, HTTP_OTHER_ };

struct http_request {
    enum http_method method;
    char path[HTTP_PATH_MAX]; /* without the query */
    struct buf body;
    bool is_kept; /* the client wants the connection to stay */
};

enum http_state {
    HTTP_MORE,  /* give more bytes */
    HTTP_READY, /* one whole request is there; http_next goes on to the following one */
    HTTP_BROKEN /* answer `status`, then close */
};

struct http_reader;

struct http_reader *http_reader_new(void);
void http_reader_free(struct http_reader *reader);

/** Feeds bytes and returns what is known then; `*out_used` of them were taken, fewer than all only
 *  when a request is ready or the stream is broken. */
enum http_state http_feed(struct http_reader *reader, struct view bytes, size_t *out_used);

/** The ready request; lent until http_next. */
const struct http_request *http_borrow_request(const struct http_reader *reader);
/** Forgets the request; the reader wants the next one. */
void http_next(struct http_reader *reader);

/** Of a broken stream: 400 malformed, 413 body too large, 414 path too long, 431 head too large,
 *  501 upgrade asked for. */
int http_status(const struct http_reader *reader);

/** Appends a whole answer with a JSON body. 405 also names `allow` (NULL otherwise). */
void http_put_answer(struct buf *out, int status, const char *allow, struct view json,
                     bool is_kept);
/** "OK", "Not Found", ...; static. */
const char *http_reason(int status);
