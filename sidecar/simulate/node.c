#include "sidecar/simulate/node.h"

#include "common/base/own.h"
#include "sidecar/simulate/checker.h"
#include "sidecar/simulate/place.h"

#include <inttypes.h>
#include <stdio.h>

#define MESSAGE_NS 50000  /* between sidecar and shim, at least */
#define FENCE_NS   300000 /* until the shim has begun to kill */

static int64_t message_ns(struct world *w) { return MESSAGE_NS + world_below(w, FENCE_NS); }

static struct world_agent *agent_of(struct world *w, int node)
{
    int index = w->nodes[node].shim.agent;
    return index < 0 ? NULL : &w->agents[index];
}

static void fence(struct world *w, int node)
{
    struct world_agent *a = agent_of(w, node);
    if (a == NULL || a->is_fenced)
        return;
    a->is_fenced = true;
    a->fenced_ns = w->now_ns + FENCE_NS;
}

static void end_life(struct world *w, int node, const char *how)
{
    struct world_node *n = &w->nodes[node];
    world_tell(w, node, "%s (epoch %" PRId64 ")", how, n->machine.own.epoch);
    n->is_alive = false;
    n->life++;
    n->shim.agent = -1; /* the agent stays in the world's table to its end */
    world_post(w, node, EVENT_START, (200 + world_below(w, w->ttl_ms * 3 / 2)) * NS_PER_MS);
}

/* --- what the machine wants --------------------------------------------------------------------
 */

static void send_arm(struct world *w, int node, const struct machine_action *a)
{
    struct event e = { .kind = EVENT_ARM, .node = node, .life = w->nodes[node].life };
    e.action = *a;
    int64_t pause_ns = world_hits(w, 20) ? world_below(w, w->ttl_ms) * NS_PER_MS : 0;
    world_post_event(w, e, message_ns(w) + pause_ns);
}

static void held(struct world *w, int node)
{
    struct world_node *n = &w->nodes[node];
    int64_t restore_ns = world_below(w, w->ttl_ms / 4) * NS_PER_MS;
    world_tell(w, node, "holds epoch %" PRId64, n->machine.own.epoch);
    n->next_sequence = n->machine.own.head.sequence + 1;
    world_post(w, node, EVENT_GATE, message_ns(w) + restore_ns);
    world_post(w, node, EVENT_WISH, world_below(w, 400) * NS_PER_MS);
}

static void committed(struct world *w, int node, uint64_t ticket)
{
    int64_t sequence = w->nodes[node].ticket_sequence[ticket % WORLD_TICKETS];
    world_tell(w, node, "checkpoint %" PRId64 " is acknowledged", sequence);
    w->counts.commits++;
    checker_on_commit(w, sequence);
}

static void lost(struct world *w, int node)
{
    const struct err *why = &w->nodes[node].machine.why;
    world_tell(w, node, "lost: %s", why->msg);
    w->counts.losses++;
    checker_on_loss(w, node, why);
    end_life(w, node, "ends");
}

static void released(struct world *w, int node)
{
    w->counts.releases++;
    if (!w->nodes[node].machine.wants_stop)
        end_life(w, node, "has released");
}

static void carry_out_one(struct world *w, int node, const struct machine_action *a)
{
    switch (a->what) {
    case ACT_READ:
    case ACT_WRITE:
        place_call(w, node, a, &w->nodes[node].machine.write.record);
        break;
    case ACT_ARM:
        send_arm(w, node, a);
        break;
    case ACT_FENCE:
        fence(w, node);
        break;
    case ACT_WAITING:
        break;
    case ACT_HELD:
        held(w, node);
        break;
    case ACT_DONE:
        committed(w, node, a->ticket);
        break;
    case ACT_RELEASED:
        released(w, node);
        break;
    case ACT_LOST:
        lost(w, node);
        break;
    case ACT_STOPPED:
        end_life(w, node, "stops");
        break;
    }
}

