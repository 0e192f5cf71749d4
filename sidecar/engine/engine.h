/* engine.h - one agent's life: lease, restore, gate, checkpoints, final checkpoint, release.
 *
 * Runs the table of life.h on the loop, with the shim on one side and the stores on the other. One
 * object is one life: it ends once and is not reused. Several may live in one process (that is how
 * takeover is tested). The order and its reasons: DESIGN.md. */
#pragma once
#include "common/base/fd.h"
#include "common/base/time.h"
#include "common/loop/loop.h"
#include "sidecar/config/config.h"
#include "sidecar/engine/status.h"
#include "sidecar/engine/wishes.h"
#include "sidecar/observe/observe.h"

struct engine;

struct engine_spec {
    const struct sidecar_config *config; /* borrowed; lease.is_present */
    struct fd channel;                   /* to the shim: a connected SOCK_SEQPACKET; ours */
    const struct clock *clock;           /* borrowed */
    struct observe *observe;             /* borrowed */
};

/* Called on the loop. */
struct engine_events {
    /** The shim said who it is; `api_path` is where the agent expects the API, "" nowhere. */
    void (*on_hello)(void *arg, const char *api_path);
    /** Before the gate opens: whatever the agent will need must work now. False is retried, with
     *  `err` told as degraded, for CONFLICT and UNAVAILABLE; other kinds end the start. */
    bool (*on_gate)(void *arg, struct err *err);
    /** The life is over, nothing is at work but, if `is_dirty`, a store call that does not return:
     *  then the process must end without freeing the engine. `why` is NULL when all is durable and
     *  given back. Once, last. */
    void (*on_end)(void *arg, const struct err *why, bool is_dirty);
    void *arg;
};

/** An engine that waits for the shim. Never fails: what is wrong ends its life with a reason. */
struct engine *engine_new(struct loop *loop, struct engine_spec spec,
                          const struct engine_events *events);
/** After on_end (not dirty). NULL is fine. */
void engine_free(struct engine *engine);

/** Asks for a checkpoint that begins after this call. `done` runs once, never inside this call;
 *  `wish` is the caller's memory until then. False when nobody is to be asked: INVALID this agent
 *  has no state, CONFLICT it does not run now. Kinds of `done`: UNAVAILABLE not durable, FENCED. */
MUST_USE bool engine_wish(struct engine *engine, struct wish *wish, struct err *err);
/** Forgets a wish that is not done yet: `done` does not run. The checkpoint goes on. */
void engine_forget(struct engine *engine, struct wish *wish);

/** What the engine knows now. */
void engine_status(const struct engine *engine, struct engine_status *out);
