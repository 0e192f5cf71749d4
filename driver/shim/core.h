/* core.h - the shim's decisions, and nothing else: events and the time in, actions out.
 *
 * A pure state machine over a table (phase, event): it reads no clock, makes no system call and
 * allocates nothing, so a test with a fake clock can walk every pair. The kernel-facing half
 * (run.h) feeds it and carries out what it says, in order. States and invariants: DESIGN.md. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/time.h"
#include "common/shimwire/msg.h"

#define SHIM_EVENTS(X) /* event, who says it */                                  \
    X(START, "the shim is set up")                                               \
    X(ARM, "sidecar: the lease was renewed")                                     \
    X(GATE_OPEN, "sidecar: the agent may start")                                 \
    X(FENCE, "sidecar: the lease is lost")                                       \
    X(FREEZE, "sidecar: hold the agent for a cut")                               \
    X(THAW, "sidecar: the cut is made")                                          \
    X(NOTE, "sidecar: a line for people")                                        \
    X(DONE, "sidecar: finished, about to exit")                                  \
    X(SIDECAR_EXITED, "kernel: the sidecar was reaped, or could not be started") \
    X(SIDECAR_HUNG_UP, "kernel: the sidecar's channel is closed")                \
    X(AGENT_EXECUTED, "kernel: the agent's program runs")                        \
    X(EXEC_FAILED, "kernel: the agent's program could not be started")           \
    X(AGENT_EXITED, "kernel: the agent's main process was reaped")               \
    X(TREE_FROZEN, "kernel: everything of the agent is frozen")                  \
    X(TREE_EMPTY, "kernel: nothing of the agent is left")                        \
    X(STOP, "driver or SIGTERM: stop within a time")                             \
    X(KILL, "driver: stop everything now")                                       \
    X(SIGNAL, "driver: a signal for the agent")                                  \
    X(LEASE_DUE, "clock: the armed deadline has come")                           \
    X(STOP_DUE, "clock: the agent had its time to stop")                         \
    X(REKILL_DUE, "clock: not empty yet")                                        \
    X(THAW_DUE, "clock: frozen for as long as was allowed")                      \
    X(FREEZE_DUE, "clock: still not frozen")                                     \
    X(SIDECAR_DUE, "clock: the sidecar had its time to finish")

#define SHIM_EVENT_ENUM(event, text) SHIM_ON_##event,
enum shim_event { SHIM_EVENTS(SHIM_EVENT_ENUM) SHIM_EVENT_COUNT };

struct shim_now {
    struct boot boot;
    struct wall wall;
};

struct shim_input {
    enum shim_event event;
    struct shim_msg msg;     /* ARM ... DONE, STOP, SIGNAL: the message itself */
    int32_t exit_code;       /* SIDECAR_EXITED, AGENT_EXITED: 128 + signal when killed */
    int32_t signal;          /* the same: 0 none */
    bool oom_killed;         /* AGENT_EXITED */
    int32_t stage, os_errno; /* EXEC_FAILED */
    const char *text;        /* EXEC_FAILED, SIDECAR_EXITED: for people; NULL none */
    uint32_t pid;            /* AGENT_EXECUTED */
    uint64_t start_ticks;    /* AGENT_EXECUTED */
};

enum shim_action_type {
    SHIM_ACT_SPAWN_SIDECAR,
    SHIM_ACT_SPAWN_AGENT,  /* with msg.arm.epoch and msg.arm.restored, if there is a sidecar */
    SHIM_ACT_SIGNAL_AGENT, /* msg.signal.signo to the main process */
    SHIM_ACT_FREEZE,
    SHIM_ACT_THAW,
    SHIM_ACT_KILL_TREE, /* freeze and kill everything of the agent; said again until TREE_EMPTY */
    SHIM_ACT_KILL_SIDECAR,
    SHIM_ACT_TELL_SIDECAR, /* msg */
    SHIM_ACT_TELL_DRIVER,  /* msg */
    SHIM_ACT_REPORT_STATE, /* to the driver */
    SHIM_ACT_FINISH        /* record, report, leave: the last action */
};

struct shim_action {
    enum shim_action_type type;
    struct shim_msg msg;
};

#define SHIM_ACTIONS_MAX 8

enum shim_timer { /* in the order of SHIM_ON_LEASE_DUE ... */
                  SHIM_TIMER_LEASE,
                  SHIM_TIMER_STOP,
                  SHIM_TIMER_REKILL,
                  SHIM_TIMER_THAW,
                  SHIM_TIMER_FREEZE,
                  SHIM_TIMER_SIDECAR,
                  SHIM_TIMER_COUNT
};
#define SHIM_NEVER INT64_MAX

struct shim_core_config {
    bool has_sidecar;
    bool can_freeze; /* there is a cgroup */
    int32_t stop_signal;
    uint32_t stop_timeout_ms, reserve_ms;
    uint8_t containment;
    uint8_t nonce[SHIM_NONCE_BYTES];
};

enum shim_hold { SHIM_RUNS, SHIM_FREEZING, SHIM_IS_FROZEN };

struct shim_core {
    struct shim_core_config config;
    enum shim_phase phase;            /* 0 before START */
    int64_t timers[SHIM_TIMER_COUNT]; /* boot ns, SHIM_NEVER */
    int64_t deadline_ns;              /* the latest armed one; 0 none yet */
    uint64_t epoch;
    bool sidecar_alive, sidecar_done;
    bool stop_asked;
    enum shim_hold hold;
    uint32_t hold_seq;
    uint32_t agent_pid;
    uint64_t agent_start_ticks;
    char text[SHIM_TEXT_MAX + 1]; /* the newest line for people */
    struct exit_record record;    /* complete when FINISH is said */
    struct shim_action actions[SHIM_ACTIONS_MAX];
    size_t action_count;
};

/** Before START. */
void shim_core_init(struct shim_core *core, const struct shim_core_config *config);

/** One event; `core->actions` holds what to do now. Every event is legal in every phase. */
void shim_core_step(struct shim_core *core, const struct shim_input *input,
                    const struct shim_now *now);

/** The earliest instant at which a timer is due, SHIM_NEVER for none. */
int64_t shim_core_next(const struct shim_core *core);

/** True and the event, when a timer is due; it is then disarmed. Call until false. */
bool shim_core_due(struct shim_core *core, struct boot now, enum shim_event *out);

/** The STATE message but for shim_pid and shim_start_ticks. */
void shim_core_state(const struct shim_core *core, struct shim_msg *out);

/** "GATE_OPEN", ...; static. */
const char *shim_event_name(enum shim_event event);
