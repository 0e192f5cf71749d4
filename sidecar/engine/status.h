/* status.h - what is known of a life now, put together for people and tools.
 *
 * A value with borrowed texts, filled from the parts of an engine; decides nothing. */
#pragma once
#include "sidecar/engine/claim.h"
#include "sidecar/engine/life.h"
#include "sidecar/engine/news.h"
#include "sidecar/engine/state.h"

struct engine_status {
    const char *name, *node; /* lent by the configuration */
    enum life_state state;
    int64_t epoch;         /* 0 when not held */
    int64_t lease_left_ms; /* until the acknowledged deadline */
    const char *holder;    /* standby: the node that is waited for, else ""; lent until next turn */
    int64_t holder_epoch;
    bool has_checkpoint;
    char checkpoint_id[PACK_ID_TEXT];
    int64_t sequence;
    int64_t age_ms; /* since the committed state was last seen to be the present one; -1 unknown */
    int64_t rpo_ms; /* what would be lost now, at most; 0 while the agent does not run */
    uint32_t agent_pid;
    unsigned unsaved_count; /* trees that were put aside, as seen at the start */
    const char *unsaved;    /* the path of the newest; "" none; lent with the engine */
    const char *degraded;   /* why; "" when not; lent until the next turn */
};

struct status_parts { /* all borrowed */
    const struct sidecar_config *config;
    const char *node;
    enum life_state phase;
    const struct lease *lease; /* NULL: not made yet */
    struct state *state;       /* NULL: none */
    const struct news *news;
    uint32_t agent_pid;         /* 0: none */
    struct boot now, opened_at; /* the gate */
};

/** Fills `out`. */
void status_fill(const struct status_parts *parts, struct engine_status *out);
