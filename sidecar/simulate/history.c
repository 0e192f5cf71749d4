#include "sidecar/simulate/history.h"

#include "sidecar/simulate/checker.h"
#include "sidecar/simulate/node.h"
#include "sidecar/simulate/place.h"

#include <stdio.h>

#define ROUGH_TTLS  12 /* with faults */
#define SETTLE_TTLS 6  /* calm: what was on its way arrives, a whole wait, a restart */
#define STEADY_TTLS 3  /* calm, and nobody loses any more */
#define STILL_NS    (20 * NS_PER_MS)

static bool is_for_process(enum event_kind kind)
{
    return kind == EVENT_REPLY || kind == EVENT_TIMER || kind == EVENT_ACK || kind == EVENT_WISH;
}
static bool is_for_shim(enum event_kind kind) { return kind == EVENT_ARM || kind == EVENT_GATE; }

static void deliver(struct world *w, struct event e)
{
    switch (e.kind) {
    case EVENT_REQUEST:
        place_on_request(w, e);
        break;
    case EVENT_WATCH_END:
        place_on_watch_end(w, &e);
        break;
    case EVENT_REPLY:
        node_on_reply(w, e);
        break;
    case EVENT_TIMER:
        node_on_timer(w, e.node);
        break;
    case EVENT_ARM:
        node_on_arm(w, &e);
        break;
    case EVENT_ACK:
        node_on_ack(w, &e);
        break;
    case EVENT_GATE:
        node_on_gate(w, e.node);
        break;
    case EVENT_WISH:
        node_on_wish(w, e.node);
        break;
    case EVENT_START:
        node_start(w, e.node);
        break;
    case EVENT_RESUME:
        w->nodes[e.node].is_paused = w->nodes[e.node].is_suspended = false;
        world_tell(w, e.node, "goes on");
        break;
    }
}

/* The store breaks down and comes back; a process, or its whole node, is stopped for a while. */
static void draw_faults(struct world *w, const struct event *e)
{
    struct world_node *n = &w->nodes[e->node];
    if (world_hits(w, 3)) {
        w->is_down = !w->is_down;
        world_tell(w, -1, w->is_down ? "is down" : "is back");
    }
    if (world_hits(w, w->is_denying ? 20 : 1))
        w->is_denying = !w->is_denying;
    if (!is_for_process(e->kind) || n->is_paused || !world_hits(w, 4))
        return;
    n->is_paused = true;
    n->is_suspended = world_below(w, 3) == 0;
    w->counts.pauses++;
    world_tell(w, e->node, n->is_suspended ? "is suspended" : "sidecar is stopped");
    world_post(w, e->node, EVENT_RESUME, world_below(w, 3 * w->ttl_ms) * NS_PER_MS);
}

static void turn(struct world *w)
{
    struct event e = queue_pop(&w->queue);
    const struct world_node *n = &w->nodes[e.node];
    w->now_ns = e.at_ns;
    w->counts.events++;
    bool is_mine = is_for_process(e.kind) || is_for_shim(e.kind);
    if (is_mine && (!n->is_alive || e.life != n->life)) {
        buf_fini(&e.bytes);
        return;
    }
    draw_faults(w, &e);
    if ((is_for_process(e.kind) && n->is_paused) || (is_for_shim(e.kind) && n->is_suspended))
        world_post_event(w, e, STILL_NS);
    else
        deliver(w, e);
}

static void run_until(struct world *w, int64_t ttls)
{
    int64_t end_ns = ttls * w->ttl_ms * NS_PER_MS;
    while (!w->is_violated && w->queue.count > 0 && w->queue.events[0].at_ns < end_ns)
        turn(w);
    w->now_ns = end_ns;
}

static void calm_down(struct world *w)
{
    w->is_calm = true;
    w->is_down = w->is_denying = false;
    bool loses_holder = world_below(w, 2) == 0;
    world_tell(w, -1, "from here on there are no faults");
    for (int i = 0; i < w->node_count; i++) {
        struct world_node *n = &w->nodes[i];
        n->is_paused = n->is_suspended = n->shim.is_deaf = false;
        if (loses_holder && n->is_alive && n->machine.state == MACHINE_HELD) {
            n->is_gone = true;
            loses_holder = false;
            node_crash(w, i);
        }
    }
}

void history_run(const struct history_spec *spec, struct history *out)
{
    struct world *w = world_new(spec->seed, spec->defect, spec->is_traced);
    run_until(w, ROUGH_TTLS);
    if (!w->is_violated)
        calm_down(w);
    run_until(w, ROUGH_TTLS + SETTLE_TTLS);
    w->is_settled = true;
    run_until(w, ROUGH_TTLS + SETTLE_TTLS + STEADY_TTLS);
    if (!w->is_violated)
        checker_at_end(w);
    *out = (struct history){ .holds = !w->is_violated,
                             .trace = buf_take(&w->trace),
                             .counts = w->counts };
    (void)snprintf(out->violation, sizeof(out->violation), "%s", w->violation);
    world_free(w);
}

void history_fini(struct history *history) { buf_fini(&history->trace); }
