#include "sidecar/simulate/checker.h"

#include <criterion/criterion.h>

static struct world *w;
static void setup(void) { w = world_new(1, DEFECT_NONE, false); }
static void teardown(void) { world_free(w); }
TestSuite(checker, .init = setup, .fini = teardown);

static struct record written(uint8_t instance, int64_t epoch, int64_t renewals, int64_t sequence)
{
    struct record r = { .epoch = epoch, .renewals = renewals, .has_head = sequence > 0 };
    r.holder.instance[0] = instance;
    r.head = (struct record_head){ .sequence = sequence, .epoch = epoch };
    return r;
}

/* What the second write breaks; empty when it is right. */
static const char *second(struct record first, struct record next)
{
    first.has_head = first.head.sequence > 0;
    w->is_violated = false;
    w->violation[0] = '\0';
    w->has_record = true;
    w->record = first;
    checker_on_write(w, &next);
    return w->violation;
}

Test(checker, right_writes_pass)
{
    cr_assert_str_eq(second(written(1, 1, 0, 0), written(1, 1, 1, 1)), "");
    cr_assert_str_eq(second(written(1, 1, 5, 0), written(2, 2, 0, 0)), "");
}

Test(checker, wrong_writes_are_named)
{
    cr_assert_not_null(strstr(second(written(1, 2, 0, 0), written(2, 1, 0, 0)), "has begun"));
    cr_assert_not_null(strstr(second(written(1, 2, 0, 0), written(2, 2, 0, 0)), "G4"));
    cr_assert_not_null(strstr(second(written(1, 2, 0, 0), written(1, 2, 2, 0)), "renewal"));
    cr_assert_not_null(strstr(second(written(1, 2, 0, 3), written(1, 2, 1, 2)), "went back"));
    cr_assert_not_null(strstr(second(written(1, 2, 0, 3), written(1, 2, 1, 0)), "lost"));
    cr_assert_not_null(strstr(second(written(1, 2, 0, 3), written(2, 3, 0, 4)), "commit"));
    struct record released = written(1, 2, 0, 0);
    released.released = true;
    cr_assert_not_null(strstr(second(released, written(1, 2, 1, 0)), "release"));
    struct record twin = written(1, 2, 1, 3);
    twin.head.id[0] = 'x';
    cr_assert_not_null(strstr(second(written(1, 2, 0, 3), twin), "two commits"));
}

Test(checker, agent_runs_until_its_kill_is_done)
{
    struct world_agent a = { .is_running = true, .kill_ns = 5 * NS_PER_MS };
    w->now_ns = 1000 * NS_PER_MS;
    a.deadline.at = world_clock_at(w, 0, w->now_ns);
    cr_assert(checker_may_run(w, &a));
    w->now_ns += 6 * NS_PER_MS;
    cr_assert_not(checker_may_run(w, &a));
    a.deadline.at = boot_add_ms(world_clock(w, 0), 1000);
    cr_assert(checker_may_run(w, &a));
    a.is_fenced = true;
    a.fenced_ns = w->now_ns - 5 * NS_PER_MS;
    cr_assert_not(checker_may_run(w, &a));
}

Test(checker, start_beside_another_one_or_in_an_old_epoch_is_seen)
{
    checker_on_start(w, 0, 1);
    cr_assert_not(w->is_violated);
    w->agents[5] = (struct world_agent){ .node = 1, .is_running = true };
    w->agents[5].deadline.at = boot_add_ms(world_clock(w, 1), 10);
    checker_on_start(w, 0, 2);
    cr_assert_not_null(strstr(w->violation, "G2"));
    w->is_violated = false;
    w->agents[5].is_running = false;
    checker_on_start(w, 0, 2);
    cr_assert_not_null(strstr(w->violation, "G4"));
}

Test(checker, acknowledged_commit_must_be_and_stay_in_the_store)
{
    w->record = written(1, 1, 0, 4);
    checker_on_commit(w, 4);
    cr_assert_not(w->is_violated);
    checker_on_commit(w, 5);
    cr_assert_not_null(strstr(w->violation, "not in the store"));
}

Test(checker, loss_counts_only_when_all_is_settled_and_nobody_at_the_end_always)
{
    struct err why = { .msg = "lost" };
    checker_on_loss(w, 0, &why);
    cr_assert_not(w->is_violated);
    w->is_settled = true;
    checker_on_loss(w, 0, &why);
    cr_assert_not_null(strstr(w->violation, "progress"));
    w->is_violated = false;
    checker_at_end(w);
    cr_assert_not_null(strstr(w->violation, "0 holders"));
}
