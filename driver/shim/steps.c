#include "driver/shim/steps.h"

#include "driver/shim/core.h"

#include <assert.h>
#include <signal.h>
#include <string.h>

#define REKILL_MS 100 /* what moved itself into the cgroup after a kill meets the next one */
#define FREEZE_WAIT_MS                                                                       \
    250                /* longer means starved or uninterruptible: better no cut than a hang \
                        */
#define HANG_UP_MS 200 /* from the channel's end to the process's */
#define CLOSING_MAX_MS                                                         \
    600000 /* final checkpoint after an exit of its own, while the lease lasts \
            */
#define SIGNAL_LAST 64

/* ---- small parts ---- */

static struct shim_action *add(struct shim_core *core, enum shim_action_type type)
{
    assert(core->action_count < SHIM_ACTIONS_MAX);
    struct shim_action *action = &core->actions[core->action_count++];
    memset(action, 0, sizeof(*action));
    action->type = type;
    return action;
}

static int64_t after_ms(const struct shim_now *now, int64_t ms)
{
    return boot_add_ms(now->boot, ms).ns;
}

static void arm(struct shim_core *core, enum shim_timer timer, int64_t at)
{
    core->timers[timer] = at;
}

static void disarm(struct shim_core *core, enum shim_timer timer)
{
    core->timers[timer] = SHIM_NEVER;
}

static void arm_earlier(struct shim_core *core, enum shim_timer timer, int64_t at)
{
    if (at < core->timers[timer])
        core->timers[timer] = at;
}

static void enter(struct shim_core *core, enum shim_phase phase)
{
    core->phase = phase;
    add(core, SHIM_ACT_REPORT_STATE);
}

/* A line for people: kept for STATE, sent to the driver. */
static void say(struct shim_core *core, const char *text)
{
    shim_text_copy(core->text, text);
    struct shim_action *action = add(core, SHIM_ACT_TELL_DRIVER);
    action->msg.type = SHIM_EVENT;
    memcpy(action->msg.event.text, core->text, sizeof(core->text));
}

static void explain(struct shim_core *core, const char *text)
{
    if (core->record.message[0] == '\0')
        shim_text_copy(core->record.message, text);
}

/* The first cause stands; see fence() for the one exception. */
static void blame(struct shim_core *core, enum exit_cause cause)
{
    if (core->record.cause == EXIT_NONE)
        core->record.cause = cause;
}

static void tell_sidecar(struct shim_core *core, struct shim_msg msg)
{
    if (core->sidecar_alive)
        add(core, SHIM_ACT_TELL_SIDECAR)->msg = msg;
}

static void answer(struct shim_core *core, enum shim_msg_type type, uint32_t seq, bool ok)
{
    struct shim_msg msg = { .type = type, .seq = seq };
    msg.reply.ok = ok;
    tell_sidecar(core, msg);
}

/* ---- lease ---- */

static bool is_fenced(const struct shim_core *core)
{
    return core->record.cause == EXIT_FENCED || core->record.done_kind == ERR_FENCED;
}

/* The agent's deadline is past, and only its timer has not been heard yet. */
static bool is_overdue(const struct shim_core *core, const struct shim_now *now)
{
    bool may_run = core->phase >= SHIM_PHASE_STARTING && core->phase <= SHIM_PHASE_STOPPING;
    return may_run && core->timers[SHIM_TIMER_LEASE] <= now->boot.ns;
}

/* Never a lower epoch, never an earlier deadline, never after a fence, never in the past. */
static bool accept_arm(struct shim_core *core, const struct shim_input *in,
                       const struct shim_now *now)
{
    const struct shim_msg *msg = &in->msg;
    if (is_fenced(core) || is_overdue(core, now) || msg->arm.epoch < core->epoch)
        return false;
    if (msg->arm.deadline_ns <= core->deadline_ns || msg->arm.deadline_ns <= now->boot.ns)
        return false;
    core->epoch = msg->arm.epoch;
    core->deadline_ns = msg->arm.deadline_ns;
    core->record.epoch = core->epoch;
    arm(core, SHIM_TIMER_LEASE, core->deadline_ns);
    return true;
}

void step_on_arm(struct shim_core *core, const struct shim_input *in, const struct shim_now *now)
{
    answer(core, SHIM_ARM_ACK, in->msg.seq, accept_arm(core, in, now));
}

void step_refuse_arm(struct shim_core *core, const struct shim_input *in,
                     const struct shim_now *now)
{
    (void)now;
    answer(core, SHIM_ARM_ACK, in->msg.seq, false);
}

