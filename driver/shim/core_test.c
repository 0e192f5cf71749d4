#include "driver/shim/core.h"

#include "driver/shim/world_test.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- every pair ---- */

/* Sentences of DESIGN.md that hold after every step, whatever happened. */
static void check(const struct world *w, const struct shim_core *before)
{
    const struct shim_core *c = &w->core;
    bool has_agent = c->phase >= SHIM_PHASE_STARTING && c->phase <= SHIM_PHASE_KILLING;
    bool may_run = c->phase >= SHIM_PHASE_STARTING && c->phase <= SHIM_PHASE_STOPPING;
    cr_assert_leq(w->spawns, 1); /* I1 */
    cr_assert(w->spawns == 0 || !c->config.has_sidecar || w->gate_was_opened);
    cr_assert_geq(c->epoch, before->epoch); /* I3 */
    cr_assert_geq(c->deadline_ns, before->deadline_ns);
    if (may_run && c->deadline_ns != 0 && c->deadline_ns != SHIM_NO_DEADLINE)
        cr_assert_eq(c->timers[SHIM_TIMER_LEASE], c->deadline_ns); /* I2 */
    if (c->record.cause == EXIT_FENCED)
        cr_assert_geq(c->phase, SHIM_PHASE_KILLING);
    if (c->hold != SHIM_RUNS)
        cr_assert_neq(c->timers[SHIM_TIMER_THAW], SHIM_NEVER); /* I5 */
    if (c->phase == SHIM_PHASE_STOPPING)
        cr_assert_neq(c->timers[SHIM_TIMER_STOP], SHIM_NEVER); /* I6 */
    if (c->phase == SHIM_PHASE_KILLING)
        cr_assert_neq(c->timers[SHIM_TIMER_REKILL], SHIM_NEVER); /* I7 */
    if (c->phase == SHIM_PHASE_CLOSING && c->sidecar_alive)      /* I8 */
        cr_assert(c->timers[SHIM_TIMER_SIDECAR] != SHIM_NEVER || w->sidecar_kills > 0);
    cr_assert_eq(w->finishes, c->phase == SHIM_PHASE_ENDED); /* I9 */
    if (c->phase == SHIM_PHASE_ENDED) {
        cr_assert_not(c->sidecar_alive);
        cr_assert_neq(c->record.cause, EXIT_NONE);
        cr_assert_eq(shim_core_next(c), SHIM_NEVER);
    }
    if (before->phase == SHIM_PHASE_ENDED)
        cr_assert_eq(c->action_count, 0);
    if (has_agent && before->phase == SHIM_PHASE_CLOSING)
        cr_assert_fail("an agent after the end");
}

static void fill(struct shim_input *in, enum shim_event event, unsigned variant)
{
    *in = (struct shim_input){ .event = event };
    in->exit_code = (int32_t)variant;
    in->signal = variant % 2 ? 0 : 9;
    in->pid = 42;
    if (event == SHIM_ON_ARM || event == SHIM_ON_GATE_OPEN) {
        in->msg.arm.epoch = 6 + variant % 3;
        in->msg.arm.deadline_ns = variant % 4 == 0 ? SHIM_NO_DEADLINE : MS(500 + 700 * variant);
    } else if (event == SHIM_ON_FREEZE) {
        in->msg.freeze.max_ms = variant * 100;
    } else if (event == SHIM_ON_STOP) {
        in->msg.stop.timeout_ms = variant % 3 == 0 ? UINT32_MAX : variant * 300;
        in->msg.stop.signo = (int32_t)variant * 20 - 30;
    } else if (event == SHIM_ON_SIGNAL) {
        in->msg.signal.signo = (int32_t)variant * 30 - 30;
    } else if (event == SHIM_ON_DONE) {
        in->msg.done.kind = (uint8_t)(variant % ERR_KIND_COUNT);
    }
}

static void checked_step(struct world *w, enum shim_event event, unsigned variant)
{
    struct shim_core before = w->core;
    struct shim_input in;
    fill(&in, event, variant);
    step(w, &in);
    const struct shim_msg *ack = told(w, SHIM_ACT_TELL_SIDECAR, SHIM_ARM_ACK);
    if (event == SHIM_ON_GATE_OPEN && ack != NULL && ack->reply.ok)
        w->gate_was_opened = true;
    if (before.record.cause == EXIT_FENCED && ack != NULL)
        cr_assert_not(ack->reply.ok); /* I4 */
    check(w, &before);
}

