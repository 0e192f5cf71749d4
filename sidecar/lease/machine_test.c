#include "sidecar/lease/machine.h"

#include "sidecar/lease/rig_test.h"

#include <criterion/criterion.h>
#include <signal.h>

Test(machine, every_pair_is_decided)
{
    for (int state = 0; state < MACHINE_STATE_COUNT; state++)
        for (int event = 0; event < MACHINE_EVENT_COUNT; event++)
            cr_assert(machine_decides((enum machine_state)state, (enum machine_event)event),
                      "%s on %s", machine_state_name((enum machine_state)state),
                      machine_event_name((enum machine_event)event));
}

/* --- a walk over all pairs: each state is reached as in life, then meets each event ------------
 */

static struct rig in_state(enum machine_state state)
{
    struct rig r = state == MACHINE_IDLE || state < MACHINE_HELD ? rig_new() : rig_held();
    if (state > MACHINE_IDLE && state < MACHINE_HELD)
        rig_start(&r);
    if (state == MACHINE_TAKING || state == MACHINE_ARMING)
        rig_read_fails(&r, ERR_NOT_FOUND);
    if (state == MACHINE_ARMING)
        rig_write_wins(&r);
    if (state == MACHINE_RELEASING || state == MACHINE_RELEASED)
        cr_assert(rig_release(&r));
    if (state == MACHINE_RELEASED)
        rig_write_wins(&r);
    if (state == MACHINE_LOST) {
        (void)rig_commit(&r, 0);
        rig_write_fails(&r, ERR_CONFLICT);
        struct record other = rig_other(2, false);
        (void)rig_next_version(&r);
        rig_read(&r, &other);
    }
    if (state == MACHINE_STOPPED)
        rig_stop(&r);
    cr_assert_eq(r.m.state, state, "%s", machine_state_name(r.m.state));
    return r;
}

static void feed(struct rig *r, enum machine_event event)
{
    struct record other = rig_other(7, false);
    switch (event) {
    case MACHINE_ON_START:
        rig_start(r);
        break;
    case MACHINE_ON_READ_FOUND:
        (void)rig_next_version(r);
        rig_read(r, &other);
        break;
    case MACHINE_ON_READ_ABSENT:
        rig_read_fails(r, ERR_NOT_FOUND);
        break;
    case MACHINE_ON_READ_FAILED:
        rig_read_fails(r, ERR_UNAVAILABLE);
        break;
    case MACHINE_ON_READ_BAD:
        rig_read_fails(r, ERR_CORRUPT);
        break;
    case MACHINE_ON_WRITE_WON:
        rig_write_wins(r);
        break;
    case MACHINE_ON_WRITE_CONFLICT:
        rig_write_fails(r, ERR_CONFLICT);
        break;
    case MACHINE_ON_WRITE_UNKNOWN:
        rig_write_fails(r, ERR_UNAVAILABLE);
        break;
    case MACHINE_ON_WRITE_REFUSED:
        rig_write_fails(r, ERR_DENIED);
        break;
    case MACHINE_ON_ACK:
        rig_ack(r, true);
        break;
    case MACHINE_ON_NACK:
        rig_ack(r, false);
        break;
    case MACHINE_ON_TIMER:
        rig_timer(r);
        break;
    case MACHINE_ON_COMMIT:
        (void)rig_commit(r, 1);
        break;
    case MACHINE_ON_RELEASE:
        (void)rig_release(r);
        break;
    case MACHINE_ON_STOP:
        rig_stop(r);
        break;
    case MACHINE_EVENT_COUNT:
        break;
    }
}

/* Where each state may go by one event in its usual course; anything else is a wrong turn. */
static const bool may_go[MACHINE_STATE_COUNT][MACHINE_STATE_COUNT] = {
    [MACHINE_IDLE] = { [MACHINE_SEEKING] = true, [MACHINE_STOPPED] = true },
    [MACHINE_SEEKING] = { [MACHINE_TAKING] = true,
                          [MACHINE_LOST] = true,
                          [MACHINE_STOPPED] = true },
    [MACHINE_TAKING] = { [MACHINE_SEEKING] = true,
                         [MACHINE_ARMING] = true,
                         [MACHINE_RELEASING] = true,
                         [MACHINE_LOST] = true,
                         [MACHINE_STOPPED] = true },
    [MACHINE_ARMING] = { [MACHINE_HELD] = true,
                         [MACHINE_RELEASING] = true,
                         [MACHINE_LOST] = true,
                         [MACHINE_STOPPED] = true },
    [MACHINE_HELD] = { [MACHINE_RELEASING] = true,
                       [MACHINE_LOST] = true,
                       [MACHINE_STOPPED] = true },
    [MACHINE_RELEASING] = { [MACHINE_RELEASED] = true,
                            [MACHINE_LOST] = true,
                            [MACHINE_STOPPED] = true },
    [MACHINE_RELEASED] = { [MACHINE_STOPPED] = true },
    [MACHINE_LOST] = { [MACHINE_STOPPED] = true },
    [MACHINE_STOPPED] = { false },
};