/* The gate may repeat the deadline that is armed already, so equal is enough here. */
static bool accept_gate(struct shim_core *core, const struct shim_input *in,
                        const struct shim_now *now)
{
    bool is_armed = in->msg.arm.epoch == core->epoch && core->epoch != 0 &&
                    in->msg.arm.deadline_ns <= core->deadline_ns &&
                    core->deadline_ns > now->boot.ns;
    return is_armed || accept_arm(core, in, now);
}

void step_open_gate(struct shim_core *core, const struct shim_input *in, const struct shim_now *now)
{
    bool ok = accept_gate(core, in, now);
    answer(core, SHIM_ARM_ACK, in->msg.seq, ok);
    if (!ok)
        return;
    assert(core->record.cause == EXIT_NONE && core->agent_pid == 0);
    enter(core, SHIM_PHASE_STARTING);
    add(core, SHIM_ACT_SPAWN_AGENT)->msg = in->msg;
}

/* ---- freezing ---- */

static void release(struct shim_core *core)
{
    if (core->hold != SHIM_RUNS)
        add(core, SHIM_ACT_THAW);
    core->hold = SHIM_RUNS;
    disarm(core, SHIM_TIMER_THAW);
    disarm(core, SHIM_TIMER_FREEZE);
}

void step_begin_freeze(struct shim_core *core, const struct shim_input *in,
                       const struct shim_now *now)
{
    if (!core->config.can_freeze || core->hold != SHIM_RUNS || in->msg.freeze.max_ms == 0) {
        answer(core, SHIM_FROZEN, in->msg.seq, false);
        return;
    }
    int64_t max_ms = in->msg.freeze.max_ms;
    if (max_ms > SHIM_FREEZE_MAX_MS)
        max_ms = SHIM_FREEZE_MAX_MS;
    core->hold = SHIM_FREEZING;
    core->hold_seq = in->msg.seq;
    arm(core, SHIM_TIMER_THAW, after_ms(now, max_ms));
    arm(core, SHIM_TIMER_FREEZE, after_ms(now, max_ms < FREEZE_WAIT_MS ? max_ms : FREEZE_WAIT_MS));
    add(core, SHIM_ACT_FREEZE);
}

void step_refuse_freeze(struct shim_core *core, const struct shim_input *in,
                        const struct shim_now *now)
{
    (void)now;
    answer(core, SHIM_FROZEN, in->msg.seq, false);
}

void step_on_frozen(struct shim_core *core, const struct shim_input *in, const struct shim_now *now)
{
    (void)in, (void)now;
    if (core->hold != SHIM_FREEZING)
        return;
    core->hold = SHIM_IS_FROZEN;
    disarm(core, SHIM_TIMER_FREEZE);
    answer(core, SHIM_FROZEN, core->hold_seq, true);
}

/* Says whether the agent was frozen all the time until now: if not, the cut is not one instant. */
void step_on_thaw(struct shim_core *core, const struct shim_input *in, const struct shim_now *now)
{
    (void)now;
    bool held = core->hold == SHIM_IS_FROZEN && core->hold_seq == in->msg.seq;
    release(core);
    answer(core, SHIM_THAWED, in->msg.seq, held);
}

void step_thaw_in_any_case(struct shim_core *core, const struct shim_input *in,
                           const struct shim_now *now)
{
    (void)in, (void)now;
    bool was_waiting = core->hold == SHIM_FREEZING;
    release(core);
    if (was_waiting)
        answer(core, SHIM_FROZEN, core->hold_seq, false);
}

/* ---- ending ---- */

static void kill_tree(struct shim_core *core, const struct shim_now *now)
{
    core->hold = SHIM_RUNS; /* the kill freezes by itself and is not undone by a thaw */
    disarm(core, SHIM_TIMER_THAW);
    disarm(core, SHIM_TIMER_FREEZE);
    disarm(core, SHIM_TIMER_STOP);
    enter(core, SHIM_PHASE_KILLING);
    arm(core, SHIM_TIMER_REKILL, after_ms(now, REKILL_MS));
    add(core, SHIM_ACT_KILL_TREE);
}

static void finish(struct shim_core *core, const struct shim_now *now)
{
    assert(!core->sidecar_alive);
    core->record.ended = now->wall;
    core->record.containment = core->config.containment;
    if (core->record.done_kind != ERR_NONE)
        explain(core, "state is not known to be safe: the sidecar did not say that it is done");
    for (int i = 0; i < SHIM_TIMER_COUNT; i++)
        disarm(core, (enum shim_timer)i);
    core->phase = SHIM_PHASE_ENDED;
    add(core, SHIM_ACT_FINISH);
}

