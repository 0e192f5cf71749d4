/* world.h - one simulated world: true time, nodes with their own clocks, processes, agents, a
 * store.
 *
 * Everything that a history is made of, and the moves that all of its parts use. Private to this
 * room. A world is one seed; nothing in it depends on the machine it runs on. DESIGN.md. */
#pragma once
#include "sidecar/lease/machine.h"
#include "sidecar/simulate/chance.h"
#include "sidecar/simulate/defect.h"
#include "sidecar/simulate/queue.h"
#include "sidecar/store/mem.h"

#define WORLD_NAME        "simulated" /* the agent's */
#define WORLD_NODES_MAX   4
#define WORLD_AGENTS_MAX  64
#define WORLD_TICKETS     64
#define WORLD_PARKED_MAX  64
#define WORLD_MARGIN_PART 5    /* the margin is this part of ttl, as the lease has it */
#define WORLD_DRIFT_PPM   5000 /* each clock against true time: together the 1% allowed for */

/* What runs under a shim, until its deadline or a fence, and then for as long as the kill takes. */
struct world_agent {
    int node;
    int64_t epoch;
    bool is_running, is_fenced;
    struct deadline deadline; /* on its node's clock; the shim's */
    int64_t fenced_ns;        /* true time */
    int64_t kill_ns;          /* how long the kill takes */
};

struct world_shim {
    int64_t epoch;
    struct deadline deadline;
    int agent;    /* index, or -1: not started */
    bool is_deaf; /* takes nothing from the sidecar */
};

struct world_node {
    struct machine machine;
    bool is_alive, is_paused; /* is_paused: the sidecar is stopped */
    bool is_suspended;        /* the whole node is */
    bool is_gone;             /* it never comes back */
    uint64_t life;
    int64_t rate_ppm, offset_ns; /* of its clock */
    int64_t timer_ns;            /* true time of the next timer event; 0: none */
    struct world_shim shim;
    int64_t next_sequence;
    int64_t ticket_sequence[WORLD_TICKETS];
};

struct world_counts {
    uint64_t events, starts, losses, commits, releases, crashes, pauses, lost, late, refused;
};

struct world {
    struct chance chance;
    enum defect defect;
    int64_t now_ns, calm_ns;
    int64_t ttl_ms, margin_ms;
    bool is_calm, is_settled; /* no more faults; and everybody has had time */
    bool is_down, is_denying; /* the store */
    int node_count;
    struct world_node nodes[WORLD_NODES_MAX];
    struct world_agent agents[WORLD_AGENTS_MAX];
    struct queue queue;
    struct mem_server *server;
    struct store *store;
    struct event parked[WORLD_PARKED_MAX]; /* reads that wait in the store's watch */
    size_t parked_count;
    struct record record; /* as the checker knows it */
    struct buf bytes;     /* and as it was written */
    bool has_record;
    int64_t durable_sequence, started_epoch;
    bool is_violated;
    char violation[240];
    bool is_traced;
    struct buf trace;
    struct world_counts counts;
};

/** A world of `seed` in which nothing has happened. Freed by world_free. */
struct world *world_new(uint64_t seed, enum defect defect, bool is_traced);
void world_free(struct world *w);

/** What node `node`'s boot clock shows when true time is `at_ns`. */
struct boot world_clock_at(const struct world *w, int node, int64_t at_ns);
struct boot world_clock(const struct world *w, int node);
/** True time until `node`'s clock shows `at`, never early. */
int64_t world_delay_to(const struct world *w, int node, struct boot at);
/** Posts an event of `kind` for the life that `node` has now. */
void world_post(struct world *w, int node, enum event_kind kind, int64_t delay_ns);
/** As world_post, with all else as in `event`, whose bytes it takes. */
void world_post_event(struct world *w, struct event event, int64_t delay_ns);
/** True `per_mille` times of 1000; never once all is calm. */
bool world_hits(struct world *w, int per_mille);
/** 0 .. bound - 1. */
int64_t world_below(struct world *w, int64_t bound);
/** How long a message is on its way: sometimes very long. */
int64_t world_network_ns(struct world *w);
/** Adds a line to the trace, if there is one. */
void world_tell(struct world *w, int node, const char *fmt, ...) PRINTF(3, 4);
/** A guarantee is broken: the first one is kept, and ends the history. */
void world_violate(struct world *w, const char *fmt, ...) PRINTF(2, 3);

/** The bytes of a record with its tag, a plain checksum here; it always fits. */
void world_encode(const struct record *record, struct buf *out);
void world_decode(struct view bytes, struct record *out);
/** As world_decode, but what was written last is not read anew. */
void world_read(const struct world *w, struct view bytes, struct record *out);
