#include "sidecar/simulate/world.h"

#include <criterion/criterion.h>
#include <stdio.h>

Test(world, clocks_stay_within_their_allowance_and_a_delay_is_never_early)
{
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct world *w = world_new(seed, DEFECT_NONE, false);
        int64_t start_ns = world_clock(w, 1).ns;
        w->now_ns = 10000 * NS_PER_MS;
        int64_t passed_ns = world_clock(w, 1).ns - start_ns;
        cr_assert(passed_ns >= 9950 * NS_PER_MS && passed_ns <= 10050 * NS_PER_MS);
        struct boot at = boot_add_ms(world_clock(w, 1), 500);
        w->now_ns += world_delay_to(w, 1, at);
        cr_assert_geq(world_clock(w, 1).ns, at.ns);
        world_free(w);
    }
}

Test(world, calm_has_no_faults_and_fast_messages)
{
    struct world *w = world_new(3, DEFECT_NONE, false);
    cr_assert(world_hits(w, 1000));
    w->is_calm = true;
    for (int i = 0; i < 1000; i++) {
        cr_assert_not(world_hits(w, 1000));
        cr_assert_lt(world_network_ns(w), 4 * NS_PER_MS);
    }
    world_free(w);
}

Test(world, first_violation_is_kept_and_traced)
{
    struct world *w = world_new(3, DEFECT_NONE, true);
    world_violate(w, "first %d", 1);
    world_violate(w, "second");
    cr_assert_str_eq(w->violation, "first 1");
    cr_assert_not_null(strstr(buf_borrow_str(&w->trace), "VIOLATED: first 1"));
    world_free(w);
}

Test(world, record_survives_its_bytes)
{
    struct record got, r = { .epoch = 4, .ttl_ms = 1000 };
    struct buf bytes = { 0 };
    (void)snprintf(r.name, sizeof(r.name), WORLD_NAME);
    world_encode(&r, &bytes);
    world_decode(buf_view(&bytes), &got);
    cr_assert_eq(got.epoch, 4);
    struct world *w = world_new(3, DEFECT_NONE, false);
    w->record = r;
    w->bytes = buf_take(&bytes);
    world_read(w, buf_view(&w->bytes), &got);
    cr_assert_eq(got.epoch, 4);
    world_free(w);
}