/* The right to run is gone. This overrides an earlier stop: what the agent did last is not saved.
 */
static void fence(struct shim_core *core, const struct shim_now *now, const char *why)
{
    core->record.cause = EXIT_FENCED;
    explain(core, why);
    say(core, why);
    kill_tree(core, now);
}

void step_on_fence(struct shim_core *core, const struct shim_input *in, const struct shim_now *now)
{
    fence(core, now, in->msg.fence.text[0] != '\0' ? in->msg.fence.text : "lost the lease");
}

void step_on_deadline(struct shim_core *core, const struct shim_input *in,
                      const struct shim_now *now)
{
    (void)in;
    fence(core, now, "lease ran out: not renewed before its deadline");
}

/* No agent to fence, but the sidecar knows that it cannot go on. */
void step_fence_sidecar(struct shim_core *core, const struct shim_input *in,
                        const struct shim_now *now)
{
    core->record.done_kind = ERR_FENCED;
    explain(core, in->msg.fence.text);
    say(core, in->msg.fence.text);
    if (core->phase == SHIM_PHASE_STANDBY) {
        blame(core, EXIT_START_REFUSED);
        enter(core, SHIM_PHASE_CLOSING);
    }
    arm_earlier(core, SHIM_TIMER_SIDECAR, after_ms(now, core->config.reserve_ms));
}

/* How long the sidecar may take after the agent is gone: what is left of the stop's budget; or, if
 * the agent ended by itself, as long as the lease lasts, within reason. */
static int64_t closing_ms(const struct shim_core *core, const struct shim_now *now)
{
    bool has_lease = core->deadline_ns > now->boot.ns && core->record.cause != EXIT_FENCED;
    return has_lease && !core->stop_asked ? CLOSING_MAX_MS : core->config.reserve_ms;
}

void step_on_tree_empty(struct shim_core *core, const struct shim_input *in,
                        const struct shim_now *now)
{
    (void)in;
    disarm(core, SHIM_TIMER_REKILL);
    core->agent_pid = 0;
    if (!core->sidecar_alive) {
        finish(core, now);
        return;
    }
    struct shim_msg msg = { .type = SHIM_AGENT_EXITED };
    msg.exited.exit_code = core->record.exit_code;
    msg.exited.signal = core->record.signal;
    tell_sidecar(core, msg);
    enter(core, SHIM_PHASE_CLOSING);
    /* A stop has set its own end for both together. */
    if (core->timers[SHIM_TIMER_SIDECAR] == SHIM_NEVER || !core->stop_asked)
        arm_earlier(core, SHIM_TIMER_SIDECAR, after_ms(now, closing_ms(core, now)));
}

void step_rekill(struct shim_core *core, const struct shim_input *in, const struct shim_now *now)
{
    (void)in;
    arm(core, SHIM_TIMER_REKILL, after_ms(now, REKILL_MS));
    add(core, SHIM_ACT_KILL_TREE);
}

void step_kill_sidecar(struct shim_core *core, const struct shim_input *in,
                       const struct shim_now *now)
{
    (void)in, (void)now;
    disarm(core, SHIM_TIMER_SIDECAR);
    if (core->sidecar_alive)
        add(core, SHIM_ACT_KILL_SIDECAR);
}

/* ---- agent ---- */

void step_on_executed(struct shim_core *core, const struct shim_input *in,
                      const struct shim_now *now)
{
    core->agent_pid = in->pid;
    core->agent_start_ticks = in->start_ticks;
    core->record.agent_pid = in->pid;
    core->record.agent_start_ticks = in->start_ticks;
    core->record.started = now->wall;
    struct shim_msg msg = { .type = SHIM_AGENT_STARTED };
    msg.started.pid = in->pid;
    tell_sidecar(core, msg);
    enter(core, SHIM_PHASE_RUNNING);
}

void step_on_exec_failed(struct shim_core *core, const struct shim_input *in,
                         const struct shim_now *now)
{
    blame(core, EXIT_EXEC_FAILED);
    core->record.stage = (uint8_t)in->stage;
    core->record.os_errno = in->os_errno;
    explain(core, in->text != NULL ? in->text : "agent could not be started");
    say(core, core->record.message);
    kill_tree(core, now);
}

static void note_exit(struct shim_core *core, const struct shim_input *in)
{
    core->record.exit_code = in->exit_code;
    core->record.signal = in->signal;
    core->record.oom_killed = in->oom_killed;
}

