#include "sidecar/api/conn.h"

#include "common/base/own.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <sys/socket.h>

/* A server over one end of a pair; the test is the client and plays while the loop runs. */
struct scene {
    struct loop *loop;
    struct conn *conn;
    struct fd client;
    bool answers_later, finishes;
    unsigned requests, closed, quit_after;
    char last_path[64];
    struct buf heard;
    size_t answer_bytes; /* of filler in the body */
};

static void answer(void *arg)
{
    struct scene *s = arg;
    CLEANUP(buf_fini) struct buf json = { 0 };
    buf_put_fmt(&json, "{\"path\":\"%s\"}", s->last_path);
    for (size_t i = 0; i < s->answer_bytes; i++)
        buf_put_u8(&json, ' ');
    conn_answer(s->conn, 200, NULL, buf_view(&json));
}
static void on_request(void *arg, const struct http_message *request)
{
    struct scene *s = arg;
    s->requests++;
    (void)snprintf(s->last_path, sizeof s->last_path, "%.63s", request->path);
    if (s->finishes)
        conn_finish(s->conn);
    if (s->answers_later)
        loop_post(s->loop, answer, s);
    else
        answer(s);
}
static void on_closed(void *arg)
{
    struct scene *s = arg;
    s->closed++;
    conn_free(s->conn);
    s->conn = NULL;
    loop_quit(s->loop);
}
static void tick(void *arg) { loop_quit(((struct scene *)arg)->loop); }

static void begin(struct scene *s)
{
    int ends[2];
    s->loop = loop_new();
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    s->client.raw = ends[0];
    s->conn = conn_new(s->loop, (struct fd){ ends[1] },
                       &(struct conn_events){ on_request, on_closed, s });
}
static void end(struct scene *s)
{
    conn_free(s->conn);
    fd_closep(&s->client);
    buf_fini(&s->heard);
    loop_free(s->loop);
}
static void say(struct scene *s, const char *text)
{
    cr_assert_eq(send(s->client.raw, text, strlen(text), 0), (ssize_t)strlen(text));
}
/* Runs the loop for a few turns and hears what came. */
static void turn(struct scene *s)
{
    struct loop_timer *timer = loop_timer_new(s->loop, tick, s);
    loop_timer_arm(timer, boot_add_ms(boot_now(), 20));
    loop_run(s->loop);
    loop_timer_free(timer);
    for (ssize_t got = 1; got > 0;) {
        got = recv(s->client.raw, buf_reserve(&s->heard, 65536), 65536, 0);
        s->heard.len += got > 0 ? (size_t)got : 0;
    }
}
static unsigned count(struct scene *s, const char *what)
{
    unsigned n = 0;
    for (const char *at = buf_borrow_str(&s->heard); (at = strstr(at, what)) != NULL; at++)
        n++;
    return n;
}

Test(conn, kept_connection_answers_request_after_request, .timeout = 20)
{
    struct scene s = { 0 };
    begin(&s);
    say(&s, "GET /a HTTP/1.1\r\n\r\n");
    turn(&s);
    cr_assert(count(&s, "HTTP/1.1 200 OK") == 1 && count(&s, "{\"path\":\"/a\"}") == 1);
    cr_assert(conn_is_idle(s.conn) && s.closed == 0);
    say(&s, "GET /b HTTP/1.1\r\nConnection: close\r\n\r\n");
    turn(&s);
    cr_assert(count(&s, "HTTP/1.1 200 OK") == 2 && s.closed == 1);
    end(&s);
}

Test(conn, pipelined_requests_are_answered_in_order_one_at_a_time, .timeout = 20)
{
    struct scene s = { .answers_later = true };
    begin(&s);
    say(&s, "GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\nGET /c HTTP/1.1\r\n\r\n");
    turn(&s);
    cr_assert_eq(s.requests, 3);
    const char *text = buf_borrow_str(&s.heard);
    const char *a = strstr(text, "\"/a\""), *b = strstr(text, "\"/b\""),
               *c = strstr(text, "\"/c\"");
    cr_assert(a != NULL && b != NULL && c != NULL && a < b && b < c);
    end(&s);
}

Test(conn, finished_connection_answers_once_more_and_closes, .timeout = 20)
{
    struct scene s = { .finishes = true };
    begin(&s);
    say(&s, "GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n");
    turn(&s);
    cr_assert(s.requests == 1 && s.closed == 1 && count(&s, "HTTP/1.1 200 OK") == 1);
    cr_assert_eq(count(&s, "Connection: close"), 1);
    end(&s);
}

Test(conn, broken_request_is_told_and_closed, .timeout = 20)
{
    struct scene s = { 0 };
    begin(&s);
    say(&s, "nonsense\r\n\r\n");
    turn(&s);
    cr_assert(count(&s, "HTTP/1.1 400 ") == 1 && count(&s, "\"kind\":\"INVALID\"") == 1);
    cr_assert(s.closed == 1 && s.requests == 0);
    end(&s);
}

Test(conn, body_over_the_limit_is_413, .timeout = 20)
{
    struct scene s = { 0 };
    begin(&s);
    say(&s, "POST /a HTTP/1.1\r\nContent-Length: 100000\r\n\r\n");
    turn(&s);
    cr_assert(count(&s, "HTTP/1.1 413 ") == 1 && s.closed == 1);
    end(&s);
}

Test(conn, client_that_leaves_is_forgotten, .timeout = 20)
{
    struct scene s = { 0 };
    begin(&s);
    say(&s, "GET /a HT");
    turn(&s);
    fd_closep(&s.client);
    loop_run(s.loop);
    cr_assert(s.closed == 1 && s.requests == 0);
    end(&s);
}

Test(conn, client_that_leaves_before_its_answer_is_noticed_then, .timeout = 20)
{
    struct scene s = { .answers_later = true };
    begin(&s);
    say(&s, "GET /a HTTP/1.1\r\n\r\n");
    fd_closep(&s.client);
    loop_run(s.loop);
    cr_assert(s.closed == 1 && s.requests == 1);
    end(&s);
}

Test(conn, client_that_does_not_read_stops_only_itself, .timeout = 20)
{
    struct scene s = { .answer_bytes = 1 << 20 };
    begin(&s);
    say(&s, "GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n");
    struct loop_timer *timer = loop_timer_new(s.loop, tick, &s);
    loop_timer_arm(timer, boot_add_ms(boot_now(), 20));
    loop_run(s.loop);
    loop_timer_free(timer);
    cr_assert(s.requests == 1 && !conn_is_idle(s.conn), "the second waits for the first's bytes");
    for (unsigned i = 0; i < 200 && s.requests < 2; i++)
        turn(&s);
    cr_assert_eq(s.requests, 2);
    end(&s);
}