/* Every event in every phase, reached by the shortest way, with and without a sidecar. */
Test(core, every_event_is_legal_in_every_phase)
{
    static const enum shim_event way[][6] = {
        { 0 },
        { SHIM_ON_START },
        { SHIM_ON_START, SHIM_ON_GATE_OPEN },
        { SHIM_ON_START, SHIM_ON_GATE_OPEN, SHIM_ON_AGENT_EXECUTED },
        { SHIM_ON_START, SHIM_ON_GATE_OPEN, SHIM_ON_AGENT_EXECUTED, SHIM_ON_STOP },
        { SHIM_ON_START, SHIM_ON_GATE_OPEN, SHIM_ON_AGENT_EXECUTED, SHIM_ON_FENCE },
        { SHIM_ON_START, SHIM_ON_STOP },
        { SHIM_ON_START, SHIM_ON_SIDECAR_EXITED },
    };
    static const size_t lengths[] = { 0, 1, 2, 3, 4, 4, 2, 2 };
    for (unsigned phase = 0; phase < 8; phase++)
        for (int e = 0; e < SHIM_EVENT_COUNT; e++)
            for (unsigned variant = 1; variant < 6; variant++) {
                struct world w;
                init(&w, true);
                for (size_t i = 0; i < lengths[phase]; i++)
                    checked_step(&w, way[phase][i], 4); /* a gate without a deadline */
                cr_assert_eq((unsigned)w.core.phase, phase);
                checked_step(&w, (enum shim_event)e, variant);
            }
}

/* Long histories of anything, the clock running on; the same ones every time. */
Test(core, no_history_breaks_an_invariant)
{
    uint64_t seed = 88172645463325252u;
    for (int history = 0; history < 4000; history++) {
        struct world w;
        init(&w, history % 2 == 0);
        checked_step(&w, SHIM_ON_START, 0);
        for (int i = 0; i < 40; i++) {
            seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
            enum shim_event due;
            w.now.boot.ns += MS(seed % 300);
            while (shim_core_due(&w.core, w.now.boot, &due))
                checked_step(&w, due, 0);
            /* Due events come from the clock only, and then in order. */
            checked_step(&w, (enum shim_event)((seed >> 20) % SHIM_ON_LEASE_DUE),
                         (unsigned)(seed >> 40) % 6);
        }
        for (int i = 0; w.core.phase != SHIM_PHASE_ENDED && i < 20; i++) {
            checked_step(&w, SHIM_ON_KILL, 0); /* and it always comes to an end */
            checked_step(&w, SHIM_ON_TREE_EMPTY, 0);
            checked_step(&w, SHIM_ON_SIDECAR_EXITED, 0);
        }
        cr_assert_eq(w.core.phase, SHIM_PHASE_ENDED);
    }
}

/* ---- stories ---- */

Test(core, without_a_sidecar_the_agent_starts_at_once)
{
    struct world w;
    init(&w, false);
    event(&w, SHIM_ON_START);
    cr_expect_not_null(said(&w, SHIM_ACT_SPAWN_AGENT));
    cr_expect_eq(w.core.phase, SHIM_PHASE_STARTING);
    cr_expect_eq(shim_core_next(&w.core), SHIM_NEVER);
}

Test(core, the_gate_needs_a_deadline_that_is_not_past)
{
    struct world w;
    init(&w, true);
    event(&w, SHIM_ON_START);
    cr_expect_not_null(said(&w, SHIM_ACT_SPAWN_SIDECAR));
    cr_expect_not(arm(&w, SHIM_ON_GATE_OPEN, 7, 0));
    cr_expect_not(arm(&w, SHIM_ON_GATE_OPEN, 7, -5));
    cr_expect_null(said(&w, SHIM_ACT_SPAWN_AGENT));
    cr_expect(arm(&w, SHIM_ON_GATE_OPEN, 7, 1));
    cr_expect_not_null(said(&w, SHIM_ACT_SPAWN_AGENT));
}

Test(core, the_armed_deadline_may_be_repeated_by_the_gate_while_it_is_in_the_future)
{
    struct world w;
    init(&w, true);
    event(&w, SHIM_ON_START);
    cr_assert(arm(&w, SHIM_ON_ARM, 7, 100));
    pass_to(&w, 100);
    cr_expect_not(arm(&w, SHIM_ON_GATE_OPEN, 7, 100)); /* past */
    cr_assert(arm(&w, SHIM_ON_ARM, 7, 200));
    cr_expect_not(arm(&w, SHIM_ON_GATE_OPEN, 6, 200)); /* another epoch */
    cr_expect(arm(&w, SHIM_ON_GATE_OPEN, 7, 200));
}

