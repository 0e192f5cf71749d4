#include "sidecar/engine/life.h"

#include <criterion/criterion.h>

/* What the table must never do, over every pair; and what it must be able to reach. */

#define EACH_PAIR(state, event)                                        \
    for (enum life_state state = 0; state < LIFE_STATE_COUNT; state++) \
        for (enum life_event event = 0; event < LIFE_EVENT_COUNT; event++)

Test(life, every_pair_has_an_action_and_a_state)
{
    EACH_PAIR(s, e)
    {
        struct life_step step = life_step(s, e);
        cr_assert_lt(step.action, LIFE_ACTION_COUNT);
        cr_assert_lt(step.next, LIFE_STATE_COUNT);
        if (step.action == LIFE_DO_BUG || step.action == LIFE_DO_NONE)
            cr_assert(step.next == s || (s == LIFE_RUNNING && step.next == LIFE_STOPPING));
        else
            cr_assert_neq(step.next, s, "%s on %s acts and stays", life_state_name(s),
                          life_event_name(e));
    }
}

Test(life, restore_begins_only_when_the_lease_is_held)
{
    EACH_PAIR(s, e)
    if (life_step(s, e).action == LIFE_DO_RESTORE)
        cr_assert(s == LIFE_LEASING && e == LIFE_ON_HELD);
}

Test(life, gate_opens_only_after_a_restore_a_proved_first_start_or_a_seed)
{
    EACH_PAIR(s, e)
    if (life_step(s, e).action == LIFE_DO_OPEN)
        cr_assert((s == LIFE_RESTORING && (e == LIFE_ON_RESTORED || e == LIFE_ON_FRESH)) ||
                  (s == LIFE_SEEDING && e == LIFE_ON_SEEDED));
}

Test(life, a_running_agent_is_released_only_through_a_committed_final_checkpoint)
{
    EACH_PAIR(s, e)
    {
        struct life_step step = life_step(s, e);
        if (step.action != LIFE_DO_RELEASE)
            continue;
        if (step.next == LIFE_RELEASING)
            cr_assert((s == LIFE_SAVING && e == LIFE_ON_SAVED) ||
                      (s == LIFE_ABORTING && e == LIFE_ON_IDLE));
        else
            cr_assert(step.next == LIFE_FAILED && e == LIFE_ON_FAIL &&
                      (s == LIFE_RESTORING || s == LIFE_SEEDING || s == LIFE_OPENING));
    }
    cr_assert_eq(life_step(LIFE_RUNNING, LIFE_ON_EXITED).next, LIFE_SAVING);
    cr_assert_eq(life_step(LIFE_STOPPING, LIFE_ON_EXITED).next, LIFE_SAVING);
}

Test(life, losing_fences_from_every_state_in_which_an_agent_may_run)
{
    static const enum life_state may_run[] = { LIFE_OPENING, LIFE_RUNNING, LIFE_STOPPING,
                                               LIFE_SAVING };
    for (unsigned i = 0; i < sizeof(may_run) / sizeof(may_run[0]); i++) {
        struct life_step step = life_step(may_run[i], LIFE_ON_LOST);
        cr_assert(step.action == LIFE_DO_FENCE && step.next == LIFE_FENCED);
    }
}

Test(life, what_the_shim_says_is_never_a_bug_of_ours)
{
    static const enum life_event said[] = { LIFE_ON_HELLO, LIFE_ON_RUNS, LIFE_ON_STOP,
                                            LIFE_ON_EXITED, LIFE_ON_SHIM_GONE };
    for (enum life_state s = 0; s < LIFE_STATE_COUNT; s++)
        for (unsigned i = 0; i < sizeof(said) / sizeof(said[0]); i++)
            cr_assert_neq(life_step(s, said[i]).action, LIFE_DO_BUG, "%s on %s", life_state_name(s),
                          life_event_name(said[i]));
}

Test(life, every_state_can_be_reached_and_can_end)
{
    bool reached[LIFE_STATE_COUNT] = { [LIFE_STARTING] = true };
    bool ends[LIFE_STATE_COUNT] = { [LIFE_ENDED] = true };
    for (unsigned turn = 0; turn < LIFE_STATE_COUNT; turn++)
        EACH_PAIR(s, e)
        {
            enum life_state next = life_step(s, e).next;
            reached[next] = reached[next] || reached[s];
            ends[s] = ends[s] || ends[next];
        }
    for (enum life_state s = 0; s < LIFE_STATE_COUNT; s++)
        cr_assert(reached[s] && ends[s], "%s", life_state_name(s));
}

Test(life, nothing_leaves_fenced_but_the_end)
{
    for (enum life_event e = 0; e < LIFE_EVENT_COUNT; e++) {
        enum life_state next = life_step(LIFE_FENCED, e).next;
        cr_assert(next == LIFE_FENCED || (next == LIFE_ENDED && e == LIFE_ON_STOPPED));
    }
}

Test(life, a_standby_that_is_stopped_leaves_without_release)
{
    struct life_step step = life_step(LIFE_LEASING, LIFE_ON_STOP);
    cr_assert(step.action == LIFE_DO_LEAVE && step.next == LIFE_LEAVING);
}

Test(life, only_an_agent_that_may_write_is_served)
{
    for (enum life_state s = 0; s < LIFE_STATE_COUNT; s++)
        cr_assert_eq(life_is_serving(s),
                     s == LIFE_OPENING || s == LIFE_RUNNING || s == LIFE_STOPPING);
    cr_assert_str_eq(life_state_role(LIFE_LEASING), "standby");
    cr_assert_str_eq(life_state_role(LIFE_RUNNING), "active");
}
