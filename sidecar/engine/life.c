#include "sidecar/engine/life.h"

#include <assert.h>

#define STAY LIFE_STATE_COUNT
#define DO(action, next)              \
    {                                 \
        LIFE_DO_##action, LIFE_##next \
    }
#define NONE               \
    {                      \
        LIFE_DO_NONE, STAY \
    }
#define BUG               \
    {                     \
        LIFE_DO_BUG, STAY \
    }
#define LOSE DO(FENCE, FENCED)
#define QUIT DO(LEAVE, LEAVING)

/* What the shim says is never a bug of ours: HELLO, RUNS, STOP, EXITED and SHIM_GONE have no BUG.
 */
/* clang-format off */
static const struct life_step table[LIFE_STATE_COUNT][LIFE_EVENT_COUNT] = {
#define ROW(state, hello, held, restored, fresh, unseeded, seeded, runs, stop, exited, saved, idle,\
            released, lost, fail, shim_gone, stopped) \
    [LIFE_##state] = { [LIFE_ON_HELLO] = hello, [LIFE_ON_HELD] = held, \
        [LIFE_ON_RESTORED] = restored, [LIFE_ON_FRESH] = fresh, [LIFE_ON_UNSEEDED] = unseeded, \
        [LIFE_ON_SEEDED] = seeded, [LIFE_ON_RUNS] = runs, [LIFE_ON_STOP] = stop, \
        [LIFE_ON_EXITED] = exited, [LIFE_ON_SAVED] = saved, [LIFE_ON_IDLE] = idle, \
        [LIFE_ON_RELEASED] = released, [LIFE_ON_LOST] = lost, [LIFE_ON_FAIL] = fail, \
        [LIFE_ON_SHIM_GONE] = shim_gone, [LIFE_ON_STOPPED] = stopped },
    ROW(STARTING,
        /* hello */ DO(ACQUIRE, LEASING), /* held */ BUG, /* restored */ BUG, /* fresh */ BUG,
        /* unseeded */ BUG, /* seeded */ BUG, /* runs */ NONE, /* stop */ QUIT, /* exited */ NONE,
        /* saved */ BUG, /* idle */ BUG, /* released */ BUG, /* lost */ BUG, /* fail */ QUIT,
        /* shim_gone */ QUIT, /* stopped */ BUG)
    ROW(LEASING,
        /* hello */ NONE, /* held */ DO(RESTORE, RESTORING), /* restored */ BUG, /* fresh */ BUG,
        /* unseeded */ BUG, /* seeded */ BUG, /* runs */ NONE, /* stop */ QUIT, /* exited */ NONE,
        /* saved */ BUG, /* idle */ BUG, /* released */ BUG, /* lost */ LOSE, /* fail */ QUIT,
        /* shim_gone */ QUIT, /* stopped */ BUG)
    ROW(RESTORING,
        /* hello */ NONE, /* held */ BUG, /* restored */ DO(OPEN, OPENING),
        /* fresh */ DO(OPEN, OPENING), /* unseeded */ DO(SEED, SEEDING), /* seeded */ BUG,
        /* runs */ NONE, /* stop */ DO(ABORT, ABORTING), /* exited */ NONE, /* saved */ BUG,
        /* idle */ BUG, /* released */ BUG, /* lost */ LOSE, /* fail */ DO(RELEASE, FAILED),
        /* shim_gone */ QUIT, /* stopped */ BUG)
    ROW(SEEDING,
        /* hello */ NONE, /* held */ BUG, /* restored */ BUG, /* fresh */ BUG, /* unseeded */ BUG,
        /* seeded */ DO(OPEN, OPENING), /* runs */ NONE, /* stop */ DO(ABORT, ABORTING),
        /* exited */ NONE, /* saved */ BUG, /* idle */ BUG, /* released */ BUG, /* lost */ LOSE,
        /* fail */ DO(RELEASE, FAILED), /* shim_gone */ QUIT, /* stopped */ BUG)
    ROW(OPENING,
        /* hello */ NONE, /* held */ BUG, /* restored */ BUG, /* fresh */ BUG, /* unseeded */ BUG,
        /* seeded */ BUG, /* runs */ DO(RUN, RUNNING), /* stop */ DO(ABORT, ABORTING),
        /* exited */ DO(SAVE, SAVING), /* saved */ BUG, /* idle */ BUG, /* released */ BUG,
        /* lost */ LOSE, /* fail */ DO(RELEASE, FAILED), /* shim_gone */ QUIT, /* stopped */ BUG)
    ROW(RUNNING,
        /* hello */ NONE, /* held */ BUG, /* restored */ BUG, /* fresh */ BUG, /* unseeded */ BUG,
        /* seeded */ BUG, /* runs */ NONE, /* stop */ DO(NONE, STOPPING),
        /* exited */ DO(SAVE, SAVING), /* saved */ BUG, /* idle */ BUG, /* released */ BUG,
        /* lost */ LOSE, /* fail */ BUG, /* shim_gone */ QUIT, /* stopped */ BUG)
    ROW(STOPPING,
        /* hello */ NONE, /* held */ BUG, /* restored */ BUG, /* fresh */ BUG, /* unseeded */ BUG,
        /* seeded */ BUG, /* runs */ NONE, /* stop */ NONE, /* exited */ DO(SAVE, SAVING),
        /* saved */ BUG, /* idle */ BUG, /* released */ BUG, /* lost */ LOSE, /* fail */ BUG,
        /* shim_gone */ QUIT, /* stopped */ BUG)
    ROW(SAVING,
        /* hello */ NONE, /* held */ BUG, /* restored */ BUG, /* fresh */ BUG, /* unseeded */ BUG,
        /* seeded */ BUG, /* runs */ NONE, /* stop */ NONE, /* exited */ NONE,
        /* saved */ DO(RELEASE, RELEASING), /* idle */ BUG, /* released */ BUG, /* lost */ LOSE,
        /* fail */ QUIT, /* shim_gone */ QUIT, /* stopped */ BUG)
    ROW(ABORTING,
        /* hello */ NONE, /* held */ BUG, /* restored */ BUG, /* fresh */ BUG, /* unseeded */ BUG,
        /* seeded */ BUG, /* runs */ NONE, /* stop */ NONE, /* exited */ NONE, /* saved */ BUG,
        /* idle */ DO(RELEASE, RELEASING), /* released */ BUG, /* lost */ LOSE, /* fail */ NONE,
        /* shim_gone */ QUIT, /* stopped */ BUG)
    ROW(RELEASING,
        /* hello */ NONE, /* held */ BUG, /* restored */ BUG, /* fresh */ BUG, /* unseeded */ BUG,
        /* seeded */ BUG, /* runs */ NONE, /* stop */ NONE, /* exited */ NONE, /* saved */ BUG,
        /* idle */ BUG, /* released */ QUIT, /* lost */ QUIT, /* fail */ BUG, /* shim_gone */ NONE,
        /* stopped */ BUG)
    ROW(FAILED,
        /* hello */ NONE, /* held */ BUG, /* restored */ BUG, /* fresh */ BUG, /* unseeded */ BUG,
        /* seeded */ BUG, /* runs */ NONE, /* stop */ NONE, /* exited */ NONE, /* saved */ BUG,
        /* idle */ BUG, /* released */ QUIT, /* lost */ QUIT, /* fail */ NONE, /* shim_gone */ NONE,
        /* stopped */ BUG)
    ROW(FENCED,
        /* hello */ NONE, /* held */ BUG, /* restored */ NONE, /* fresh */ NONE,
        /* unseeded */ NONE, /* seeded */ NONE, /* runs */ NONE, /* stop */ NONE, /* exited */ NONE,
        /* saved */ NONE, /* idle */ BUG, /* released */ NONE, /* lost */ NONE, /* fail */ NONE,
        /* shim_gone */ NONE, /* stopped */ DO(FINISH, ENDED))
    ROW(LEAVING,
        /* hello */ NONE, /* held */ NONE, /* restored */ NONE, /* fresh */ NONE,
        /* unseeded */ NONE, /* seeded */ NONE, /* runs */ NONE, /* stop */ NONE, /* exited */ NONE,
        /* saved */ NONE, /* idle */ BUG, /* released */ NONE, /* lost */ NONE, /* fail */ NONE,
        /* shim_gone */ NONE, /* stopped */ DO(FINISH, ENDED))
    ROW(ENDED,
        /* hello */ NONE, /* held */ BUG, /* restored */ BUG, /* fresh */ BUG, /* unseeded */ BUG,
        /* seeded */ BUG, /* runs */ NONE, /* stop */ NONE, /* exited */ NONE, /* saved */ BUG,
        /* idle */ BUG, /* released */ BUG, /* lost */ BUG, /* fail */ BUG, /* shim_gone */ NONE,
        /* stopped */ BUG)
};
/* clang-format on */

struct life_step life_step(enum life_state state, enum life_event event)
{
    assert(state < LIFE_STATE_COUNT && event < LIFE_EVENT_COUNT);
    struct life_step step = table[state][event];
    if (step.next == STAY)
        step.next = state;
    return step;
}

#define STATE_ROW(state, name, role) [LIFE_##state] = { name, role },
static const struct {
    const char *name, *role;
} states[] = { LIFE_STATES(STATE_ROW) };
_Static_assert(sizeof(states) / sizeof(states[0]) == LIFE_STATE_COUNT, "a row for each state");

const char *life_state_name(enum life_state state) { return states[state].name; }

const char *life_state_role(enum life_state state) { return states[state].role; }

#define EVENT_ROW(event) [LIFE_ON_##event] = #event,
const char *life_event_name(enum life_event event)
{
    static const char *const names[] = { LIFE_EVENTS(EVENT_ROW) };
    return names[event];
}

bool life_is_serving(enum life_state state)
{
    return state == LIFE_OPENING || state == LIFE_RUNNING || state == LIFE_STOPPING;
}
