#include "sidecar/simulate/history.h"

#include <criterion/criterion.h>
#include <inttypes.h>

#define SEEDS 200

/* The first seed below `seeds` that does not hold; `seeds` when all do. */
static uint64_t first_failure(enum defect defect, uint64_t seeds, struct world_counts *sum,
                              char violation[240])
{
    for (uint64_t seed = 0; seed < seeds; seed++) {
        struct history h;
        history_run(&(struct history_spec){ .seed = seed, .defect = defect }, &h);
        sum->starts += h.counts.starts;
        sum->losses += h.counts.losses;
        sum->commits += h.counts.commits;
        sum->releases += h.counts.releases;
        sum->crashes += h.counts.crashes;
        sum->pauses += h.counts.pauses;
        sum->lost += h.counts.lost;
        sum->refused += h.counts.refused;
        memcpy(violation, h.violation, sizeof(h.violation));
        history_fini(&h);
        if (!h.holds)
            return seed;
    }
    return seeds;
}

Test(history, every_guarantee_holds_and_the_faults_bite, .timeout = 100)
{
    struct world_counts sum = { 0 };
    char violation[240];
    uint64_t seed = first_failure(DEFECT_NONE, SEEDS, &sum, violation);
    cr_assert_eq(seed, SEEDS, "seed %" PRIu64 ": %s", seed, violation);
    cr_assert_gt(sum.starts, 3 * SEEDS);
    cr_assert_gt(sum.commits, 10 * SEEDS);
    cr_assert_gt(sum.losses, SEEDS);
    cr_assert_gt(sum.releases, SEEDS / 4);
    cr_assert_gt(sum.crashes, SEEDS / 4);
    cr_assert_gt(sum.pauses, SEEDS);
    cr_assert_gt(sum.lost, 10 * SEEDS);
    cr_assert_gt(sum.refused, SEEDS / 4);
}

Test(history, each_rule_that_is_left_out_is_found, .timeout = 100)
{
    static const struct {
        enum defect defect;
        const char *breaks;
    } rows[] = { { DEFECT_MARGIN, "G2" }, { DEFECT_NONCE, "G" }, { DEFECT_EPOCH, "G1" } };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct world_counts sum = { 0 };
        char violation[240];
        uint64_t seed = first_failure(rows[i].defect, SEEDS, &sum, violation);
        cr_assert_lt(seed, SEEDS, "defect %s was not found", defect_name(rows[i].defect));
        cr_assert_eq(strncmp(violation, rows[i].breaks, strlen(rows[i].breaks)), 0, "%s: %s",
                     defect_name(rows[i].defect), violation);
    }
}

Test(history, same_seed_gives_the_same_trace)
{
    struct history_spec spec = { .seed = 7, .is_traced = true };
    struct history a, b;
    history_run(&spec, &a);
    history_run(&spec, &b);
    cr_assert_gt(a.trace.len, 100);
    cr_assert(view_is_equal(buf_view(&a.trace), buf_view(&b.trace)));
    spec.seed = 8;
    history_fini(&b);
    history_run(&spec, &b);
    cr_assert_not(view_is_equal(buf_view(&a.trace), buf_view(&b.trace)));
    history_fini(&a);
    history_fini(&b);
}

Test(history, trace_ends_with_what_was_violated)
{
    struct history_spec spec = { .defect = DEFECT_MARGIN, .is_traced = true };
    struct history h = { .holds = true };
    for (; h.holds && spec.seed < SEEDS; spec.seed++) {
        history_fini(&h);
        history_run(&spec, &h);
    }
    cr_assert_not(h.holds);
    cr_assert_not_null(strstr(buf_borrow_str(&h.trace), h.violation));
    history_fini(&h);
}