Test(core, only_later_deadlines_of_no_lower_epoch_are_armed)
{
    struct world w;
    run(&w, 100);
    cr_expect_not(arm(&w, SHIM_ON_ARM, 7, 100));
    cr_expect_not(arm(&w, SHIM_ON_ARM, 7, 99));
    cr_expect_not(arm(&w, SHIM_ON_ARM, 6, 200));
    cr_expect(arm(&w, SHIM_ON_ARM, 7, 200));
    cr_expect(arm(&w, SHIM_ON_ARM, 8, 201));
    cr_expect_not(arm(&w, SHIM_ON_ARM, 7, 300));
    cr_expect_eq(w.core.epoch, 8);
}

Test(core, at_the_deadline_and_not_a_moment_before_the_agent_is_killed)
{
    struct world w;
    run(&w, 100);
    pass_to(&w, 99);
    cr_expect_eq(w.core.phase, SHIM_PHASE_RUNNING);
    pass_to(&w, 100);
    cr_expect_eq(w.core.phase, SHIM_PHASE_KILLING);
    cr_expect_not_null(said(&w, SHIM_ACT_KILL_TREE));
    cr_expect_eq(w.core.record.cause, EXIT_FENCED);
    cr_expect_not(arm(&w, SHIM_ON_ARM, 8, 9999));
}

Test(core, the_deadline_fences_in_the_middle_of_a_stop_too)
{
    struct world w;
    run(&w, 100);
    stop(&w, 0, 4000);
    pass_to(&w, 100);
    cr_expect_eq(w.core.phase, SHIM_PHASE_KILLING);
    cr_expect_eq(w.core.record.cause, EXIT_FENCED);
}

Test(core, the_kill_is_repeated_until_the_tree_is_empty)
{
    struct world w;
    run(&w, 100);
    pass_to(&w, 100);
    for (int i = 1; i <= 5; i++) {
        pass_to(&w, 100 + 100 * i);
        cr_expect_not_null(said(&w, SHIM_ACT_KILL_TREE), "repetition %d", i);
    }
    agent_exits(&w, 137, 9);
    event(&w, SHIM_ON_TREE_EMPTY);
    cr_expect_eq(w.core.phase, SHIM_PHASE_CLOSING);
    const struct shim_msg *gone = told(&w, SHIM_ACT_TELL_SIDECAR, SHIM_AGENT_EXITED);
    cr_assert_not_null(gone);
    cr_expect_eq(gone->exited.signal, 9);
}

Test(core, a_stop_shares_out_its_time)
{
    struct world w;
    run(&w, 60000);
    stop(&w, SIGUSR1, 3000);
    cr_expect_eq(said(&w, SHIM_ACT_SIGNAL_AGENT)->msg.signal.signo, SIGUSR1);
    cr_expect_eq(told(&w, SHIM_ACT_TELL_SIDECAR, SHIM_STOPPING)->stopping.left_ms, 3000);
    pass_to(&w, 1999);
    cr_expect_eq(w.core.phase, SHIM_PHASE_STOPPING);
    pass_to(&w, 2000); /* the last 1000 ms are the sidecar's */
    cr_expect_eq(w.core.phase, SHIM_PHASE_KILLING);
    event(&w, SHIM_ON_TREE_EMPTY);
    pass_to(&w, 2999);
    cr_expect_eq(w.sidecar_kills, 0);
    pass_to(&w, 3000);
    cr_expect_eq(w.sidecar_kills, 1);
    cr_expect_eq(w.core.record.cause, EXIT_KILLED);
}

Test(core, a_reserve_of_more_than_half_leaves_half_to_the_agent)
{
    struct world w;
    run(&w, 60000);
    stop(&w, 0, 1000);
    cr_expect_eq(said(&w, SHIM_ACT_SIGNAL_AGENT)->msg.signal.signo, SIGINT); /* the spec's */
    pass_to(&w, 499);
    cr_expect_eq(w.core.phase, SHIM_PHASE_STOPPING);
    pass_to(&w, 500);
    cr_expect_eq(w.core.phase, SHIM_PHASE_KILLING);
}

