#include "sidecar/simulate/checker.h"

#include <inttypes.h>

static void check_head(struct world *w, const struct record *next, bool is_same)
{
    const struct record *last = &w->record;
    bool is_moved = next->head.sequence != last->head.sequence;
    if (last->has_head && !next->has_head)
        world_violate(w, "G1: the head was lost");
    else if (next->head.sequence < last->head.sequence)
        world_violate(w, "G1: the head went back from %" PRId64 " to %" PRId64, last->head.sequence,
                      next->head.sequence);
    else if (last->has_head && !is_moved && strcmp(next->head.id, last->head.id) != 0)
        world_violate(w, "G1: two commits of sequence %" PRId64, next->head.sequence);
    else if (is_moved && (next->head.epoch != next->epoch || !is_same))
        world_violate(w, "G1: commit of epoch %" PRId64 " in epoch %" PRId64, next->head.epoch,
                      next->epoch);
}

void checker_on_write(struct world *w, const struct record *next)
{
    const struct record *last = &w->record;
    bool is_same = w->has_record && record_is_held_by(next, last->holder.instance) &&
                   next->epoch == last->epoch;
    if (next->epoch < last->epoch)
        world_violate(w, "G1: write of epoch %" PRId64 ", but %" PRId64 " has begun", next->epoch,
                      last->epoch);
    else if (!is_same && next->epoch != last->epoch + 1)
        world_violate(w, "G4: epoch %" PRId64 " after %" PRId64, next->epoch, last->epoch);
    else if (is_same && last->released)
        world_violate(w, "G1: write of epoch %" PRId64 " after its release", next->epoch);
    else if (is_same && next->renewals != last->renewals + 1)
        world_violate(w, "G1: renewal %" PRId64 " after %" PRId64, next->renewals, last->renewals);
    else
        check_head(w, next, is_same);
    w->has_record = true;
    w->record = *next;
    if (w->record.head.sequence < w->durable_sequence)
        world_violate(w, "G1: acknowledged checkpoint %" PRId64 " was lost", w->durable_sequence);
}

bool checker_may_run(const struct world *w, const struct world_agent *agent)
{
    if (!agent->is_running)
        return false;
    if (agent->is_fenced && w->now_ns >= agent->fenced_ns + agent->kill_ns)
        return false;
    struct boot killed_since = world_clock_at(w, agent->node, w->now_ns - agent->kill_ns);
    return !deadline_is_past(agent->deadline, killed_since);
}

void checker_on_start(struct world *w, int node, int64_t epoch)
{
    for (int i = 0; i < WORLD_AGENTS_MAX; i++) {
        const struct world_agent *other = &w->agents[i];
        if (checker_may_run(w, other))
            world_violate(w,
                          "G2: node %d starts its agent in epoch %" PRId64
                          ", but on node %d one of epoch %" PRId64 " still runs",
                          node, epoch, other->node, other->epoch);
    }
    if (epoch <= w->started_epoch)
        world_violate(w, "G4: node %d starts its agent in epoch %" PRId64 ", which is not new",
                      node, epoch);
    w->started_epoch = epoch;
}

void checker_on_commit(struct world *w, int64_t sequence)
{
    if (w->record.head.sequence < sequence)
        world_violate(w, "G1: acknowledged checkpoint %" PRId64 " is not in the store", sequence);
    if (sequence > w->durable_sequence)
        w->durable_sequence = sequence;
}

void checker_on_loss(struct world *w, int node, const struct err *why)
{
    if (w->is_settled)
        world_violate(w, "progress: node %d lost without a fault: %.160s", node, why->msg);
}

void checker_at_end(struct world *w)
{
    int running = 0;
    for (int i = 0; i < w->node_count; i++) {
        const struct world_node *n = &w->nodes[i];
        running += n->is_alive && n->machine.state == MACHINE_HELD && n->shim.agent >= 0 &&
                   checker_may_run(w, &w->agents[n->shim.agent]);
    }
    if (running != 1)
        world_violate(w, "progress: %d holders with a running agent after a calm time", running);
}