void step_on_agent_exit(struct shim_core *core, const struct shim_input *in,
                        const struct shim_now *now)
{
    note_exit(core, in);
    blame(core, in->signal != 0 ? EXIT_SIGNALED : EXIT_EXITED);
    if (in->oom_killed)
        explain(core, in->signal == SIGKILL
                          ? "killed by the kernel: out of memory"
                          : "ended after the kernel killed a process of it: out of memory");
    kill_tree(core, now); /* whatever it left behind */
}

void step_on_late_exit(struct shim_core *core, const struct shim_input *in,
                       const struct shim_now *now)
{
    (void)now;
    if (core->record.cause != EXIT_EXEC_FAILED)
        note_exit(core, in);
}

static void signal_agent(struct shim_core *core, int32_t signo)
{
    add(core, SHIM_ACT_SIGNAL_AGENT)->msg.signal.signo = signo;
}

void step_on_signal(struct shim_core *core, const struct shim_input *in, const struct shim_now *now)
{
    (void)now;
    if (in->msg.signal.signo >= 1 && in->msg.signal.signo <= SIGNAL_LAST)
        signal_agent(core, in->msg.signal.signo);
}

/* ---- stop ---- */

static int64_t stop_timeout_ms(const struct shim_core *core, const struct shim_input *in)
{
    return in->msg.stop.timeout_ms == UINT32_MAX ? core->config.stop_timeout_ms
                                                 : in->msg.stop.timeout_ms;
}

/* The whole budget for both; the sidecar's part of it is kept from the agent. */
static void begin_budget(struct shim_core *core, const struct shim_input *in,
                         const struct shim_now *now)
{
    int64_t timeout_ms = stop_timeout_ms(core, in), reserve_ms = 0;
    if (core->sidecar_alive) {
        reserve_ms = core->config.reserve_ms;
        if (reserve_ms > timeout_ms / 2)
            reserve_ms = timeout_ms / 2;
        arm_earlier(core, SHIM_TIMER_SIDECAR, after_ms(now, timeout_ms));
        struct shim_msg msg = { .type = SHIM_STOPPING };
        msg.stopping.left_ms = (uint32_t)timeout_ms;
        tell_sidecar(core, msg);
    }
    if (core->phase == SHIM_PHASE_RUNNING || core->phase == SHIM_PHASE_STOPPING)
        arm_earlier(core, SHIM_TIMER_STOP, after_ms(now, timeout_ms - reserve_ms));
    core->stop_asked = true;
}

void step_stop_standby(struct shim_core *core, const struct shim_input *in,
                       const struct shim_now *now)
{
    blame(core, EXIT_STOPPED);
    begin_budget(core, in, now);
    enter(core, SHIM_PHASE_CLOSING);
}

void step_stop_start(struct shim_core *core, const struct shim_input *in,
                     const struct shim_now *now)
{
    blame(core, EXIT_STOPPED);
    begin_budget(core, in, now);
    kill_tree(core, now);
}

void step_stop_agent(struct shim_core *core, const struct shim_input *in,
                     const struct shim_now *now)
{
    blame(core, EXIT_STOPPED);
    begin_budget(core, in, now);
    enter(core, SHIM_PHASE_STOPPING);
    bool is_given = in->msg.stop.signo >= 1 && in->msg.stop.signo <= SIGNAL_LAST;
    signal_agent(core, is_given ? in->msg.stop.signo : core->config.stop_signal);
}

/* Asked again: the time may become shorter, never longer; the signal is not repeated. */
void step_stop_again(struct shim_core *core, const struct shim_input *in,
                     const struct shim_now *now)
{
    begin_budget(core, in, now);
}

void step_stop_failed(struct shim_core *core, const struct shim_input *in,
                      const struct shim_now *now)
{
    (void)in;
    if (core->record.cause == EXIT_STOPPED)
        core->record.cause = EXIT_KILLED;
    say(core, "killing: the agent did not stop in its time");
    kill_tree(core, now);
}

void step_kill_all(struct shim_core *core, const struct shim_input *in, const struct shim_now *now)
{
    if (core->record.cause == EXIT_NONE || core->record.cause == EXIT_STOPPED)
        core->record.cause = EXIT_KILLED;
    core->stop_asked = true;
    step_kill_sidecar(core, in, now);
    if (core->phase == SHIM_PHASE_STANDBY)
        enter(core, SHIM_PHASE_CLOSING);
    else if (core->phase != SHIM_PHASE_KILLING && core->phase != SHIM_PHASE_CLOSING)
        kill_tree(core, now);
}