Test(core, a_second_stop_may_only_shorten)
{
    struct world w;
    run(&w, 60000);
    stop(&w, 0, 3000);
    stop(&w, 0, 9000);
    cr_expect_null(said(&w, SHIM_ACT_SIGNAL_AGENT));
    pass_to(&w, 1999);
    cr_expect_eq(w.core.phase, SHIM_PHASE_STOPPING);
    stop(&w, 0, 0);
    pass_to(&w, 1999);
    cr_expect_eq(w.core.phase, SHIM_PHASE_KILLING);
    cr_expect_eq(w.sidecar_kills, 1);
}

Test(core, very_long_stops_do_not_overflow)
{
    struct world w;
    run(&w, SHIM_NEVER);
    stop(&w, 0, UINT32_MAX - 1);
    cr_expect_gt(shim_core_next(&w.core), MS(4000000000));
    w.core.config.stop_timeout_ms = UINT32_MAX;
    stop(&w, 0, UINT32_MAX);
    cr_expect_gt(shim_core_next(&w.core), w.now.boot.ns);
}

Test(core, a_freeze_is_bounded_on_both_sides)
{
    struct world w;
    run(&w, 60000);
    freeze(&w, 1000);
    cr_expect_not_null(said(&w, SHIM_ACT_FREEZE));
    pass_to(&w, 249);
    cr_expect_eq(w.core.hold, SHIM_FREEZING);
    pass_to(&w, 250); /* not frozen in time: given up, and said */
    cr_expect_eq(w.core.hold, SHIM_RUNS);
    cr_expect_not(told(&w, SHIM_ACT_TELL_SIDECAR, SHIM_FROZEN)->reply.ok);
    freeze(&w, 1000);
    event(&w, SHIM_ON_TREE_FROZEN);
    cr_expect(told(&w, SHIM_ACT_TELL_SIDECAR, SHIM_FROZEN)->reply.ok);
    pass_to(&w, 1249);
    cr_expect_eq(w.core.hold, SHIM_IS_FROZEN);
    pass_to(&w, 1250);
    cr_expect_eq(w.core.hold, SHIM_RUNS);
    cr_expect_not_null(said(&w, SHIM_ACT_THAW));
}

Test(core, a_freeze_without_end_is_cut_to_the_limit)
{
    struct world w;
    run(&w, 60000);
    freeze(&w, UINT32_MAX);
    event(&w, SHIM_ON_TREE_FROZEN);
    pass_to(&w, SHIM_FREEZE_MAX_MS - 1);
    cr_expect_eq(w.core.hold, SHIM_IS_FROZEN);
    pass_to(&w, SHIM_FREEZE_MAX_MS);
    cr_expect_eq(w.core.hold, SHIM_RUNS);
}

Test(core, a_second_freeze_does_not_prolong_the_first)
{
    struct world w;
    run(&w, 60000);
    freeze(&w, 100);
    event(&w, SHIM_ON_TREE_FROZEN);
    freeze(&w, 5000);
    cr_expect_not(told(&w, SHIM_ACT_TELL_SIDECAR, SHIM_FROZEN)->reply.ok);
    pass_to(&w, 100);
    cr_expect_eq(w.core.hold, SHIM_RUNS);
}

Test(core, the_sidecars_end_thaws_and_then_stops_the_agent)
{
    struct world w;
    run(&w, 60000);
    freeze(&w, 4000);
    event(&w, SHIM_ON_TREE_FROZEN);
    event(&w, SHIM_ON_SIDECAR_EXITED);
    cr_expect_not_null(said(&w, SHIM_ACT_THAW));
    cr_expect_not_null(said(&w, SHIM_ACT_SIGNAL_AGENT));
    cr_expect_eq(w.core.record.cause, EXIT_SIDECAR_LOST);
    pass_to(&w, 4000);
    cr_expect_eq(w.core.phase, SHIM_PHASE_KILLING);
    event(&w, SHIM_ON_TREE_EMPTY);
    cr_expect_eq(w.core.phase, SHIM_PHASE_ENDED);
    cr_expect_eq(w.core.record.cause, EXIT_SIDECAR_LOST);
}

