#include "driver/task/states.h"

#include <assert.h>

#define M(action, next)          \
    {                            \
        DO_##action, TASK_##next \
    }

/* One row an event, and every state in each row: what cannot happen is said, not left out. */
#define NEVER(state)            [TASK_##state] = M(NEVER, state)
#define IGNORE(state)           [TASK_##state] = M(IGNORE, state)
#define DEFER(state)            [TASK_##state] = M(DEFER, state)
#define REFUSE(state)           [TASK_##state] = M(REFUSE, state)
#define ON(state, action, next) [TASK_##state] = M(action, next)

/* clang-format off */
static const struct task_move moves[TASK_SIGN_COUNT][TASK_STATE_COUNT] = {
    [SIGN_ALIVE] = {
        ON(PREPARING, CONNECT, CONNECTING), NEVER(YIELDING), NEVER(BOOTING),
        ON(LOOKING, CONNECT, CONNECTING), NEVER(CONNECTING), NEVER(LIVE), NEVER(ENDED),
        NEVER(UNDOING), NEVER(REMOVING)
    },
    [SIGN_OTHER] = {
        ON(PREPARING, YIELD, YIELDING), NEVER(YIELDING), NEVER(BOOTING), NEVER(LOOKING),
        NEVER(CONNECTING), NEVER(LIVE), NEVER(ENDED), NEVER(UNDOING), NEVER(REMOVING)
    },
    [SIGN_OVER] = {
        ON(PREPARING, END, ENDED), NEVER(YIELDING), NEVER(BOOTING), ON(LOOKING, END, ENDED),
        NEVER(CONNECTING), NEVER(LIVE), NEVER(ENDED), NEVER(UNDOING), NEVER(REMOVING)
    },
    [SIGN_NOT_YET] = {
        ON(PREPARING, AGAIN, PREPARING), ON(YIELDING, AGAIN, PREPARING), NEVER(BOOTING),
        ON(LOOKING, AGAIN, PREPARING), ON(CONNECTING, AGAIN, LOOKING), NEVER(LIVE), NEVER(ENDED),
        NEVER(UNDOING), NEVER(REMOVING)
    },
    [SIGN_SPAWNED] = {
        ON(PREPARING, WATCH, BOOTING), NEVER(YIELDING), NEVER(BOOTING), NEVER(LOOKING),
        NEVER(CONNECTING), NEVER(LIVE), NEVER(ENDED), NEVER(UNDOING), NEVER(REMOVING)
    },
    [SIGN_FAILED] = {
        ON(PREPARING, UNDO, UNDOING), REFUSE(YIELDING), ON(BOOTING, UNDO, UNDOING),
        REFUSE(LOOKING), REFUSE(CONNECTING), NEVER(LIVE), NEVER(ENDED), NEVER(UNDOING),
        NEVER(REMOVING)
    },
    [SIGN_UP] = {
        NEVER(PREPARING), IGNORE(YIELDING), ON(BOOTING, REPLY, LIVE), NEVER(LOOKING),
        ON(CONNECTING, REPLY, LIVE), ON(LIVE, NOTE, LIVE), IGNORE(ENDED), IGNORE(UNDOING),
        IGNORE(REMOVING)
    },
    [SIGN_EXITED] = {
        NEVER(PREPARING), IGNORE(YIELDING), ON(BOOTING, UNDO, UNDOING), NEVER(LOOKING),
        ON(CONNECTING, END, ENDED), ON(LIVE, END, ENDED), IGNORE(ENDED), IGNORE(UNDOING),
        IGNORE(REMOVING)
    },
    [SIGN_CLOSED] = {
        NEVER(PREPARING), ON(YIELDING, AGAIN, PREPARING), ON(BOOTING, UNDO, UNDOING),
        NEVER(LOOKING), ON(CONNECTING, AGAIN, LOOKING), ON(LIVE, LOOK, LOOKING), IGNORE(ENDED),
        IGNORE(UNDOING), IGNORE(REMOVING)
    },
    [SIGN_LATE] = {
        ON(PREPARING, UNDO, UNDOING), REFUSE(YIELDING), ON(BOOTING, UNDO, UNDOING),
        REFUSE(LOOKING), REFUSE(CONNECTING), ON(LIVE, FORCE, LIVE), IGNORE(ENDED), NEVER(UNDOING),
        NEVER(REMOVING)
    },
    [SIGN_STOP] = {
        DEFER(PREPARING), DEFER(YIELDING), DEFER(BOOTING), DEFER(LOOKING), DEFER(CONNECTING),
        ON(LIVE, STOP, LIVE), ON(ENDED, ANSWER, ENDED), DEFER(UNDOING), DEFER(REMOVING)
    },
    [SIGN_DESTROY] = {
        DEFER(PREPARING), DEFER(YIELDING), DEFER(BOOTING), DEFER(LOOKING), DEFER(CONNECTING),
        ON(LIVE, KILL, LIVE), ON(ENDED, REMOVE, REMOVING), DEFER(UNDOING), DEFER(REMOVING)
    },
    [SIGN_CLEANED] = {
        NEVER(PREPARING), NEVER(YIELDING), NEVER(BOOTING), NEVER(LOOKING), NEVER(CONNECTING),
        NEVER(LIVE), NEVER(ENDED), REFUSE(UNDOING), ON(REMOVING, FORGET, REMOVING)
    },
};
/* clang-format on */

struct task_move task_move(enum task_state state, enum task_sign sign)
{
    assert(state < TASK_STATE_COUNT && sign < TASK_SIGN_COUNT);
    return moves[sign][state];
}

#define NAME(name) #name,
static const char *const state_names[] = { TASK_STATES(NAME) };
static const char *const sign_names[] = { TASK_SIGNS(NAME) };
static const char *const action_names[] = { TASK_ACTIONS(NAME) };

const char *task_state_name(enum task_state state) { return state_names[state]; }

const char *task_sign_name(enum task_sign sign) { return sign_names[sign]; }

const char *task_action_name(enum task_action action) { return action_names[action]; }

#define SLACK_MS      2000
#define SLACK_EACH_MS 10 /* twice what a thousand ends at once took for each, on two busy cores */

int64_t task_slack_ms(size_t tasks) { return SLACK_MS + SLACK_EACH_MS * (int64_t)tasks; }
