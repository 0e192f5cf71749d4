/* steps.h - what the cells of the shim's table do: one function a decision.
 *
 * Only core.c calls them. Each changes the core and adds actions; none looks at the phase unless
 * two phases differ in one detail. What may follow what is in the table, not here.
 * Tested by driver/shim/core_test.c. */
#pragma once

struct shim_core;
struct shim_input;
struct shim_now;

typedef void shim_step(struct shim_core *core, const struct shim_input *in,
                       const struct shim_now *now);

/* Nothing to do; and the first step of all. */
shim_step step_ignore, step_start;

/* The lease: accept or refuse a deadline, open the gate, lose the right to run. */
shim_step step_on_arm, step_refuse_arm, step_open_gate, step_on_fence, step_on_deadline,
    step_fence_sidecar;

/* The cut: begin, refuse, confirm and end a freeze; thaw when somebody is late. */
shim_step step_begin_freeze, step_refuse_freeze, step_on_frozen, step_on_thaw,
    step_thaw_in_any_case;

/* The agent: it runs, could not run, ended; a signal for it. */
shim_step step_on_executed, step_on_exec_failed, step_on_agent_exit, step_on_late_exit,
    step_on_signal;

/* Stop and kill: per phase, and what the clock adds. */
shim_step step_stop_standby, step_stop_start, step_stop_agent, step_stop_again, step_stop_failed,
    step_kill_all, step_rekill, step_on_tree_empty;

/* The sidecar: what it says, and what its end means in each phase. */
shim_step step_on_note, step_on_done, step_on_hang_up, step_kill_sidecar, step_shorten_closing,
    step_sidecar_failed_start, step_lost_in_start, step_lost_in_run, step_lost_in_stop,
    step_sidecar_finished;
