#include "sidecar/engine/port.h"

#include "common/base/own.h"
#include "common/log/log.h"
#include "common/shimlink/shimlink.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#define GATE_SEQ     0xffffffffU /* freezes have the top bit too, and never reach this one */
#define ARM_SEQ_LAST 0x7fffffffU

struct port {
    struct shimlink *link;
    struct port_events events;
    bool is_fenced, is_gate_asked;
    uint32_t arm_seq; /* of the newest ARM, with its deadline */
    struct deadline arm_deadline, armed;
};

static void send(struct port *port, const struct shim_msg *msg)
{
    struct err err; /* the link tells its end itself */
    if (!shimlink_send(port->link, msg, &err))
        return;
}

static void on_ack(struct port *p, uint32_t seq, bool ok)
{
    if (seq == GATE_SEQ) {
        if (p->is_gate_asked)
            p->events.on_gate(p->events.arg, ok);
        p->is_gate_asked = false;
        return;
    }
    if (ok && seq == p->arm_seq)
        p->armed = p->arm_deadline;
    p->events.on_arm_ack(p->events.arg, seq, ok);
}

/* What the link lets through from a shim is one of these; the rest of the enum goes elsewhere. */
static void on_message(void *arg, const struct shim_msg *msg)
{
    struct port *p = arg;
    const struct port_events *e = &p->events;
    switch (msg->type) {
    case SHIM_HELLO:
        e->on_hello(e->arg, msg->hello.api);
        break;
    case SHIM_ARM_ACK:
        on_ack(p, msg->seq, msg->reply.ok);
        break;
    case SHIM_FROZEN:
        e->on_frozen(e->arg, msg->seq, msg->reply.ok);
        break;
    case SHIM_AGENT_STARTED:
        e->on_started(e->arg, msg->started.pid);
        break;
    case SHIM_AGENT_EXITED:
        e->on_exited(e->arg, msg->exited.exit_code, msg->exited.signal);
        break;
    case SHIM_STOPPING:
        e->on_stopping(e->arg, msg->stopping.left_ms);
        break;
    case SHIM_THAWED: /* the cut has its own bound and does not wait for it */
    case SHIM_EVENT:
    case SHIM_ARM:
    case SHIM_GATE_OPEN:
    case SHIM_FENCE:
    case SHIM_FREEZE:
    case SHIM_THAW:
    case SHIM_DONE:
    case SHIM_SIGNAL:
    case SHIM_STOP:
    case SHIM_KILL:
    case SHIM_STATE:
    case SHIM_EXITED:
    case SHIM_EXEC_ENDED:
        break;
    }
}

static void on_closed(void *arg, const struct err *why)
{
    struct port *p = arg;
    p->events.on_gone(p->events.arg, why);
}

struct port *port_new(struct loop *loop, struct fd channel, const struct port_events *events)
{
    struct port *p = mem_new(struct port);
    p->events = *events;
    p->link = shimlink_new(loop, channel, SHIM_TELLS_SIDECAR,
                           &(struct shimlink_events){ on_message, on_closed, p });
    return p;
}

void port_free(struct port *p)
{
    if (p == NULL)
        return;
    shimlink_free(p->link);
    free(p);
}

void port_event(struct port *p, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    struct shim_msg msg = { .type = SHIM_EVENT };
    shim_text_copy(msg.event.text, text);
    LOG(LOG_INFO, "event", F(text, (const char *)text));
    send(p, &msg);
}

void port_arm(struct port *p, uint64_t seq, int64_t epoch, struct deadline deadline)
{
    assert(seq <= ARM_SEQ_LAST);
    p->arm_seq = (uint32_t)seq;
    p->arm_deadline = deadline;
    struct shim_msg msg = { .type = SHIM_ARM, .seq = (uint32_t)seq };
    msg.arm.epoch = (uint64_t)epoch;
    msg.arm.deadline_ns = deadline.at.ns;
    send(p, &msg);
}

void port_gate(struct port *p, int64_t epoch, const char *restored)
{
    struct shim_msg msg = { .type = SHIM_GATE_OPEN, .seq = GATE_SEQ };
    msg.arm.epoch = (uint64_t)epoch;
    msg.arm.deadline_ns = p->armed.at.ns;
    (void)snprintf(msg.arm.restored, sizeof msg.arm.restored, "%s", restored);
    p->is_gate_asked = true;
    send(p, &msg);
}

void port_fence(struct port *p, const char *why)
{
    if (p->is_fenced)
        return;
    p->is_fenced = true;
    struct shim_msg msg = { .type = SHIM_FENCE };
    shim_text_copy(msg.fence.text, why);
    send(p, &msg);
}

void port_freeze(struct port *p, uint32_t seq, uint32_t freeze_ms)
{
    struct shim_msg msg = { .type = freeze_ms == 0 ? SHIM_THAW : SHIM_FREEZE, .seq = seq };
    if (freeze_ms != 0)
        msg.freeze.max_ms = freeze_ms;
    send(p, &msg);
}

void port_done(struct port *p, const struct err *why)
{
    struct shim_msg msg = { .type = SHIM_DONE };
    if (why != NULL) {
        msg.done.kind = (uint8_t)why->kind;
        shim_text_copy(msg.done.text, why->msg);
    }
    send(p, &msg);
}
