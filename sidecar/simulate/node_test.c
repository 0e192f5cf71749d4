#include "sidecar/simulate/node.h"

#include "sidecar/simulate/checker.h"

#include <criterion/criterion.h>

static struct world *w;
static void setup(void)
{
    w = world_new(1, DEFECT_NONE, false);
    w->is_calm = true;
    queue_fini(&w->queue);
    node_start(w, 0);
}
static void teardown(void) { world_free(w); }
TestSuite(node, .init = setup, .fini = teardown);

static struct event arm_of(int64_t epoch, int64_t left_ms)
{
    struct event e = { .kind = EVENT_ARM, .life = w->nodes[0].life };
    e.action.epoch = epoch;
    e.action.until.at = boot_add_ms(world_clock(w, 0), left_ms);
    return e;
}

/* What the shim answers. */
static bool accepts(struct event arm)
{
    queue_fini(&w->queue);
    node_on_arm(w, &arm);
    struct event ack = queue_pop(&w->queue);
    cr_assert_eq(ack.kind, EVENT_ACK);
    return ack.accepted;
}

static void open_gate(void)
{
    w->nodes[0].machine.state = MACHINE_HELD;
    node_on_gate(w, 0);
}

Test(node, shim_takes_only_later_deadlines_of_no_lower_epoch)
{
    cr_assert(accepts(arm_of(2, 500)));
    cr_assert(accepts(arm_of(2, 600)));
    cr_assert_not(accepts(arm_of(2, 600)));
    cr_assert_not(accepts(arm_of(1, 900)));
    w->now_ns += 2000 * NS_PER_MS;
    cr_assert_not(accepts(arm_of(3, 0)));
}

Test(node, overdue_or_fenced_agent_gets_no_new_deadline)
{
    cr_assert(accepts(arm_of(2, 500)));
    open_gate();
    cr_assert(w->agents[w->nodes[0].shim.agent].is_running);
    w->now_ns += 600 * NS_PER_MS;
    cr_assert_not(accepts(arm_of(2, 500)));
}

Test(node, deaf_shim_does_not_answer)
{
    w->nodes[0].shim.is_deaf = true;
    queue_fini(&w->queue);
    node_on_arm(w, &(struct event){ .kind = EVENT_ARM });
    cr_assert_eq(w->queue.count, 0);
}

Test(node, gate_stays_shut_past_the_deadline)
{
    cr_assert(accepts(arm_of(2, 500)));
    w->now_ns += 600 * NS_PER_MS;
    open_gate();
    cr_assert_eq(w->nodes[0].shim.agent, -1);
}

Test(node, agent_outlives_a_killed_sidecar_to_its_deadline)
{
    cr_assert(accepts(arm_of(2, 500)));
    open_gate();
    const struct world_agent *agent = &w->agents[w->nodes[0].shim.agent];
    node_crash(w, 0);
    cr_assert_not(w->nodes[0].is_alive);
    cr_assert(checker_may_run(w, agent));
    w->now_ns += 1500 * NS_PER_MS;
    cr_assert_not(checker_may_run(w, agent));
    node_start(w, 0);
    cr_assert(w->nodes[0].is_alive);
}

Test(node, one_that_is_gone_does_not_come_back)
{
    node_crash(w, 0);
    w->nodes[0].is_gone = true;
    node_start(w, 0);
    cr_assert_not(w->nodes[0].is_alive);
}
