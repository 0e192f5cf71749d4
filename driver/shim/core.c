#include "driver/shim/core.h"

#include "common/base/own.h"
#include "driver/shim/steps.h"

#include <assert.h>
#include <string.h>

/* One row an event, in the order of SHIM_EVENTS; one column a phase: before the start, standby,
 * starting, running, stopping, killing, closing, ended. Before the start and after the end nothing
 * has a meaning. */
#define PHASES 8
#define ROW(event, standby, starting, running, stopping, killing, closing) \
    [SHIM_ON_##event] = { step_ignore, standby, starting, running,         \
                          stopping,    killing, closing,  step_ignore }
static shim_step *const table[SHIM_EVENT_COUNT][PHASES] = {
    [SHIM_ON_START] = { step_start, step_ignore, step_ignore, step_ignore, step_ignore, step_ignore,
                        step_ignore, step_ignore },
    ROW(ARM, step_on_arm, step_on_arm, step_on_arm, step_on_arm, step_on_arm, step_on_arm),
    ROW(GATE_OPEN, step_open_gate, step_refuse_arm, step_refuse_arm, step_refuse_arm,
        step_refuse_arm, step_refuse_arm),
    ROW(FENCE, step_fence_sidecar, step_on_fence, step_on_fence, step_on_fence, step_fence_sidecar,
        step_fence_sidecar),
    ROW(FREEZE, step_refuse_freeze, step_refuse_freeze, step_begin_freeze, step_refuse_freeze,
        step_refuse_freeze, step_refuse_freeze),
    ROW(THAW, step_on_thaw, step_on_thaw, step_on_thaw, step_on_thaw, step_on_thaw, step_on_thaw),
    ROW(NOTE, step_on_note, step_on_note, step_on_note, step_on_note, step_on_note, step_on_note),
    ROW(DONE, step_on_done, step_on_done, step_on_done, step_on_done, step_on_done, step_on_done),
    ROW(SIDECAR_EXITED, step_sidecar_failed_start, step_lost_in_start, step_lost_in_run,
        step_lost_in_stop, step_lost_in_stop, step_sidecar_finished),
    ROW(SIDECAR_HUNG_UP, step_on_hang_up, step_on_hang_up, step_on_hang_up, step_on_hang_up,
        step_on_hang_up, step_on_hang_up),
    ROW(AGENT_EXECUTED, step_ignore, step_on_executed, step_ignore, step_ignore, step_ignore,
        step_ignore),
    ROW(EXEC_FAILED, step_ignore, step_on_exec_failed, step_ignore, step_ignore, step_ignore,
        step_ignore),
    ROW(AGENT_EXITED, step_ignore, step_on_agent_exit, step_on_agent_exit, step_on_agent_exit,
        step_on_late_exit, step_ignore),
    ROW(TREE_FROZEN, step_ignore, step_ignore, step_on_frozen, step_on_frozen, step_ignore,
        step_ignore),
    ROW(TREE_EMPTY, step_ignore, step_ignore, step_ignore, step_ignore, step_on_tree_empty,
        step_ignore),
    ROW(STOP, step_stop_standby, step_stop_start, step_stop_agent, step_stop_again, step_stop_again,
        step_stop_again),
    ROW(KILL, step_kill_all, step_kill_all, step_kill_all, step_kill_all, step_kill_all,
        step_kill_all),
    ROW(SIGNAL, step_ignore, step_ignore, step_on_signal, step_on_signal, step_ignore, step_ignore),
    ROW(LEASE_DUE, step_ignore, step_on_deadline, step_on_deadline, step_on_deadline, step_ignore,
        step_shorten_closing),
    ROW(STOP_DUE, step_ignore, step_ignore, step_ignore, step_stop_failed, step_ignore,
        step_ignore),
    ROW(REKILL_DUE, step_ignore, step_ignore, step_ignore, step_ignore, step_rekill, step_ignore),
    ROW(THAW_DUE, step_ignore, step_ignore, step_thaw_in_any_case, step_thaw_in_any_case,
        step_ignore, step_ignore),
    ROW(FREEZE_DUE, step_ignore, step_ignore, step_thaw_in_any_case, step_thaw_in_any_case,
        step_ignore, step_ignore),
    ROW(SIDECAR_DUE, step_kill_sidecar, step_kill_sidecar, step_kill_sidecar, step_kill_sidecar,
        step_kill_sidecar, step_kill_sidecar),
};

void shim_core_init(struct shim_core *core, const struct shim_core_config *config)
{
    memset(core, 0, sizeof(*core));
    core->config = *config;
    if (core->config.reserve_ms == 0)
        core->config.reserve_ms = core->config.stop_timeout_ms;
    memcpy(core->record.nonce, config->nonce, SHIM_NONCE_BYTES);
    for (int i = 0; i < SHIM_TIMER_COUNT; i++)
        core->timers[i] = SHIM_NEVER;
}

void shim_core_step(struct shim_core *core, const struct shim_input *input,
                    const struct shim_now *now)
{
    assert(input->event < SHIM_EVENT_COUNT && (unsigned)core->phase < PHASES);
    core->action_count = 0;
    table[input->event][core->phase](core, input, now);
}

int64_t shim_core_next(const struct shim_core *core)
{
    int64_t next = SHIM_NEVER;
    for (int i = 0; i < SHIM_TIMER_COUNT; i++)
        if (core->timers[i] < next)
            next = core->timers[i];
    return next;
}

bool shim_core_due(struct shim_core *core, struct boot now, enum shim_event *out)
{
    for (int i = 0; i < SHIM_TIMER_COUNT; i++) {
        if (core->timers[i] > now.ns || core->timers[i] == SHIM_NEVER)
            continue;
        core->timers[i] = SHIM_NEVER;
        *out = (enum shim_event)(SHIM_ON_LEASE_DUE + i);
        return true;
    }
    return false;
}

void shim_core_state(const struct shim_core *core, struct shim_msg *out)
{
    memset(out, 0, sizeof(*out));
    out->type = SHIM_STATE;
    memcpy(out->state.nonce, core->config.nonce, SHIM_NONCE_BYTES);
    out->state.phase = core->phase == 0 ? SHIM_PHASE_STANDBY : core->phase;
    out->state.containment = core->config.containment;
    out->state.agent_pid = core->agent_pid;
    out->state.agent_start_ticks = core->agent_start_ticks;
    out->state.epoch = core->epoch;
    out->state.deadline_ns = core->deadline_ns;
    if (core->record.agent_pid != 0)
        out->state.started = core->record.started;
    memcpy(out->state.text, core->text, sizeof(core->text));
}

#define EVENT_NAME(event, text) [SHIM_ON_##event] = #event,
static const char *const event_names[] = { SHIM_EVENTS(EVENT_NAME) };

const char *shim_event_name(enum shim_event event)
{
    return (size_t)event < COUNT(event_names) ? event_names[event] : "?";
}
