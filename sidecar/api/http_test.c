#include "sidecar/api/http.h"

#include "common/base/own.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct http_reader *server(void) { return http_reader_new(HTTP_SIDE_SERVER); }

static enum http_state feed_text(struct http_reader *r, const char *text, size_t *used)
{
    return http_feed(r, view_str(text), used);
}

Test(http, whole_request_is_ready_with_path_without_query)
{
    CLEANUP(http_reader_freep) struct http_reader *r = server();
    size_t used;
    const char *text = "POST /v1/barrier?x=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}";
    cr_assert_eq(feed_text(r, text, &used), HTTP_READY);
    cr_assert_eq(used, strlen(text));
    const struct http_message *m = http_borrow_message(r);
    cr_assert_eq(m->verb, HTTP_VERB_POST);
    cr_assert_str_eq(m->path, "/v1/barrier");
    cr_assert(m->is_kept && m->body.len == 2);
}

Test(http, request_in_single_bytes_is_the_same)
{
    CLEANUP(http_reader_freep) struct http_reader *r = server();
    const char *text = "GET /v1/status HTTP/1.1\r\nConnection: close\r\n\r\n";
    size_t used;
    for (size_t i = 0; i < strlen(text); i++) {
        enum http_state state = http_feed(r, view_of(text + i, 1), &used);
        cr_assert_eq(state, i + 1 == strlen(text) ? HTTP_READY : HTTP_MORE);
    }
    cr_assert_str_eq(http_borrow_message(r)->path, "/v1/status");
    cr_assert_not(http_borrow_message(r)->is_kept);
}

Test(http, pipelined_requests_come_one_at_a_time)
{
    CLEANUP(http_reader_freep) struct http_reader *r = server();
    const char *text = "GET /a HTTP/1.1\r\n\r\nPOST /b HTTP/1.1\r\nContent-Length: 1\r\n\r\nx";
    size_t used, more;
    cr_assert_eq(feed_text(r, text, &used), HTTP_READY);
    cr_assert_str_eq(http_borrow_message(r)->path, "/a");
    http_next(r);
    cr_assert_eq(feed_text(r, text + used, &more), HTTP_READY);
    cr_assert_str_eq(http_borrow_message(r)->path, "/b");
    cr_assert_eq(used + more, strlen(text));
    http_next(r);
    cr_assert_eq(feed_text(r, "GET /c HTTP/1.0\r\n\r\n", &used), HTTP_READY);
    cr_assert_not(http_borrow_message(r)->is_kept);
}

Test(http, chunked_body_is_put_together)
{
    CLEANUP(http_reader_freep) struct http_reader *r = server();
    size_t used;
    cr_assert_eq(feed_text(r,
                           "POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
                           "2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n",
                           &used),
                 HTTP_READY);
    cr_assert(view_is_equal(buf_view(&http_borrow_message(r)->body), view_str("abcde")));
}

static void breaks(const char *text, int status)
{
    CLEANUP(http_reader_freep) struct http_reader *r = server();
    size_t used;
    cr_assert_eq(feed_text(r, text, &used), HTTP_BROKEN, "%.40s", text);
    cr_assert_eq(http_broken_status(r), status, "%.40s: %d", text, http_broken_status(r));
    cr_assert_str_neq(http_reason(status), "Unknown");
}

Test(http, malformed_requests_are_400)
{
    breaks("hello\r\n\r\n", 400);
    breaks("GET  HTTP/1.1\r\n\r\n", 400);
    breaks("GET / HTTP/1.1\r\nno colon\r\n\r\n", 400);
    breaks("POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400);
    breaks("POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", 400);
    breaks("POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400);
    breaks("POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400);
    breaks("GET /\x01 HTTP/1.1\r\n\r\n", 400);
}

Test(http, other_protocols_are_refused_by_their_own_status)
{
    breaks("GET / HTTP/2.0\r\n\r\n", 505);
    breaks("GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 501);
    breaks("CONNECT a:1 HTTP/1.1\r\n\r\n", 501);
}

Test(http, limits_have_their_own_status)
{
    breaks("POST / HTTP/1.1\r\nContent-Length: 65537\r\n\r\n", 413);
    CLEANUP(buf_fini) struct buf text = { 0 };
    buf_put_str(&text, "GET /");
    for (unsigned i = 0; i < HTTP_PATH_MAX; i++)
        buf_put_u8(&text, 'a');
    buf_put_str(&text, " HTTP/1.1\r\n\r\n");
    breaks(buf_borrow_str(&text), 414);
    text.len = 0;
    buf_put_str(&text, "GET / HTTP/1.1\r\n");
    while (text.len < HTTP_HEAD_MAX)
        buf_put_str(&text, "X: 0123456789012345678901234567890123456789\r\n");
    breaks(buf_borrow_str(&text), 431);
}

Test(http, chunks_over_the_limit_are_413)
{
    CLEANUP(http_reader_freep) struct http_reader *r = server();
    CLEANUP(buf_fini) struct buf chunk = { 0 };
    size_t used;
    cr_assert_eq(feed_text(r, "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", &used),
                 HTTP_MORE);
    buf_put_str(&chunk, "8000\r\n");
    memset(buf_reserve(&chunk, 0x8000), 'x', 0x8000);
    chunk.len += 0x8000;
    buf_put_str(&chunk, "\r\n");
    cr_assert_eq(http_feed(r, buf_view(&chunk), &used), HTTP_MORE);
    cr_assert_eq(http_feed(r, buf_view(&chunk), &used), HTTP_MORE);
    cr_assert_eq(http_feed(r, buf_view(&chunk), &used), HTTP_BROKEN);
    cr_assert_eq(http_broken_status(r), 413);
}

Test(http, answer_is_read_back_by_the_client_side)
{
    CLEANUP(buf_fini) struct buf out = { 0 };
    CLEANUP(http_reader_freep) struct http_reader *r = http_reader_new(HTTP_SIDE_CLIENT);
    size_t used;
    http_put_answer(&out, 405, "POST", view_str("{\"a\":1}"), true);
    cr_assert_not_null(strstr(buf_borrow_str(&out), "Allow: POST\r\n"));
    cr_assert_eq(http_feed(r, buf_view(&out), &used), HTTP_READY);
    const struct http_message *m = http_borrow_message(r);
    cr_assert(m->status == 405 && m->is_kept);
    cr_assert(view_is_equal(buf_view(&m->body), view_str("{\"a\":1}")));
}

Test(http, answer_without_length_ends_with_the_stream)
{
    CLEANUP(http_reader_freep) struct http_reader *r = http_reader_new(HTTP_SIDE_CLIENT);
    size_t used;
    cr_assert_eq(feed_text(r, "HTTP/1.1 200 OK\r\n\r\nabc", &used), HTTP_MORE);
    cr_assert_eq(http_feed_end(r), HTTP_READY);
    cr_assert_eq(http_borrow_message(r)->body.len, 3);
    CLEANUP(http_reader_freep) struct http_reader *cut = http_reader_new(HTTP_SIDE_CLIENT);
    cr_assert_eq(feed_text(cut, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", &used),
                 HTTP_MORE);
    cr_assert_eq(http_feed_end(cut), HTTP_BROKEN);
}