Test(core, after_an_exit_of_its_own_the_sidecar_has_as_long_as_its_lease)
{
    struct world w;
    run(&w, 60000);
    agent_exits(&w, 0, 0);
    event(&w, SHIM_ON_TREE_EMPTY);
    pass_to(&w, 59999);
    cr_expect_eq(w.sidecar_kills, 0);
    cr_assert(arm(&w, SHIM_ON_ARM, 7, 120000));
    pass_to(&w, 120000); /* the lease has run out: only the reserve is left */
    pass_to(&w, 120999);
    cr_expect_eq(w.sidecar_kills, 0);
    pass_to(&w, 121000);
    cr_expect_eq(w.sidecar_kills, 1);
    step(&w, &(struct shim_input){ .event = SHIM_ON_SIDECAR_EXITED, .exit_code = 137 });
    cr_expect_eq(w.core.phase, SHIM_PHASE_ENDED);
    cr_expect_eq(w.core.record.cause, EXIT_EXITED);
    cr_expect_eq(exit_record_status(&w.core.record), 75);
}

Test(core, even_a_renewed_lease_does_not_close_for_ever)
{
    struct world w;
    run(&w, SHIM_NEVER);
    agent_exits(&w, 0, 0);
    event(&w, SHIM_ON_TREE_EMPTY);
    pass_to(&w, 600000);
    cr_expect_eq(w.sidecar_kills, 1);
}

Test(core, a_sidecar_that_said_done_well_is_success)
{
    struct world w;
    run(&w, 60000);
    agent_exits(&w, 0, 0);
    event(&w, SHIM_ON_TREE_EMPTY);
    done(&w, ERR_NONE);
    event(&w, SHIM_ON_SIDECAR_EXITED);
    cr_expect_eq(w.core.phase, SHIM_PHASE_ENDED);
    cr_expect_eq(exit_record_status(&w.core.record), 0);
}

Test(core, after_a_fence_no_deadline_is_accepted_in_any_phase)
{
    struct world w;
    init(&w, true);
    event(&w, SHIM_ON_START);
    event(&w, SHIM_ON_FENCE); /* in standby */
    cr_expect_not(arm(&w, SHIM_ON_ARM, 7, 60000));
    cr_expect_not(arm(&w, SHIM_ON_GATE_OPEN, 7, 60000));
    run(&w, 60000);
    agent_exits(&w, 0, 0);
    event(&w, SHIM_ON_FENCE); /* while killing what it left behind */
    cr_expect_not(arm(&w, SHIM_ON_ARM, 7, 90000));
    event(&w, SHIM_ON_TREE_EMPTY);
    cr_expect_not(arm(&w, SHIM_ON_ARM, 7, 90000));
    done(&w, ERR_NONE); /* not even a good end makes it undone */
    event(&w, SHIM_ON_SIDECAR_EXITED);
    cr_expect_eq(w.core.record.cause, EXIT_EXITED);
    cr_expect_eq(exit_record_status(&w.core.record), 79);
}

static void fence_with(struct world *w, const char *why)
{
    struct shim_input in = { .event = SHIM_ON_FENCE, .msg = { .type = SHIM_FENCE } };
    (void)snprintf(in.msg.fence.text, sizeof(in.msg.fence.text), "%s", why);
    step(w, &in);
}

/* The lease is lost during the final checkpoint, and the sidecar has no last word. */
Test(core, a_fence_while_closing_without_done_is_fenced_within_the_reserve)
{
    struct world w;
    run(&w, 60000);
    agent_exits(&w, 0, 0);
    event(&w, SHIM_ON_TREE_EMPTY);
    cr_assert_eq(w.core.phase, SHIM_PHASE_CLOSING);
    fence_with(&w, "held by node-2 (epoch 8)");
    cr_expect_eq(w.core.phase, SHIM_PHASE_CLOSING, "there is no agent to kill");
    cr_expect_null(said(&w, SHIM_ACT_KILL_TREE));
    cr_expect_not(arm(&w, SHIM_ON_ARM, 7, 90000));
    pass_to(&w, 999);
    cr_expect_eq(w.sidecar_kills, 0);
    pass_to(&w, 1000); /* the reserve, though the lease would have lasted longer */
    cr_expect_eq(w.sidecar_kills, 1);
    step(&w, &(struct shim_input){ .event = SHIM_ON_SIDECAR_EXITED, .exit_code = 137 });
    cr_expect_eq(w.core.phase, SHIM_PHASE_ENDED);
    cr_expect_eq(w.core.record.cause, EXIT_EXITED);
    cr_expect_eq(w.core.record.done_kind, ERR_FENCED, "not merely unknown");
    cr_expect_eq(exit_record_status(&w.core.record), 79);
    cr_expect_str_eq(w.core.record.message, "held by node-2 (epoch 8)");
}

