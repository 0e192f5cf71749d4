/* states.h - the life of a task as one table: (state, event) to (action, next state).
 *
 * Pure. The machine in life.c looks every event up here and has no other rule about order.
 * Meaning of each word: DESIGN.md. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#define TASK_STATES(X) \
    X(PREPARING)       \
    X(YIELDING)        \
    X(BOOTING)         \
    X(LOOKING)         \
    X(CONNECTING)      \
    X(LIVE)            \
    X(ENDED)           \
    X(UNDOING)         \
    X(REMOVING)

#define TASK_SIGNS(X) \
    X(ALIVE)          \
    X(OTHER)          \
    X(OVER)           \
    X(NOT_YET)        \
    X(SPAWNED)        \
    X(FAILED)         \
    X(UP)             \
    X(EXITED)         \
    X(CLOSED)         \
    X(LATE)           \
    X(STOP)           \
    X(DESTROY)        \
    X(CLEANED)

#define TASK_ACTIONS(X)                                      \
    X(NEVER) /* a bug: asserted */                           \
    X(IGNORE)                                                \
    X(CONNECT) /* link to the shim that lives */             \
    X(YIELD)   /* link to the older launch and stop it */    \
    X(AGAIN)   /* the next state's job, after a pause */     \
    X(WATCH)   /* link to the new shim, watch its process */ \
    X(LOOK)    /* job: what became of the launch */          \
    X(REPLY)   /* the start or recovery has succeeded */     \
    X(NOTE)    /* keep what STATE said */                    \
    X(END)     /* keep the result and tell everyone */       \
    X(STOP)    /* pass the stop on */                        \
    X(KILL)    /* pass the kill on */                        \
    X(FORCE)   /* kill the shim */                           \
    X(DEFER)   /* keep the call for later */                 \
    X(ANSWER)  /* the call is already fulfilled */           \
    X(UNDO)    /* job: take back what the start made */      \
    X(REMOVE)  /* job: take away all the task left */        \
    X(REFUSE)  /* answer with the error, free the entry */   \
    X(FORGET)  /* answer the destroy, free the entry */

#define TASK_STATE_ENUM(name)  TASK_##name,
#define TASK_SIGN_ENUM(name)   SIGN_##name,
#define TASK_ACTION_ENUM(name) DO_##name,
enum task_state { TASK_STATES(TASK_STATE_ENUM) TASK_STATE_COUNT };
enum task_sign { TASK_SIGNS(TASK_SIGN_ENUM) TASK_SIGN_COUNT };
enum task_action { TASK_ACTIONS(TASK_ACTION_ENUM) TASK_ACTION_COUNT };

struct task_move {
    enum task_action action;
    enum task_state next; /* REFUSE and FORGET free the entry: there is no next */
};

/** The move for a pair; every pair has one. */
struct task_move task_move(enum task_state state, enum task_sign sign);

/** "LIVE", "EXITED", "STOP": static strings for logs and messages. */
const char *task_state_name(enum task_state state);
const char *task_sign_name(enum task_sign sign);
const char *task_action_name(enum task_action action);

/** How late a shim may be with the end of its task before it is killed, when so many share the
 *  machine with it: all may be stopped at once, and each needs the processor and the disk. */
int64_t task_slack_ms(size_t tasks);