static void carry_out(struct world *w, int node, const struct machine_todo *todo)
{
    struct world_node *n = &w->nodes[node];
    uint64_t life = n->life;
    struct boot at;
    for (size_t i = 0; i < todo->count && n->life == life; i++)
        carry_out_one(w, node, &todo->list[i]);
    if (n->life != life || !machine_wake(&n->machine, &at))
        return;
    int64_t delay_ns = world_delay_to(w, node, at);
    if (n->timer_ns > w->now_ns && n->timer_ns <= w->now_ns + delay_ns)
        return; /* an earlier one is on its way, and asks again */
    n->timer_ns = w->now_ns + delay_ns;
    world_post(w, node, EVENT_TIMER, delay_ns);
}

/* --- what happens to it ------------------------------------------------------------------------
 */

void node_start(struct world *w, int node)
{
    struct world_node *n = &w->nodes[node];
    struct machine_todo todo = { .count = 0 };
    struct machine_spec spec = { .name = WORLD_NAME, .ttl_ms = w->ttl_ms };
    if (n->is_alive || n->is_gone)
        return;
    spec.margin_ms = w->defect == DEFECT_MARGIN ? 1 : w->margin_ms;
    memcpy(spec.who.instance, &(uint64_t){ chance_draw(&w->chance) }, sizeof(uint64_t));
    spec.who.instance[8] = (uint8_t)node;
    (void)snprintf(spec.who.node, sizeof(spec.who.node), "node %d", node);
    n->is_alive = true;
    n->timer_ns = 0;
    n->shim = (struct world_shim){ .agent = -1, .is_deaf = world_hits(w, 30) };
    world_tell(w, node, "starts%s", n->shim.is_deaf ? ", its shim does not answer" : "");
    machine_init(&n->machine, &spec);
    machine_start(&n->machine, world_clock(w, node), &todo);
    carry_out(w, node, &todo);
}

void node_crash(struct world *w, int node)
{
    if (!w->nodes[node].is_alive)
        return;
    w->counts.crashes++;
    end_life(w, node, "is killed");
}

void node_on_reply(struct world *w, struct event reply)
{
    struct machine *m = &w->nodes[reply.node].machine;
    struct machine_todo todo = { .count = 0 };
    struct record record;
    struct err err = { 0 };
    struct boot now = world_clock(w, reply.node);
    bool good = reply.outcome == ERR_NONE;
    if (!good)
        (void)err_set(&err, reply.outcome, "%s", err_kind_name(reply.outcome));
    if (reply.action.what == ACT_WRITE) {
        machine_on_write(m, now, reply.action.call, good ? NULL : &err, &reply.version, &todo);
    } else {
        if (good && m->call_seq == reply.action.call) {
            world_read(w, buf_view(&reply.bytes), &record);
            defect_bend(w->defect, m, &reply.version, &record);
        }
        machine_on_read(m, now, reply.action.call, good ? NULL : &err, &record, &reply.version,
                        &todo);
    }
    buf_fini(&reply.bytes);
    carry_out(w, reply.node, &todo);
}

void node_on_timer(struct world *w, int node)
{
    struct machine_todo todo = { .count = 0 };
    w->nodes[node].timer_ns = 0;
    machine_on_timer(&w->nodes[node].machine, world_clock(w, node), &todo);
    carry_out(w, node, &todo);
}

/* As accept_arm in driver/shim/steps.c. */
static bool accept_arm(struct world *w, int node, const struct machine_action *a)
{
    struct world_shim *shim = &w->nodes[node].shim;
    struct world_agent *agent = agent_of(w, node);
    struct boot now = world_clock(w, node);
    bool is_overdue = agent != NULL && deadline_is_past(shim->deadline, now);
    if ((agent != NULL && agent->is_fenced) || is_overdue || a->epoch < shim->epoch)
        return false;
    if (a->until.at.ns <= shim->deadline.at.ns || deadline_is_past(a->until, now))
        return false;
    shim->epoch = a->epoch;
    shim->deadline = a->until;
    if (agent != NULL)
        agent->deadline = a->until;
    return true;
}