Test(machine, each_event_leads_where_the_design_says)
{
    for (int s = 0; s < MACHINE_STATE_COUNT; s++) {
        for (int e = 0; e < MACHINE_EVENT_COUNT; e++) {
            enum machine_state state = (enum machine_state)s;
            enum machine_event event = (enum machine_event)e;
            if (event == MACHINE_ON_START && state != MACHINE_IDLE)
                continue; /* asserted: second_start_is_a_bug */
            struct rig r = in_state(state);
            feed(&r, event);
            cr_assert(r.m.state == state || may_go[state][r.m.state], "%s on %s went to %s",
                      machine_state_name(state), machine_event_name(event),
                      machine_state_name(r.m.state));
        }
    }
}

Test(machine, final_states_do_nothing_but_stop)
{
    static const enum machine_state finals[] = { MACHINE_RELEASED, MACHINE_LOST, MACHINE_STOPPED };
    for (size_t i = 0; i < 3; i++) {
        for (int e = 1; e < MACHINE_EVENT_COUNT; e++) {
            struct rig r = in_state(finals[i]);
            r.todo.count = 0;
            feed(&r, (enum machine_event)e);
            cr_assert_null(rig_did(&r, ACT_WRITE));
            cr_assert_null(rig_did(&r, ACT_READ));
            cr_assert_null(rig_did(&r, ACT_ARM));
            cr_assert_null(rig_did(&r, ACT_DONE));
        }
    }
}

Test(machine, stop_ends_every_state)
{
    for (int s = 0; s < MACHINE_STATE_COUNT; s++) {
        struct rig r = in_state((enum machine_state)s);
        r.todo.count = 0;
        rig_stop(&r);
        for (int turn = 0; turn < 4 && r.m.state != MACHINE_STOPPED; turn++)
            rig_write_wins(&r);
        cr_assert_eq(r.m.state, MACHINE_STOPPED, "from %s",
                     machine_state_name((enum machine_state)s));
    }
}

Test(machine, second_start_is_a_bug, .signal = SIGABRT)
{
    struct rig r = in_state(MACHINE_SEEKING);
    rig_start(&r);
}

Test(machine, one_call_at_a_time)
{
    for (int s = 0; s < MACHINE_STATE_COUNT; s++) {
        struct rig r = in_state((enum machine_state)s);
        if (r.m.call == CALL_NONE)
            continue;
        for (int i = 0; i < 50; i++) {
            rig_wait(&r, 10);
            rig_timer(&r);
            (void)rig_commit(&r, i + 1);
            cr_assert_null(rig_did(&r, ACT_WRITE));
            cr_assert_null(rig_did(&r, ACT_READ));
        }
    }
}

Test(machine, answer_of_an_old_call_is_dropped)
{
    struct rig r = in_state(MACHINE_TAKING);
    struct record other = rig_other(5, true);
    uint64_t old = r.m.call_seq - 1;
    r.todo.count = 0;
    machine_on_read(&r.m, r.now, old, NULL, &other, &r.version, &r.todo);
    machine_on_write(&r.m, r.now, old, NULL, &r.version, &r.todo);
    cr_assert_eq(r.todo.count, 0);
    cr_assert_eq(r.m.state, MACHINE_TAKING);
}

Test(machine, waiting_machine_with_a_call_out_needs_no_timer)
{
    struct boot at;
    struct rig r = in_state(MACHINE_SEEKING);
    cr_assert_not(machine_wake(&r.m, &at));
    rig_read_fails(&r, ERR_UNAVAILABLE);
    cr_assert(machine_wake(&r.m, &at));
    cr_assert(at.ns > r.now.ns);
    struct rig idle = in_state(MACHINE_IDLE);
    cr_assert_not(machine_wake(&idle.m, &at));
}

Test(machine, holder_wakes_at_its_deadline_whatever_is_out)
{
    struct boot at;
    struct rig r = in_state(MACHINE_HELD);
    (void)rig_commit(&r, 1);
    cr_assert(machine_wake(&r.m, &at));
    cr_assert_eq(at.ns, r.m.acked.at.ns);
}