/* A stop has set an end for both together; a fence may only bring it forward. */
Test(core, a_fence_while_closing_never_prolongs_a_stop)
{
    struct world w;
    run(&w, 60000);
    stop(&w, SIGTERM, 500);
    agent_exits(&w, 0, 0);
    event(&w, SHIM_ON_TREE_EMPTY);
    pass_to(&w, 300);
    fence_with(&w, "held by node-2 (epoch 8)");
    pass_to(&w, 499);
    cr_expect_eq(w.sidecar_kills, 0);
    pass_to(&w, 500);
    cr_expect_eq(w.sidecar_kills, 1);
    event(&w, SHIM_ON_SIDECAR_EXITED);
    cr_expect_eq(w.core.record.done_kind, ERR_FENCED);
    cr_expect_eq(exit_record_status(&w.core.record), 79);
}

Test(core, a_renewal_that_comes_after_the_deadline_is_too_late_before_the_timer_is_heard_too)
{
    struct world w;
    run(&w, 1000);
    w.now.boot.ns = MS(1000 + 1000);
    cr_expect_not(arm(&w, SHIM_ON_ARM, 7, 60000));
    pass_to(&w, 1000);
    cr_expect_eq(w.core.record.cause, EXIT_FENCED);
}

Test(core, a_hang_up_gives_the_sidecar_a_moment_to_be_reaped)
{
    struct world w;
    run(&w, 60000);
    event(&w, SHIM_ON_SIDECAR_HUNG_UP);
    pass_to(&w, 199);
    cr_expect_eq(w.sidecar_kills, 0);
    pass_to(&w, 200);
    cr_expect_eq(w.sidecar_kills, 1);
}

Test(core, an_agent_that_could_not_start_is_told_to_the_sidecar)
{
    struct world w;
    init(&w, true);
    event(&w, SHIM_ON_START);
    cr_assert(arm(&w, SHIM_ON_GATE_OPEN, 7, 60000));
    step(&w, &(struct shim_input){
                 .event = SHIM_ON_EXEC_FAILED, .stage = 5, .os_errno = 2, .text = "no such file" });
    cr_expect_eq(w.core.phase, SHIM_PHASE_KILLING);
    agent_exits(&w, 127, 0);
    event(&w, SHIM_ON_TREE_EMPTY);
    cr_expect_not_null(told(&w, SHIM_ACT_TELL_SIDECAR, SHIM_AGENT_EXITED));
    done(&w, ERR_NONE);
    event(&w, SHIM_ON_SIDECAR_EXITED);
    cr_expect_eq(w.core.record.cause, EXIT_EXEC_FAILED);
    cr_expect_eq(exit_record_status(&w.core.record), 127);
    cr_expect_str_eq(w.core.record.message, "no such file");
}

Test(core, an_out_of_memory_kill_says_so)
{
    struct world w;
    init(&w, false);
    event(&w, SHIM_ON_START);
    step(&w, &(struct shim_input){ .event = SHIM_ON_AGENT_EXECUTED, .pid = 42 });
    step(&w,
         &(struct shim_input){
             .event = SHIM_ON_AGENT_EXITED, .exit_code = 137, .signal = 9, .oom_killed = true });
    event(&w, SHIM_ON_TREE_EMPTY);
    cr_expect(w.core.record.oom_killed);
    cr_expect_eq(w.core.record.cause, EXIT_SIGNALED);
    cr_expect_not_null(strstr(w.core.record.message, "memory"));
}

Test(core, the_state_is_what_a_new_driver_needs)
{
    struct world w;
    run(&w, 60000);
    struct shim_msg state;
    shim_core_state(&w.core, &state);
    cr_expect_eq(state.state.phase, SHIM_PHASE_RUNNING);
    cr_expect_eq(state.state.agent_pid, 42);
    cr_expect_eq(state.state.epoch, 7);
    cr_expect_eq(state.state.nonce[0], 9);
    cr_expect_eq(state.state.containment, 3);
    cr_expect_eq(state.state.started.ns, w.now.wall.ns);
}

Test(core, events_have_names)
{
    cr_expect_str_eq(shim_event_name(SHIM_ON_GATE_OPEN), "GATE_OPEN");
    cr_expect_str_eq(shim_event_name(SHIM_EVENT_COUNT), "?");
}
