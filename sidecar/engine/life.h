/* life.h - the order of an agent's life as one table: state and event to action and next state.
 *
 * Pure. Only engine.c acts on it. Every pair has a row; a pair that cannot happen says LIFE_BUG,
 * one that is late news says LIFE_NONE and stays. States are told to users by name. Rules:
 * DESIGN.md. */
#pragma once
#include <stdbool.h>

#define LIFE_STATES(X) /* state, name for users, role */ \
    X(STARTING, "starting", "standby")                   \
    X(LEASING, "leasing", "standby")                     \
    X(RESTORING, "restoring", "active")                  \
    X(SEEDING, "seeding", "active")                      \
    X(OPENING, "opening", "active")                      \
    X(RUNNING, "running", "active")                      \
    X(STOPPING, "stopping", "active")                    \
    X(SAVING, "saving", "active")                        \
    X(ABORTING, "aborting", "active")                    \
    X(RELEASING, "releasing", "active")                  \
    X(FAILED, "failed", "none")                          \
    X(FENCED, "fenced", "none")                          \
    X(LEAVING, "leaving", "none")                        \
    X(ENDED, "ended", "none")

#define LIFE_EVENTS(X)                                                       \
    X(HELLO)     /* the shim said who it is */                               \
    X(HELD)      /* the lease is held, the shim acknowledged the deadline */ \
    X(RESTORED)  /* the head is in place, verified */                        \
    X(FRESH)     /* proved: no checkpoint and no local content */            \
    X(UNSEEDED)  /* proved: no checkpoint, but local content */              \
    X(SEEDED)    /* the local content is committed */                        \
    X(RUNS)      /* the agent's program runs */                              \
    X(STOP)      /* the shim stops the agent */                              \
    X(EXITED)    /* the agent's tree is gone */                              \
    X(SAVED)     /* the final checkpoint is committed */                     \
    X(IDLE)      /* no worker is busy; told in ABORTING only */              \
    X(RELEASED)  /* the lease is given back, or that failed */               \
    X(LOST)      /* the lease is lost */                                     \
    X(FAIL)      /* before the gate: not to be retried */                    \
    X(SHIM_GONE) /* the channel closed */                                    \
    X(STOPPED)   /* the lease object stopped */

#define LIFE_ACTIONS(X)                                                  \
    X(BUG)     /* cannot happen */                                       \
    X(NONE)    /* nothing to do */                                       \
    X(ACQUIRE) /* start the lease */                                     \
    X(RESTORE) /* restore the head, or prove that there is none */       \
    X(SEED)    /* checkpoint what is there */                            \
    X(OPEN)    /* API, then GATE_OPEN */                                 \
    X(RUN)     /* interval checkpoints begin */                          \
    X(SAVE)    /* final checkpoint, behind the one at work */            \
    X(ABORT)   /* wait for the worker */                                 \
    X(RELEASE) /* give the lease back */                                 \
    X(FENCE)   /* FENCE to the shim, waiters fail, then as LEAVE */      \
    X(LEAVE)   /* stop the lease object without release; waiters fail */ \
    X(FINISH)  /* DONE to the shim, tell the owner */

#define LIFE_STATE_ENUM(state, name, role) LIFE_##state,
enum life_state { LIFE_STATES(LIFE_STATE_ENUM) LIFE_STATE_COUNT };
#define LIFE_EVENT_ENUM(event) LIFE_ON_##event,
enum life_event { LIFE_EVENTS(LIFE_EVENT_ENUM) LIFE_EVENT_COUNT };
#define LIFE_ACTION_ENUM(action) LIFE_DO_##action,
enum life_action { LIFE_ACTIONS(LIFE_ACTION_ENUM) LIFE_ACTION_COUNT };

struct life_step {
    enum life_action action;
    enum life_state next;
};

/** The row of a pair. */
struct life_step life_step(enum life_state state, enum life_event event);

/** Names for users ("running"), their role ("active"), and of events for tests; static. */
const char *life_state_name(enum life_state state);
const char *life_state_role(enum life_state state);
const char *life_event_name(enum life_event event);

/** True while the agent may write: its checkpoints are wanted and barriers are answered. An agent
 *  may call before we have heard that it runs, so `opening` is one of them. */
bool life_is_serving(enum life_state state);
