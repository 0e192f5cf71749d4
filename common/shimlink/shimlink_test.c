#include "common/shimlink/shimlink.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "common/base/own.h"
#include "common/loop/loop.h"
#include "common/shimwire/msg.h"

/* A link and its scripted peer at the other end of the socket. */
struct fixture {
    struct loop *loop;
    struct shimlink *link;
    struct fd peer;
    unsigned messages, closes;
    struct shim_msg last;
    struct err why;
    unsigned quit_after; /* messages */
    bool free_in_message, free_in_close;
};

static void on_message(void *arg, const struct shim_msg *msg)
{
    struct fixture *f = arg;
    f->last = *msg;
    f->messages++;
    if (f->free_in_message)
        shimlink_freep(&f->link);
    if (f->messages == f->quit_after)
        loop_quit(f->loop);
}

static void on_closed(void *arg, const struct err *why)
{
    struct fixture *f = arg;
    f->why = *why;
    f->closes++;
    if (f->free_in_close)
        shimlink_freep(&f->link);
    loop_quit(f->loop);
}

static void setup(struct fixture *f)
{
    int pair[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    *f = (struct fixture){ .loop = loop_new(), .peer = { pair[1] }, .quit_after = 1 };
    const struct shimlink_events events = { on_message, on_closed, f };
    f->link = shimlink_new(f->loop, (struct fd){ pair[0] }, SHIM_TELLS_DRIVER, &events);
}

static void teardown(struct fixture *f)
{
    shimlink_free(f->link);
    fd_closep(&f->peer);
    loop_free(f->loop);
}

static void peer_send(struct fixture *f, const struct shim_msg *msg)
{
    uint8_t bytes[SHIM_MSG_MAX];
    const size_t len = shim_msg_encode(msg, bytes);
    cr_assert_eq(send(f->peer.raw, bytes, len, 0), (ssize_t)len);
}

static const struct shim_msg event = { .type = SHIM_EVENT, .event = { .text = "restored" } };

Test(shimlink, what_a_later_build_says_is_passed_over)
{
    struct fixture f;
    const uint8_t later[] = { SHIM_VERSION, 200, 0, 0, 0, 0, 7 };
    uint8_t bytes[SHIM_MSG_MAX] = { 0 };
    const struct shim_msg msg = { .type = SHIM_EVENT, .event = { "hello" } };
    setup(&f);
    cr_assert_eq(send(f.peer.raw, later, sizeof(later), 0), (ssize_t)sizeof(later));
    const size_t len = shim_msg_encode(&msg, bytes);
    cr_assert_eq(send(f.peer.raw, bytes, len + 3, 0), (ssize_t)len + 3); /* fields of later, too */
    loop_run(f.loop);
    cr_expect_eq(f.messages, 1);
    cr_expect_eq(f.closes, 0);
    cr_expect_str_eq(f.last.event.text, "hello");
    teardown(&f);
}

Test(shimlink, gives_each_message_once_and_in_order)
{
    struct fixture f;
    setup(&f);
    f.quit_after = 40;
    struct shim_msg state = { .type = SHIM_STATE, .state = { .phase = SHIM_PHASE_RUNNING } };
    for (unsigned i = 0; i < 40; i++) {
        state.state.agent_pid = i;
        peer_send(&f, &state);
    }
    loop_run(f.loop);
    cr_assert_eq(f.messages, 40);
    cr_assert_eq(f.last.type, SHIM_STATE);
    cr_assert_eq(f.last.state.agent_pid, 39);
    cr_assert_eq(f.closes, 0);
    teardown(&f);
}

Test(shimlink, messages_before_the_end_come_before_the_close)
{
    struct fixture f;
    setup(&f);
    f.quit_after = 0;
    peer_send(&f, &event);
    peer_send(&f, &event);
    fd_closep(&f.peer);
    loop_run(f.loop);
    cr_assert_eq(f.messages, 2);
    cr_assert_eq(f.closes, 1);
    cr_assert_eq(f.why.kind, ERR_UNAVAILABLE);
    struct err err = { 0 };
    cr_assert_not(shimlink_send(f.link, &(struct shim_msg){ .type = SHIM_KILL }, &err));
    cr_assert_eq(err.kind, ERR_UNAVAILABLE);
    teardown(&f);
}

Test(shimlink, what_is_no_message_closes_the_link)
{
    struct fixture f;
    setup(&f);
    cr_assert_eq(send(f.peer.raw, "garbage", 7, 0), 7);
    peer_send(&f, &event);
    loop_run(f.loop);
    cr_assert_eq(f.messages, 0);
    cr_assert_eq(f.closes, 1);
    cr_assert_eq(f.why.kind, ERR_CORRUPT);
    teardown(&f);
}

Test(shimlink, a_message_larger_than_any_closes_the_link)
{
    struct fixture f;
    setup(&f);
    uint8_t large[SHIM_MSG_MAX + 1] = { 0 };
    cr_assert_eq(send(f.peer.raw, large, sizeof(large), 0), (ssize_t)sizeof(large));
    loop_run(f.loop);
    cr_assert_eq(f.why.kind, ERR_CORRUPT);
    teardown(&f);
}

Test(shimlink, a_message_of_the_wrong_direction_closes_the_link)
{
    struct fixture f;
    setup(&f);
    peer_send(&f, &(struct shim_msg){ .type = SHIM_KILL });
    loop_run(f.loop);
    cr_assert_eq(f.messages, 0);
    cr_assert_eq(f.why.kind, ERR_DENIED);
    teardown(&f);
}

Test(shimlink, may_be_freed_in_its_own_callbacks)
{
    struct fixture f;
    setup(&f);
    f.free_in_message = true;
    peer_send(&f, &event);
    peer_send(&f, &event);
    loop_run(f.loop);
    cr_assert_eq(f.messages, 1);
    cr_assert_null(f.link);
    teardown(&f);
    setup(&f);
    f.free_in_close = true;
    fd_closep(&f.peer);
    loop_run(f.loop);
    cr_assert_eq(f.closes, 1);
    teardown(&f);
}

struct reader {
    struct fixture *f;
    struct loop_watch *watch;
    unsigned got, wanted;
};

static void peer_read(void *arg, unsigned events)
{
    struct reader *r = arg;
    (void)events;
    uint8_t bytes[SHIM_MSG_MAX];
    struct shim_msg msg;
    struct err err = { 0 };
    const ssize_t len = recv(r->f->peer.raw, bytes, sizeof(bytes), MSG_DONTWAIT);
    if (len <= 0)
        return;
    cr_assert(shim_msg_decode(view_of(bytes, (size_t)len), SHIM_DRIVER_SENDS, &msg, &err), "%s",
              err.msg);
    cr_assert_eq(msg.stop.timeout_ms, r->got);
    if (++r->got == r->wanted)
        loop_quit(r->f->loop);
}

Test(shimlink, queues_what_the_kernel_does_not_take_and_keeps_the_order)
{
    struct fixture f;
    setup(&f);
    const int small = 1;
    cr_assert_eq(setsockopt(f.peer.raw, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
    struct err err = { 0 };
    unsigned sent = 0;
    for (; sent < 50; sent++) {
        const struct shim_msg stop = { .type = SHIM_STOP, .stop = { .timeout_ms = sent } };
        cr_assert(shimlink_send(f.link, &stop, &err), "%s", err.msg);
    }
    struct reader r = { .f = &f, .wanted = sent };
    r.watch = loop_watch_new(f.loop, f.peer.raw, LOOP_READ, peer_read, &r);
    loop_run(f.loop);
    cr_assert_eq(r.got, sent);
    loop_watch_free(r.watch);
    teardown(&f);
}

Test(shimlink, a_peer_that_reads_nothing_loses_the_link)
{
    struct fixture f;
    setup(&f);
    struct err err = { 0 };
    const struct shim_msg kill_it = { .type = SHIM_KILL };
    unsigned sent = 0;
    while (sent < 100000 && shimlink_send(f.link, &kill_it, &err))
        sent++;
    cr_assert_eq(err.kind, ERR_UNAVAILABLE);
    cr_assert_geq(sent, SHIMLINK_QUEUE_MAX);
    loop_run(f.loop);
    cr_assert_eq(f.closes, 1);
    cr_assert_eq(f.why.kind, ERR_UNAVAILABLE);
    teardown(&f);
}

Test(shimlink, opens_by_path_and_says_who_listens)
{
    struct fixture f;
    setup(&f);
    struct err err = { 0 };
    char path[] = "/tmp/shimlink-XXXXXX";
    cr_assert_not_null(mkdtemp(path));
    char *sock = str_format("%s/s", path);
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    (void)snprintf(at.sun_path, sizeof(at.sun_path), "%s", sock);
    struct fd listener = { socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0) };
    cr_assert_eq(bind(listener.raw, (struct sockaddr *)&at, sizeof(at)), 0);
    struct shimlink *link = NULL;
    const struct shimlink_events events = { on_message, on_closed, &f };
    cr_assert_not(shimlink_open(f.loop, sock, &events, &link, &err));
    cr_assert_eq(err.kind, ERR_NOT_FOUND);
    cr_assert_eq(listen(listener.raw, 4), 0);
    cr_assert(shimlink_open(f.loop, sock, &events, &link, &err), "%s", err.msg);
    cr_assert_eq(shimlink_peer_pid(link), getpid());
    shimlink_free(link);
    fd_closep(&listener);
    cr_assert_eq(unlink(sock), 0);
    cr_assert_not(shimlink_open(f.loop, sock, &events, &link, &err));
    cr_assert_eq(err.kind, ERR_NOT_FOUND);
    cr_assert_eq(rmdir(path), 0);
    free(sock);
    teardown(&f);
}

Test(shimlink, names_a_path_that_is_too_long)
{
    struct fixture f;
    setup(&f);
    struct err err = { 0 };
    char path[200];
    memset(path, 'x', sizeof(path));
    path[0] = '/';
    path[108] = '\0';
    struct shimlink *link = NULL;
    const struct shimlink_events events = { on_message, on_closed, &f };
    cr_assert_not(shimlink_open(f.loop, path, &events, &link, &err));
    cr_assert_eq(err.kind, ERR_INVALID);
    cr_assert(strstr(err.msg, "108 bytes, at most 107"), "%s", err.msg);
    path[107] = '\0';
    cr_assert_not(shimlink_open(f.loop, path, &events, &link, &err));
    cr_assert_eq(err.kind, ERR_NOT_FOUND);
    teardown(&f);
}
