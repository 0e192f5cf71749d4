#include "sidecar/engine/port.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* The test is the shim at the other end. */
struct scene {
    struct loop *loop;
    struct port *port;
    struct fd shim;
    unsigned hellos, acks, gates, frozen, started, exited, stopping, gone, wanted;
    char api[64];
    uint64_t ack_seq;
    bool ack_ok, gate_ok;
    uint32_t left_ms;
};

static void heard(struct scene *s)
{
    if (--s->wanted == 0)
        loop_quit(s->loop);
}
static void on_hello(void *arg, const char *api)
{
    struct scene *s = arg;
    s->hellos++;
    (void)snprintf(s->api, sizeof s->api, "%.63s", api);
    heard(s);
}
static void on_arm_ack(void *arg, uint64_t seq, bool ok)
{
    struct scene *s = arg;
    s->acks++;
    s->ack_seq = seq;
    s->ack_ok = ok;
    heard(s);
}
static void on_gate(void *arg, bool ok)
{
    struct scene *s = arg;
    s->gates++;
    s->gate_ok = ok;
    heard(s);
}
static void on_frozen(void *arg, uint32_t seq, bool ok)
{
    struct scene *s = arg;
    (void)seq, (void)ok;
    s->frozen++;
    heard(s);
}
static void on_started(void *arg, uint32_t pid)
{
    struct scene *s = arg;
    s->started = pid;
    heard(s);
}
static void on_exited(void *arg, int32_t code, int32_t signo)
{
    struct scene *s = arg;
    s->exited = (unsigned)(code * 100 + signo);
    heard(s);
}
static void on_stopping(void *arg, uint32_t left_ms)
{
    struct scene *s = arg;
    s->left_ms = left_ms;
    heard(s);
}
static void on_gone(void *arg, const struct err *why)
{
    struct scene *s = arg;
    cr_assert_eq(why->kind, ERR_UNAVAILABLE);
    s->gone++;
    heard(s);
}

static void begin(struct scene *s)
{
    int ends[2];
    const struct port_events events = { on_hello,  on_arm_ack,  on_gate, on_frozen, on_started,
                                        on_exited, on_stopping, on_gone, s };
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
    s->loop = loop_new();
    s->shim.raw = ends[0];
    s->port = port_new(s->loop, (struct fd){ ends[1] }, &events);
}
static void end(struct scene *s)
{
    port_free(s->port);
    fd_closep(&s->shim);
    loop_free(s->loop);
}
static void tell(struct scene *s, struct shim_msg msg)
{
    uint8_t bytes[SHIM_MSG_MAX];
    size_t len = shim_msg_encode(&msg, bytes);
    cr_assert_eq(send(s->shim.raw, bytes, len, 0), (ssize_t)len);
    s->wanted++;
}
/* The next message the shim got; type 0 when there is none. */
static struct shim_msg next(struct scene *s)
{
    uint8_t bytes[SHIM_MSG_MAX];
    struct shim_msg msg = { 0 };
    struct err err;
    ssize_t got = recv(s->shim.raw, bytes, sizeof bytes, 0);
    if (got > 0)
        cr_assert(shim_msg_decode(view_of(bytes, (size_t)got), SHIM_SIDECAR_SENDS, &msg, &err));
    return msg;
}

Test(port, each_message_reaches_its_callback, .timeout = 10)
{
    struct scene s = { 0 };
    struct shim_msg hello = { .type = SHIM_HELLO };
    (void)snprintf(hello.hello.api, sizeof hello.hello.api, "/run/api");
    begin(&s);
    tell(&s, hello);
    tell(&s, (struct shim_msg){ .type = SHIM_FROZEN, .reply.ok = true });
    tell(&s, (struct shim_msg){ .type = SHIM_AGENT_STARTED, .started.pid = 77 });
    tell(&s, (struct shim_msg){ .type = SHIM_STOPPING, .stopping.left_ms = 900 });
    tell(&s, (struct shim_msg){ .type = SHIM_AGENT_EXITED, .exited = { 3, 9 } });
    loop_run(s.loop);
    cr_assert_str_eq(s.api, "/run/api");
    cr_assert(s.frozen == 1 && s.started == 77 && s.left_ms == 900 && s.exited == 309);
    fd_closep(&s.shim);
    s.wanted = 1;
    loop_run(s.loop);
    cr_assert_eq(s.gone, 1);
    end(&s);
}