/* ---- sidecar ---- */

void step_on_note(struct shim_core *core, const struct shim_input *in, const struct shim_now *now)
{
    (void)now;
    say(core, in->msg.event.text);
}

void step_on_done(struct shim_core *core, const struct shim_input *in, const struct shim_now *now)
{
    core->sidecar_done = true;
    if (!is_fenced(core)) /* what was lost stays lost */
        core->record.done_kind = in->msg.done.kind;
    if (in->msg.done.text[0] != '\0') {
        if (in->msg.done.kind != ERR_NONE)
            explain(core, in->msg.done.text);
        say(core, in->msg.done.text);
    }
    if (core->phase != SHIM_PHASE_STANDBY)
        return;
    blame(core, EXIT_START_REFUSED);
    enter(core, SHIM_PHASE_CLOSING);
    arm_earlier(core, SHIM_TIMER_SIDECAR, after_ms(now, core->config.reserve_ms));
}

static void sidecar_gone(struct shim_core *core)
{
    core->sidecar_alive = false;
    disarm(core, SHIM_TIMER_SIDECAR);
    bool has_state = core->record.agent_pid != 0; /* nothing was written before the agent ran */
    if (has_state && !core->sidecar_done && core->record.done_kind == ERR_NONE)
        core->record.done_kind = ERR_UNAVAILABLE;
}

void step_sidecar_failed_start(struct shim_core *core, const struct shim_input *in,
                               const struct shim_now *now)
{
    blame(core, EXIT_START_REFUSED);
    sidecar_gone(core);
    if (core->record.cause == EXIT_START_REFUSED) {
        core->record.exit_code = in->exit_code;
        explain(core, core->text);
        explain(core, in->text != NULL ? in->text : "sidecar exited before it opened the gate");
    }
    finish(core, now);
}

void step_lost_in_start(struct shim_core *core, const struct shim_input *in,
                        const struct shim_now *now)
{
    sidecar_gone(core);
    blame(core, EXIT_SIDECAR_LOST);
    explain(core, in->text != NULL ? in->text : "sidecar exited while the agent was started");
    say(core, core->record.message);
    kill_tree(core, now);
}

void step_lost_in_run(struct shim_core *core, const struct shim_input *in,
                      const struct shim_now *now)
{
    sidecar_gone(core);
    blame(core, EXIT_SIDECAR_LOST);
    explain(core, in->text != NULL ? in->text : "sidecar exited while the agent ran");
    say(core, core->record.message);
    release(core); /* a frozen agent cannot react to the signal */
    enter(core, SHIM_PHASE_STOPPING);
    signal_agent(core, core->config.stop_signal);
    arm(core, SHIM_TIMER_STOP, after_ms(now, core->config.stop_timeout_ms));
}

void step_lost_in_stop(struct shim_core *core, const struct shim_input *in,
                       const struct shim_now *now)
{
    (void)in, (void)now;
    sidecar_gone(core);
    release(core);
}

void step_sidecar_finished(struct shim_core *core, const struct shim_input *in,
                           const struct shim_now *now)
{
    bool was_refused = core->record.cause == EXIT_START_REFUSED;
    sidecar_gone(core);
    if (was_refused) {
        core->record.exit_code = in->exit_code;
        explain(core, core->text);
    }
    finish(core, now);
}

void step_on_hang_up(struct shim_core *core, const struct shim_input *in,
                     const struct shim_now *now)
{
    (void)in;
    arm_earlier(core, SHIM_TIMER_SIDECAR, after_ms(now, HANG_UP_MS));
}

void step_shorten_closing(struct shim_core *core, const struct shim_input *in,
                          const struct shim_now *now)
{
    (void)in;
    arm_earlier(core, SHIM_TIMER_SIDECAR, after_ms(now, core->config.reserve_ms));
}

void step_start(struct shim_core *core, const struct shim_input *in, const struct shim_now *now)
{
    (void)in;
    core->record.started = now->wall; /* until the agent has its own */
    core->sidecar_alive = core->config.has_sidecar;
    enter(core, core->config.has_sidecar ? SHIM_PHASE_STANDBY : SHIM_PHASE_STARTING);
    add(core, core->config.has_sidecar ? SHIM_ACT_SPAWN_SIDECAR : SHIM_ACT_SPAWN_AGENT);
}

void step_ignore(struct shim_core *core, const struct shim_input *in, const struct shim_now *now)
{
    (void)core, (void)in, (void)now;
}