void node_on_arm(struct world *w, const struct event *arm)
{
    if (w->nodes[arm->node].shim.is_deaf)
        return;
    struct event ack = *arm;
    ack.kind = EVENT_ACK;
    ack.accepted = accept_arm(w, arm->node, &arm->action);
    int64_t pause_ns = world_hits(w, 20) ? world_below(w, w->ttl_ms * 3 / 2) * NS_PER_MS : 0;
    world_post_event(w, ack, message_ns(w) + pause_ns);
}

void node_on_ack(struct world *w, const struct event *ack)
{
    struct machine_todo todo = { .count = 0 };
    machine_on_ack(&w->nodes[ack->node].machine, world_clock(w, ack->node), ack->action.seq,
                   ack->accepted, &todo);
    carry_out(w, ack->node, &todo);
}

/* A place in the table: its last agent is over, and no shim has it. */
static int free_agent(const struct world *w)
{
    for (int i = 0; i < WORLD_AGENTS_MAX; i++) {
        const struct world_agent *a = &w->agents[i];
        bool is_kept = w->nodes[a->node].is_alive && w->nodes[a->node].shim.agent == i;
        if (!is_kept && !checker_may_run(w, a))
            return i;
    }
    return -1;
}

void node_on_gate(struct world *w, int node)
{
    struct world_node *n = &w->nodes[node];
    int index = free_agent(w);
    bool wants = n->machine.state == MACHINE_HELD; /* or the engine has taken back its wish */
    if (!wants || index < 0 || deadline_is_past(n->shim.deadline, world_clock(w, node)))
        return;
    checker_on_start(w, node, n->shim.epoch);
    world_tell(w, node, "agent starts in epoch %" PRId64, n->shim.epoch);
    w->counts.starts++;
    n->shim.agent = index;
    w->agents[index] = (struct world_agent){
        .node = node, .epoch = n->shim.epoch, .is_running = true, .deadline = n->shim.deadline
    };
    /* As long as the margin at most: half of them take it whole. */
    int64_t most_ns = w->margin_ms * NS_PER_MS;
    w->agents[index].kill_ns = world_below(w, 2) == 0 ? most_ns : world_below(w, most_ns);
}

static void commit(struct world *w, int node, struct machine_todo *todo)
{
    struct world_node *n = &w->nodes[node];
    struct record_head head = { .sequence = n->next_sequence++, .epoch = n->machine.own.epoch };
    (void)snprintf(head.id, sizeof(head.id), "%d-%" PRIu64 "-%" PRId64, node, n->life,
                   head.sequence);
    uint64_t ticket = machine_commit(&n->machine, world_clock(w, node), &head, todo);
    n->ticket_sequence[ticket % WORLD_TICKETS] = head.sequence;
}

void node_on_wish(struct world *w, int node)
{
    struct world_node *n = &w->nodes[node];
    struct machine_todo todo = { .count = 0 };
    struct world_agent *agent = agent_of(w, node);
    int64_t dice = w->is_calm ? 100 : world_below(w, 100);
    if (dice < 4) {
        world_tell(w, node, "agent ends, release is asked for");
        if (agent != NULL)
            agent->is_running = false;
        n->shim.agent = -1;
        (void)machine_release(&n->machine, world_clock(w, node), &todo);
    } else if (dice < 6) {
        machine_stop(&n->machine, world_clock(w, node), &todo);
    } else if (dice < 8) {
        node_crash(w, node);
        return;
    } else if (n->machine.state == MACHINE_HELD) {
        commit(w, node, &todo);
    }
    world_post(w, node, EVENT_WISH, (20 + world_below(w, 500)) * NS_PER_MS);
    carry_out(w, node, &todo);
}