Test(port, gate_carries_the_newest_acknowledged_deadline_only, .timeout = 10)
{
    struct scene s = { 0 };
    begin(&s);
    port_arm(s.port, 1, 5, (struct deadline){ { 1000 } });
    port_arm(s.port, 2, 5, (struct deadline){ { 2000 } });
    cr_assert_eq(next(&s).arm.deadline_ns, 1000);
    cr_assert_eq(next(&s).arm.deadline_ns, 2000);
    tell(&s, (struct shim_msg){ .type = SHIM_ARM_ACK, .seq = 2, .reply.ok = true });
    loop_run(s.loop);
    cr_assert(s.acks == 1 && s.ack_seq == 2 && s.ack_ok);
    port_arm(s.port, 3, 5, (struct deadline){ { 3000 } });
    (void)next(&s);
    tell(&s, (struct shim_msg){ .type = SHIM_ARM_ACK, .seq = 3, .reply.ok = false });
    loop_run(s.loop);
    port_gate(s.port, 5, "id-1");
    struct shim_msg gate = next(&s);
    cr_assert(gate.type == SHIM_GATE_OPEN && gate.arm.deadline_ns == 2000 && gate.arm.epoch == 5);
    cr_assert_str_eq(gate.arm.restored, "id-1");
    tell(&s, (struct shim_msg){ .type = SHIM_ARM_ACK, .seq = gate.seq, .reply.ok = true });
    loop_run(s.loop);
    cr_assert(s.gates == 1 && s.gate_ok && s.acks == 2, "not taken for an answer to ARM");
    end(&s);
}

Test(port, fence_is_sent_once_and_texts_are_cut, .timeout = 10)
{
    struct scene s = { 0 };
    char text[1000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    begin(&s);
    port_fence(s.port, "lost");
    port_fence(s.port, "lost again");
    struct shim_msg fence = next(&s);
    cr_assert(fence.type == SHIM_FENCE && strcmp(fence.fence.text, "lost") == 0);
    port_event(s.port, "%s", text);
    struct shim_msg event = next(&s);
    cr_assert(event.type == SHIM_EVENT && strlen(event.event.text) == SHIM_TEXT_MAX);
    cr_assert_eq(next(&s).type, 0);
    end(&s);
}

Test(port, freeze_thaw_and_done_are_what_they_say, .timeout = 10)
{
    struct scene s = { 0 };
    struct err why;
    begin(&s);
    port_freeze(s.port, 0x80000001U, 300);
    struct shim_msg freeze = next(&s);
    cr_assert(freeze.type == SHIM_FREEZE && freeze.freeze.max_ms == 300 &&
              freeze.seq == 0x80000001U);
    port_freeze(s.port, 0x80000001U, 0);
    cr_assert_eq(next(&s).type, SHIM_THAW);
    port_done(s.port, NULL);
    struct shim_msg done = next(&s);
    cr_assert(done.type == SHIM_DONE && done.done.kind == ERR_NONE);
    err_set(&why, ERR_CORRUPT, "bad pack");
    port_done(s.port, &why);
    done = next(&s);
    cr_assert(done.done.kind == ERR_CORRUPT && strcmp(done.done.text, "bad pack") == 0);
    end(&s);
}

Test(port, number_of_an_arm_stays_below_the_engines, .signal = SIGABRT)
{
    struct scene s = { 0 };
    begin(&s);
    port_arm(s.port, 0x80000000U, 1, (struct deadline){ { 1 } });
}
