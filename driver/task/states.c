#include "driver/task/states.h"

#include <assert.h>

#define M(action, next)          \
    {                            \
        DO_##action, TASK_##next \
    }

/* One row an event, one column a state, in the order of the enums and of DESIGN.md. `nv` cannot
 * happen, `ig` is ignored, `df` is kept for later, `rf` frees the entry. */
#define nv(s) M(NEVER, s)
#define ig(s) M(IGNORE, s)
#define df(s) M(DEFER, s)
#define rf(s) M(REFUSE, s)
#define ROW(pr, yi, op, sp, bo, lo, co, li, en, un, re)                                         \
    {                                                                                           \
        [TASK_PREPARING] = pr, [TASK_YIELDING] = yi, [TASK_OPENING] = op, [TASK_SPAWNING] = sp, \
        [TASK_BOOTING] = bo, [TASK_LOOKING] = lo, [TASK_CONNECTING] = co, [TASK_LIVE] = li,     \
        [TASK_ENDED] = en, [TASK_UNDOING] = un, [TASK_REMOVING] = re                            \
    }

/* clang-format off */
static const struct task_move moves[TASK_SIGN_COUNT][TASK_STATE_COUNT] = {
    [SIGN_FRESH] = ROW(M(OPEN, OPENING), nv(YIELDING), nv(OPENING), nv(SPAWNING), nv(BOOTING),
                       nv(LOOKING), nv(CONNECTING), nv(LIVE), nv(ENDED), nv(UNDOING), nv(REMOVING)),
    [SIGN_ALIVE] = ROW(M(CONNECT, CONNECTING), nv(YIELDING), nv(OPENING), nv(SPAWNING), nv(BOOTING),
                       M(CONNECT, CONNECTING), nv(CONNECTING), nv(LIVE), nv(ENDED), nv(UNDOING),
                       nv(REMOVING)),
    [SIGN_OTHER] = ROW(M(YIELD, YIELDING), nv(YIELDING), nv(OPENING), nv(SPAWNING), nv(BOOTING),
                       nv(LOOKING), nv(CONNECTING), nv(LIVE), nv(ENDED), nv(UNDOING), nv(REMOVING)),
    [SIGN_OVER] = ROW(M(END, ENDED), nv(YIELDING), nv(OPENING), nv(SPAWNING), nv(BOOTING),
                      M(END, ENDED), nv(CONNECTING), nv(LIVE), nv(ENDED), nv(UNDOING), nv(REMOVING)),
    [SIGN_OPENED] = ROW(nv(PREPARING), nv(YIELDING), M(SPAWN, SPAWNING), nv(SPAWNING), nv(BOOTING),
                        nv(LOOKING), nv(CONNECTING), nv(LIVE), nv(ENDED), nv(UNDOING), nv(REMOVING)),
    [SIGN_NOT_YET] = ROW(nv(PREPARING), M(AGAIN, PREPARING), M(AGAIN, OPENING), nv(SPAWNING),
                         nv(BOOTING), nv(LOOKING), M(AGAIN, LOOKING), nv(LIVE), nv(ENDED),
                         nv(UNDOING), nv(REMOVING)),
    [SIGN_SPAWNED] = ROW(nv(PREPARING), nv(YIELDING), nv(OPENING), M(WATCH, BOOTING), nv(BOOTING),
                         nv(LOOKING), nv(CONNECTING), nv(LIVE), nv(ENDED), nv(UNDOING), nv(REMOVING)),
    [SIGN_FAILED] = ROW(rf(PREPARING), rf(YIELDING), M(UNDO, UNDOING), M(UNDO, UNDOING),
                        M(UNDO, UNDOING), rf(LOOKING), rf(CONNECTING), nv(LIVE), nv(ENDED),
                        nv(UNDOING), nv(REMOVING)),
    [SIGN_UP] = ROW(nv(PREPARING), ig(YIELDING), nv(OPENING), nv(SPAWNING), M(REPLY, LIVE),
                    nv(LOOKING), M(REPLY, LIVE), M(NOTE, LIVE), ig(ENDED), ig(UNDOING), ig(REMOVING)),
    [SIGN_EXITED] = ROW(nv(PREPARING), ig(YIELDING), nv(OPENING), nv(SPAWNING), M(UNDO, UNDOING),
                        nv(LOOKING), M(END, ENDED), M(END, ENDED), ig(ENDED), ig(UNDOING),
                        ig(REMOVING)),
    [SIGN_CLOSED] = ROW(nv(PREPARING), M(AGAIN, PREPARING), nv(OPENING), nv(SPAWNING),
                        M(UNDO, UNDOING), nv(LOOKING), M(AGAIN, LOOKING), M(LOOK, LOOKING), ig(ENDED),
                        ig(UNDOING), ig(REMOVING)),
    [SIGN_LATE] = ROW(nv(PREPARING), rf(YIELDING), M(UNDO, UNDOING), nv(SPAWNING), M(UNDO, UNDOING),
                      nv(LOOKING), rf(CONNECTING), M(FORCE, LIVE), ig(ENDED), nv(UNDOING),
                      nv(REMOVING)),
    [SIGN_STOP] = ROW(df(PREPARING), df(YIELDING), df(OPENING), df(SPAWNING), df(BOOTING),
                      df(LOOKING), df(CONNECTING), M(STOP, LIVE), M(ANSWER, ENDED), df(UNDOING),
                      df(REMOVING)),
    [SIGN_DESTROY] = ROW(df(PREPARING), df(YIELDING), df(OPENING), df(SPAWNING), df(BOOTING),
                         df(LOOKING), df(CONNECTING), M(KILL, LIVE), M(REMOVE, REMOVING), df(UNDOING),
                         df(REMOVING)),
    [SIGN_CLEANED] = ROW(nv(PREPARING), nv(YIELDING), nv(OPENING), nv(SPAWNING), nv(BOOTING),
                         nv(LOOKING), nv(CONNECTING), nv(LIVE), nv(ENDED), rf(UNDOING),
                         M(FORGET, REMOVING)),
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
