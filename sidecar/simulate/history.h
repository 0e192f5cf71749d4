/* history.h - one history: the lease's real code in a bad world, from a seed, with its verdict.
 *
 * Faults for twelve ttl, then calm for nine: in the calm somebody must come to hold, and nobody may
 * lose any more; in half of the histories the holder is gone for good when the calm begins. Pure:
 * the same seed gives the same history, bit for bit, on every machine. What is real and what is
 * played: DESIGN.md. */
#pragma once
#include "sidecar/simulate/world.h"

struct history_spec {
    uint64_t seed;
    enum defect defect;
    bool is_traced;
};

struct history {
    bool holds;
    char violation[240]; /* the first one, with its guarantee; empty when all hold */
    struct buf trace;    /* text; empty unless asked for */
    struct world_counts counts;
};

/** Plays the history. history_fini releases the trace. */
void history_run(const struct history_spec *spec, struct history *out);
void history_fini(struct history *history);
