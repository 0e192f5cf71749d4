#include "sidecar/api/http.h"

#include "common/base/own.h"

#include <assert.h>
#include <http_parser.h>
#include <stdio.h>

struct http_reader {
    http_parser parser;
    enum http_side side;
    enum http_state state;
    int broken_status;
    bool is_head_done;
    size_t head_bytes;
    struct buf url;
    struct http_message message;
};

/* Not 1 or 2: those have a meaning of their own at the end of the head. */
static int refuse(struct http_reader *r, int status)
{
    r->broken_status = status;
    return -1;
}

static int on_begin(http_parser *parser)
{
    struct http_reader *r = parser->data;
    r->is_head_done = false;
    r->head_bytes = 0;
    return 0;
}

static int on_url(http_parser *parser, const char *at, size_t len)
{
    struct http_reader *r = parser->data;
    if (r->url.len + len > HTTP_HEAD_MAX)
        return refuse(r, 414);
    buf_put(&r->url, view_of(at, len));
    return 0;
}

static int take_path(struct http_reader *r)
{
    struct http_parser_url url;
    http_parser_url_init(&url);
    const bool is_connect = r->parser.method == HTTP_CONNECT;
    if (http_parser_parse_url((const char *)r->url.data, r->url.len, is_connect, &url) != 0)
        return refuse(r, 400);
    size_t len = url.field_data[UF_PATH].len, off = url.field_data[UF_PATH].off;
    if ((url.field_set & (1 << UF_PATH)) == 0)
        len = 0;
    if (len >= sizeof r->message.path)
        return refuse(r, 414);
    memcpy(r->message.path, r->url.data + off, len);
    r->message.path[len] = '\0';
    return 0;
}

static int on_head(http_parser *parser)
{
    struct http_reader *r = parser->data;
    r->is_head_done = true;
    if (parser->http_major != 1)
        return refuse(r, 505);
    if (parser->upgrade)
        return refuse(r, 501);
    if (parser->content_length != UINT64_MAX && parser->content_length > HTTP_BODY_MAX)
        return refuse(r, 413);
    r->message.verb = parser->method == HTTP_GET    ? HTTP_VERB_GET
                      : parser->method == HTTP_POST ? HTTP_VERB_POST
                                                    : HTTP_VERB_OTHER;
    r->message.status = (int)parser->status_code;
    return r->side == HTTP_SIDE_SERVER ? take_path(r) : 0;
}

static int on_body(http_parser *parser, const char *at, size_t len)
{
    struct http_reader *r = parser->data;
    if (r->message.body.len + len > HTTP_BODY_MAX)
        return refuse(r, 413);
    buf_put(&r->message.body, view_of(at, len));
    return 0;
}

static int on_complete(http_parser *parser)
{
    struct http_reader *r = parser->data;
    r->state = HTTP_READY;
    r->message.is_kept = http_should_keep_alive(parser) != 0;
    http_parser_pause(parser, 1);
    return 0;
}

static const http_parser_settings settings = {
    .on_message_begin = on_begin,
    .on_url = on_url,
    .on_headers_complete = on_head,
    .on_body = on_body,
    .on_message_complete = on_complete,
};

struct http_reader *http_reader_new(enum http_side side)
{
    struct http_reader *r = mem_new(struct http_reader);
    r->side = side;
    http_parser_init(&r->parser, side == HTTP_SIDE_SERVER ? HTTP_REQUEST : HTTP_RESPONSE);
    r->parser.data = r;
    return r;
}

void http_reader_free(struct http_reader *r)
{
    if (r == NULL)
        return;
    buf_fini(&r->url);
    buf_fini(&r->message.body);
    free(r);
}

static enum http_state feed(struct http_reader *r, struct view bytes, size_t *out_used)
{
    *out_used = http_parser_execute(&r->parser, &settings, (const char *)bytes.data, bytes.len);
    enum http_errno error = HTTP_PARSER_ERRNO(&r->parser);
    if (r->state == HTTP_READY && error == HPE_PAUSED)
        return HTTP_READY;
    if (error == HPE_OK)
        return HTTP_MORE;
    if (r->broken_status == 0)
        r->broken_status = error == HPE_HEADER_OVERFLOW ? 431 : 400;
    r->state = HTTP_BROKEN;
    return HTTP_BROKEN;
}

enum http_state http_feed(struct http_reader *r, struct view bytes, size_t *out_used)
{
    assert(r->state != HTTP_READY);
    *out_used = 0;
    while (r->state == HTTP_MORE && *out_used < bytes.len) {
        struct view rest = view_of(bytes.data + *out_used, bytes.len - *out_used);
        size_t used, room = HTTP_HEAD_MAX - r->head_bytes;
        bool was_head = !r->is_head_done;
        if (was_head && rest.len > room)
            rest.len = room;
        enum http_state state = feed(r, rest, &used);
        *out_used += used;
        r->head_bytes += was_head ? used : 0;
        if (state == HTTP_MORE && !r->is_head_done && r->head_bytes >= HTTP_HEAD_MAX) {
            r->broken_status = 431;
            r->state = HTTP_BROKEN;
        }
    }
    return r->state;
}

enum http_state http_feed_end(struct http_reader *r)
{
    size_t used;
    return r->state == HTTP_MORE ? feed(r, view_of("", 0), &used) : r->state;
}

const struct http_message *http_borrow_message(const struct http_reader *r)
{
    assert(r->state == HTTP_READY);
    return &r->message;
}

void http_next(struct http_reader *r)
{
    assert(r->state == HTTP_READY);
    buf_fini(&r->message.body);
    r->message = (struct http_message){ 0 };
    r->url.len = 0;
    r->is_head_done = false;
    r->head_bytes = 0;
    r->state = HTTP_MORE;
    http_parser_pause(&r->parser, 0);
}

int http_broken_status(const struct http_reader *r)
{
    assert(r->state == HTTP_BROKEN);
    return r->broken_status;
}

static const struct {
    int status;
    const char *reason;
} reasons[] = {
    { 200, "OK" },
    { 400, "Bad Request" },
    { 403, "Forbidden" },
    { 404, "Not Found" },
    { 405, "Method Not Allowed" },
    { 409, "Conflict" },
    { 413, "Content Too Large" },
    { 414, "URI Too Long" },
    { 431, "Request Header Fields Too Large" },
    { 500, "Internal Server Error" },
    { 501, "Not Implemented" },
    { 503, "Service Unavailable" },
    { 505, "HTTP Version Not Supported" },
};

const char *http_reason(int status)
{
    for (size_t i = 0; i < COUNT(reasons); i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return "Unknown";
}

void http_put_answer(struct buf *out, int status, const char *allow, struct view json, bool is_kept)
{
    buf_put_fmt(out, "HTTP/1.1 %d %s\r\n", status, http_reason(status));
    buf_put_fmt(out, "Content-Type: application/json\r\nContent-Length: %zu\r\n", json.len);
    if (allow != NULL)
        buf_put_fmt(out, "Allow: %s\r\n", allow);
    buf_put_fmt(out, "Cache-Control: no-store\r\nConnection: %s\r\n\r\n",
                is_kept ? "keep-alive" : "close");
    buf_put(out, json);
}
