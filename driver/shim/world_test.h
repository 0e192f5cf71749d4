/* world_test.h - for the tests of the core: a core, a clock that only the test moves, and what was
 * said so far. */
#pragma once
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "driver/shim/core.h"

#define MS(n) ((int64_t)(n)*NS_PER_MS)

struct world { /* a core, a clock that only we move, and what was said so far */
    struct shim_core core;
    struct shim_now now;
    int spawns, finishes, sidecar_kills;
    bool gate_was_opened;
};

static inline void init(struct world *w, bool sidecar)
{
    memset(w, 0, sizeof(*w));
    w->now.boot.ns = MS(1000);
    w->now.wall.ns = MS(5000);
    struct shim_core_config config = { .has_sidecar = sidecar,
                                       .can_freeze = true,
                                       .stop_signal = SIGINT,
                                       .stop_timeout_ms = 4000,
                                       .reserve_ms = 1000,
                                       .containment = 3,
                                       .nonce = { 9 } };
    shim_core_init(&w->core, &config);
}

static inline const struct shim_action *said(const struct world *w, enum shim_action_type type)
{
    for (size_t i = 0; i < w->core.action_count; i++)
        if (w->core.actions[i].type == type)
            return &w->core.actions[i];
    return NULL;
}

static inline const struct shim_msg *told(const struct world *w, enum shim_action_type to,
                                          enum shim_msg_type type)
{
    for (size_t i = 0; i < w->core.action_count; i++)
        if (w->core.actions[i].type == to && w->core.actions[i].msg.type == type)
            return &w->core.actions[i].msg;
    return NULL;
}

static inline void step(struct world *w, const struct shim_input *in)
{
    shim_core_step(&w->core, in, &w->now);
    w->spawns += said(w, SHIM_ACT_SPAWN_AGENT) != NULL;
    w->finishes += said(w, SHIM_ACT_FINISH) != NULL;
    w->sidecar_kills += said(w, SHIM_ACT_KILL_SIDECAR) != NULL;
}

static inline void event(struct world *w, enum shim_event event)
{
    step(w, &(struct shim_input){ .event = event });
}

/* Moves the clock to `ms` after the start and lets everything happen that is due on the way. */
static inline void pass_to(struct world *w, int64_t ms)
{
    enum shim_event due;
    while (shim_core_next(&w->core) <= MS(1000 + ms)) {
        w->now.boot.ns = shim_core_next(&w->core);
        cr_assert(shim_core_due(&w->core, w->now.boot, &due));
        event(w, due);
    }
    w->now.boot.ns = MS(1000 + ms);
}

static inline bool arm(struct world *w, enum shim_event how, uint64_t epoch, int64_t at_ms)
{
    struct shim_input in = { .event = how, .msg = { .type = SHIM_ARM, .seq = 77 } };
    in.msg.arm.epoch = epoch;
    in.msg.arm.deadline_ns = at_ms == SHIM_NEVER ? SHIM_NO_DEADLINE : MS(1000 + at_ms);
    step(w, &in);
    const struct shim_msg *ack = told(w, SHIM_ACT_TELL_SIDECAR, SHIM_ARM_ACK);
    cr_assert_not_null(ack);
    cr_assert_eq(ack->seq, 77);
    return ack->reply.ok;
}

/* A task with a sidecar whose agent runs, with a lease of `lease_ms`. */
static inline void run(struct world *w, int64_t lease_ms)
{
    init(w, true);
    event(w, SHIM_ON_START);
    cr_assert(arm(w, SHIM_ON_GATE_OPEN, 7, lease_ms));
    step(w, &(struct shim_input){ .event = SHIM_ON_AGENT_EXECUTED, .pid = 42, .start_ticks = 4 });
    cr_assert_eq(w->core.phase, SHIM_PHASE_RUNNING);
}

static inline void agent_exits(struct world *w, int32_t code, int32_t signal)
{
    step(w, &(struct shim_input){
                .event = SHIM_ON_AGENT_EXITED, .exit_code = code, .signal = signal });
}

static inline void stop(struct world *w, int32_t signo, uint32_t timeout_ms)
{
    struct shim_input in = { .event = SHIM_ON_STOP };
    in.msg.stop.signo = signo;
    in.msg.stop.timeout_ms = timeout_ms;
    step(w, &in);
}

static inline void freeze(struct world *w, uint32_t max_ms)
{
    struct shim_input in = { .event = SHIM_ON_FREEZE, .msg = { .type = SHIM_FREEZE, .seq = 5 } };
    in.msg.freeze.max_ms = max_ms;
    step(w, &in);
}

static inline void done(struct world *w, uint8_t kind)
{
    struct shim_input in = { .event = SHIM_ON_DONE };
    in.msg.done.kind = kind;
    step(w, &in);
}
