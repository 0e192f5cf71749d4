#include "sidecar/simulate/world.h"

#include "common/base/own.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

struct world *world_new(uint64_t seed, enum defect defect, bool is_traced)
{
    static const int64_t ttls_ms[] = { 1000, 1500, 3000 };
    struct world *w = mem_new(struct world);
    w->chance = chance_of(seed);
    w->defect = defect;
    w->is_traced = is_traced;
    w->ttl_ms = ttls_ms[world_below(w, COUNT(ttls_ms))];
    w->margin_ms = w->ttl_ms / WORLD_MARGIN_PART;
    w->node_count = 2 + (int)world_below(w, WORLD_NODES_MAX - 1);
    w->server = mem_server_new();
    w->store = mem_server_connect(w->server);
    for (int i = 0; i < w->node_count; i++) {
        struct world_node *n = &w->nodes[i];
        int64_t kind = world_below(w, 4);
        n->rate_ppm = kind == 0   ? -WORLD_DRIFT_PPM
                      : kind == 1 ? WORLD_DRIFT_PPM
                                  : world_below(w, 2 * WORLD_DRIFT_PPM + 1) - WORLD_DRIFT_PPM;
        n->offset_ns = world_below(w, 1000000) * NS_PER_MS;
        n->shim.agent = -1;
        world_post(w, i, EVENT_START, world_below(w, 300) * NS_PER_MS);
    }
    return w;
}

void world_free(struct world *w)
{
    if (w == NULL)
        return;
    queue_fini(&w->queue);
    while (w->parked_count > 0)
        buf_fini(&w->parked[--w->parked_count].bytes);
    store_close(w->store);
    mem_server_free(w->server);
    buf_fini(&w->trace);
    buf_fini(&w->bytes);
    free(w);
}

struct boot world_clock_at(const struct world *w, int node, int64_t at_ns)
{
    const struct world_node *n = &w->nodes[node];
    return (struct boot){ n->offset_ns + at_ns + at_ns / 1000000 * n->rate_ppm };
}

struct boot world_clock(const struct world *w, int node)
{
    return world_clock_at(w, node, w->now_ns);
}

int64_t world_delay_to(const struct world *w, int node, struct boot at)
{
    int64_t left_ns = at.ns - world_clock(w, node).ns;
    return left_ns > 0 ? left_ns + left_ns / 100 + 1000 : 1000; /* a slow clock is waited for */
}

void world_post_event(struct world *w, struct event event, int64_t delay_ns)
{
    event.at_ns = w->now_ns + delay_ns;
    queue_post(&w->queue, event);
}

void world_post(struct world *w, int node, enum event_kind kind, int64_t delay_ns)
{
    struct event e = { .kind = kind, .node = node, .life = w->nodes[node].life };
    world_post_event(w, e, delay_ns);
}

bool world_hits(struct world *w, int per_mille)
{
    return !w->is_calm && chance_below(&w->chance, 1000) < per_mille;
}

int64_t world_below(struct world *w, int64_t bound) { return chance_below(&w->chance, bound); }

int64_t world_network_ns(struct world *w)
{
    int64_t fast_ns = NS_PER_MS / 5 + world_below(w, 3 * NS_PER_MS);
    if (!world_hits(w, 50))
        return fast_ns;
    w->counts.late++;
    return fast_ns + world_below(w, w->ttl_ms * 3 / 2) * NS_PER_MS;
}

void world_tell(struct world *w, int node, const char *fmt, ...)
{
    char line[400];
    va_list args;
    if (!w->is_traced)
        return;
    va_start(args, fmt);
    (void)vsnprintf(line, sizeof(line), fmt, args);
    va_end(args);
    buf_put_fmt(&w->trace, "%7lld.%03lld ms  ", (long long)(w->now_ns / NS_PER_MS),
                (long long)(w->now_ns / 1000 % 1000));
    if (node < 0)
        buf_put_fmt(&w->trace, "store   %s\n", line);
    else
        buf_put_fmt(&w->trace, "node %d  %s\n", node, line);
}

void world_violate(struct world *w, const char *fmt, ...)
{
    va_list args;
    if (w->is_violated)
        return;
    w->is_violated = true;
    va_start(args, fmt);
    (void)vsnprintf(w->violation, sizeof(w->violation), fmt, args);
    va_end(args);
    world_tell(w, -1, "VIOLATED: %s", w->violation);
}

/* FNV-1a: finds bytes that were mixed up. Keys are not the subject here (record_keys). */
static bool checksum(void *arg, const struct record *record, struct view bytes,
                     uint8_t out[RECORD_MAC_BYTES], struct err *err)
{
    uint64_t hash = 0xcbf29ce484222325U;
    (void)arg, (void)record, (void)err;
    for (size_t i = 0; i < bytes.len; i++)
        hash = (hash ^ bytes.data[i]) * 0x100000001b3U;
    memset(out, 0, RECORD_MAC_BYTES);
    memcpy(out, &hash, sizeof(hash));
    return true;
}

void world_encode(const struct record *record, struct buf *out)
{
    struct err err = { 0 };
    bool good = record_encode(record, &(struct record_auth){ checksum, NULL }, out, &err);
    assert(good);
}

void world_decode(struct view bytes, struct record *out)
{
    struct err err = { 0 };
    bool good = record_decode(bytes, WORLD_NAME, &(struct record_auth){ checksum, NULL }, out,
                              &err);
    assert(good);
}

void world_read(const struct world *w, struct view bytes, struct record *out)
{
    if (view_is_equal(bytes, buf_view(&w->bytes)))
        *out = w->record;
    else
        world_decode(bytes, out);
}
