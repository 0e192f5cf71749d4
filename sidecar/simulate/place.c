#include "sidecar/simulate/place.h"

#include "sidecar/simulate/checker.h"

#include <assert.h>

static const struct deadline never = { { INT64_MAX } }; /* the store is asked in no real time */

void place_call(struct world *w, int node, const struct machine_action *action,
                const struct record *record)
{
    uint64_t life = w->nodes[node].life;
    struct event e = { .kind = EVENT_REPLY, .node = node, .life = life, .action = *action };
    e.outcome = ERR_UNAVAILABLE;
    world_post_event(w, e, world_delay_to(w, node, action->until.at));
    if (world_hits(w, 60)) {
        w->counts.lost++;
        world_tell(w, node, "request %llu is lost", (unsigned long long)action->call);
        return;
    }
    int copies = world_hits(w, 50) ? 2 : 1;
    for (int i = 0; i < copies; i++) {
        e = (struct event){ .kind = EVENT_REQUEST, .node = node, .life = life, .action = *action };
        int64_t late_ns = i > 0 ? world_below(w, 4 * w->ttl_ms) * NS_PER_MS : 0;
        e.is_mute = i > 0 || world_hits(w, 70);
        w->counts.lost += e.is_mute;
        if (action->what == ACT_WRITE)
            world_encode(record, &e.bytes);
        world_post_event(w, e, world_network_ns(w) + late_ns);
    }
}

static void wake_watchers(struct world *w)
{
    while (w->parked_count > 0) {
        struct event e = w->parked[--w->parked_count];
        e.action.has_seen = false;
        world_post_event(w, e, 1000);
    }
}

static enum err_kind read_record(struct world *w, struct event *reply)
{
    struct err err = { 0 };
    bool good = store_read(w->store, WORLD_NAME, never, &reply->bytes, &reply->version, &err);
    return good ? ERR_NONE : err.kind;
}

static enum err_kind write_record(struct world *w, const struct event *request,
                                  struct store_version *out_version)
{
    struct err err = { 0 };
    struct record record;
    const struct machine_action *a = &request->action;
    struct view bytes = buf_view(&request->bytes);
    bool good = a->is_create ? store_create(w->store, WORLD_NAME, bytes, never, out_version, &err)
                             : store_replace(w->store, WORLD_NAME, &a->version, bytes, never,
                                             out_version, &err);
    if (!good)
        return err.kind;
    world_decode(bytes, &record);
    world_tell(w, -1, "write of node %d takes effect: epoch %lld, renewal %lld, checkpoint %lld%s",
               request->node, (long long)record.epoch, (long long)record.renewals,
               (long long)record.head.sequence, record.released ? ", released" : "");
    checker_on_write(w, &record);
    w->bytes.len = 0;
    buf_put(&w->bytes, bytes);
    wake_watchers(w);
    return ERR_NONE;
}

static void serve(struct world *w, struct event request)
{
    struct event reply = { .kind = EVENT_REPLY, .node = request.node, .life = request.life };
    reply.action = request.action;
    if (w->is_denying)
        reply.outcome = ERR_DENIED;
    else if (request.action.what == ACT_READ)
        reply.outcome = read_record(w, &reply);
    else
        reply.outcome = write_record(w, &request, &reply.version);
    w->counts.refused += w->is_denying;
    buf_fini(&request.bytes);
    if (request.is_mute)
        buf_fini(&reply.bytes);
    else
        world_post_event(w, reply, world_network_ns(w));
}

static bool may_watch(struct world *w, const struct event *request)
{
    const struct machine_action *a = &request->action;
    struct event now = { 0 };
    if (!a->has_seen || w->is_denying || w->parked_count == WORLD_PARKED_MAX ||
        deadline_is_past(a->watch, world_clock(w, request->node)))
        return false;
    bool is_same = read_record(w, &now) == ERR_NONE &&
                   store_version_is_equal(&now.version, &a->version);
    buf_fini(&now.bytes);
    return is_same;
}

void place_on_request(struct world *w, struct event request)
{
    if (w->is_down) {
        w->counts.lost++;
        buf_fini(&request.bytes);
        return;
    }
    if (!may_watch(w, &request)) {
        serve(w, request);
        return;
    }
    struct event end = { .kind = EVENT_WATCH_END, .node = request.node, .life = request.life };
    end.action = request.action;
    int64_t wait_ns = world_delay_to(w, request.node, request.action.watch.at);
    w->parked[w->parked_count++] = request;
    world_post_event(w, end, wait_ns);
}

void place_on_watch_end(struct world *w, const struct event *end)
{
    for (size_t i = 0; i < w->parked_count; i++) {
        struct event e = w->parked[i];
        if (e.node != end->node || e.life != end->life || e.action.call != end->action.call)
            continue;
        w->parked[i] = w->parked[--w->parked_count];
        serve(w, e);
        return;
    }
}
