#include "sidecar/api/client.h"

#include "common/base/fd.h"
#include "common/base/file.h"
#include "common/base/own.h"
#include "common/loop/loop.h"
#include "sidecar/api/listener.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* A server on a worker that accepts once, hears a little, says its text and hangs up. */
struct scene {
    struct loop *loop;
    char root[32], path[64];
    struct fd listener;
    const char *says; /* NULL: nothing, until the client leaves */
    char heard[1024];
    struct buf out;
    struct err err;
};

static void serve(void *arg)
{
    struct scene *s = arg;
    struct pollfd wait = { .fd = s->listener.raw, .events = POLLIN };
    cr_assert_eq(poll(&wait, 1, 5000), 1);
    int fd = accept4(s->listener.raw, NULL, NULL, SOCK_CLOEXEC);
    ssize_t got = recv(fd, s->heard, sizeof s->heard - 1, 0);
    s->heard[got > 0 ? got : 0] = '\0';
    if (s->says == NULL)
        (void)recv(fd, s->heard, 1, 0);
    else
        cr_assert_eq(send(fd, s->says, strlen(s->says), MSG_NOSIGNAL), (ssize_t)strlen(s->says));
    close(fd);
}
static void served(void *arg) { loop_quit(((struct scene *)arg)->loop); }

static bool call(struct scene *s, int64_t ms)
{
    struct err err;
    (void)snprintf(s->root, sizeof s->root, "/tmp/client-XXXXXX");
    cr_assert_not_null(mkdtemp(s->root));
    (void)snprintf(s->path, sizeof s->path, "%s/api", s->root);
    cr_assert(listener_open(s->path, &s->listener, &err), "%s", err.msg);
    s->loop = loop_new();
    loop_work(s->loop, serve, served, s);
    struct deadline until = deadline_after(boot_now(), ms, 0);
    bool ok = api_call(s->path, "POST", "/v1/barrier", until, &s->out, &s->err);
    loop_run(s->loop);
    loop_free(s->loop);
    fd_closep(&s->listener);
    cr_assert(dir_remove_tree(s->root, &err));
    return ok;
}

Test(client, body_of_a_good_answer_is_given, .timeout = 20)
{
    struct scene s = { .says = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{\"id\":\"\"}" };
    cr_assert(call(&s, 5000), "%s", s.err.msg);
    cr_assert_str_eq(buf_borrow_str(&s.out), "{\"id\":\"\"}");
    cr_assert_eq(strncmp(s.heard, "POST /v1/barrier HTTP/1.1\r\n", 27), 0);
    buf_fini(&s.out);
}

Test(client, error_of_the_api_comes_with_its_kind, .timeout = 20)
{
    struct scene s = { .says = "HTTP/1.1 409 Conflict\r\nConnection: close\r\n\r\n"
                               "{\"error\":{\"kind\":\"FENCED\",\"message\":\"lost\"}}" };
    cr_assert_not(call(&s, 5000));
    cr_assert(s.err.kind == ERR_FENCED && strcmp(s.err.msg, "lost") == 0);
}

Test(client, silence_is_unavailable_after_the_deadline, .timeout = 20)
{
    struct scene s = { .says = NULL };
    cr_assert_not(call(&s, 100));
    cr_assert_eq(s.err.kind, ERR_UNAVAILABLE);
}

Test(client, cut_answer_is_unavailable_and_garbage_is_corrupt, .timeout = 20)
{
    struct scene cut = { .says = "HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{" };
    struct scene garbage = { .says = "SSH-2.0-OpenSSH\r\n" };
    cr_assert_not(call(&cut, 5000));
    cr_assert_eq(cut.err.kind, ERR_UNAVAILABLE);
    cr_assert_not(call(&garbage, 5000));
    cr_assert_eq(garbage.err.kind, ERR_CORRUPT);
}

Test(client, nobody_there_is_not_found)
{
    struct err err = { 0 };
    CLEANUP(buf_fini) struct buf out = { 0 };
    struct deadline until = deadline_after(boot_now(), 100, 0);
    cr_assert_not(api_call("/no/socket", "GET", "/", until, &out, &err));
    cr_assert_eq(err.kind, ERR_NOT_FOUND);
}
