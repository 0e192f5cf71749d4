#include "driver/task/states.h"

#include <criterion/criterion.h>
#include <stdbool.h>
#include <string.h>

#define EACH_PAIR(s, e)                             \
    for (unsigned s = 0; s < TASK_STATE_COUNT; s++) \
        for (unsigned e = 0; e < TASK_SIGN_COUNT; e++)

static bool frees(enum task_action action) { return action == DO_REFUSE || action == DO_FORGET; }

static bool is_working(enum task_state s)
{
    return s == TASK_PREPARING || s == TASK_LOOKING || s == TASK_UNDOING || s == TASK_REMOVING;
}

Test(states, every_pair_has_a_valid_move)
{
    EACH_PAIR(s, e)
    {
        const struct task_move m = task_move(s, e);
        cr_assert_lt(m.action, TASK_ACTION_COUNT);
        cr_assert_lt(m.next, TASK_STATE_COUNT);
        const bool stays = m.action == DO_NEVER || m.action == DO_IGNORE || m.action == DO_DEFER ||
                           m.action == DO_NOTE || m.action == DO_STOP || m.action == DO_KILL ||
                           m.action == DO_FORCE || m.action == DO_ANSWER || frees(m.action);
        if (stays)
            cr_assert_eq(m.next, s, "%s/%s", task_state_name(s), task_sign_name(e));
    }
}

Test(states, stop_and_destroy_are_possible_in_every_state)
{
    for (unsigned s = 0; s < TASK_STATE_COUNT; s++) {
        cr_assert_neq(task_move(s, SIGN_STOP).action, DO_NEVER);
        cr_assert_neq(task_move(s, SIGN_DESTROY).action, DO_NEVER);
        cr_assert_not(frees(task_move(s, SIGN_STOP).action));
        cr_assert_not(frees(task_move(s, SIGN_DESTROY).action));
    }
}

/* A job holds the task: nothing but its own signs may start another one or free the entry. */
Test(states, a_working_state_is_left_only_by_its_own_job)
{
    EACH_PAIR(s, e)
    {
        const struct task_move m = task_move(s, e);
        const bool from_outside = e == SIGN_UP || e == SIGN_EXITED || e == SIGN_CLOSED ||
                                  e == SIGN_STOP || e == SIGN_DESTROY;
        if (!is_working(s) || !from_outside)
            continue;
        cr_assert(m.action == DO_NEVER || m.action == DO_IGNORE || m.action == DO_DEFER, "%s/%s",
                  task_state_name(s), task_sign_name(e));
    }
}

/* The link can break at any time while there is one. */
Test(states, what_a_link_says_is_handled_wherever_there_is_a_link)
{
    const enum task_state linked[] = { TASK_YIELDING, TASK_BOOTING, TASK_CONNECTING, TASK_LIVE,
                                       TASK_ENDED,    TASK_UNDOING, TASK_REMOVING };
    const enum task_sign said[] = { SIGN_UP, SIGN_EXITED, SIGN_CLOSED };
    for (unsigned i = 0; i < sizeof(linked) / sizeof(linked[0]); i++)
        for (unsigned j = 0; j < 3; j++)
            cr_assert_neq(task_move(linked[i], said[j]).action, DO_NEVER, "%s/%s",
                          task_state_name(linked[i]), task_sign_name(said[j]));
}

Test(states, an_ended_task_never_runs_again)
{
    for (unsigned e = 0; e < TASK_SIGN_COUNT; e++) {
        const enum task_state next = task_move(TASK_ENDED, e).next;
        cr_assert(next == TASK_ENDED || next == TASK_REMOVING);
    }
}

/* From every state the entry can be freed: no state is a trap. */
Test(states, every_state_leads_to_the_end)
{
    bool ends[TASK_STATE_COUNT] = { false };
    for (unsigned round = 0; round < TASK_STATE_COUNT; round++)
        EACH_PAIR(s, e)
        {
            const struct task_move m = task_move(s, e);
            if (frees(m.action) || (m.action != DO_NEVER && ends[m.next]))
                ends[s] = true;
        }
    for (unsigned s = 0; s < TASK_STATE_COUNT; s++)
        cr_assert(ends[s], "%s", task_state_name(s));
}

Test(states, a_new_shim_comes_from_a_claimed_directory_only)
{
    EACH_PAIR(s, e)
    {
        const struct task_move m = task_move(s, e);
        if (m.action == DO_WATCH)
            cr_assert(s == TASK_PREPARING && e == SIGN_SPAWNED);
        if (m.next == TASK_BOOTING && s != TASK_BOOTING)
            cr_assert(m.action == DO_WATCH);
    }
}

Test(states, every_name_is_there)
{
    cr_assert_str_eq(task_state_name(TASK_REMOVING), "REMOVING");
    cr_assert_str_eq(task_sign_name(SIGN_CLEANED), "CLEANED");
    cr_assert_str_eq(task_action_name(DO_FORGET), "FORGET");
}

Test(states, a_shim_may_be_later_the_more_there_are)
{
    cr_expect_eq(task_slack_ms(0), 2000);
    cr_expect_eq(task_slack_ms(1000), 12000);
}
