#include "sidecar/lease/steps.h"

#include "sidecar/lease/rig_test.h"

#include <criterion/criterion.h>

Test(steps, no_two_writes_share_a_nonce)
{
    uint8_t seen[2][600][RECORD_NONCE_BYTES];
    for (uint8_t who = 0; who < 2; who++) {
        struct machine m;
        struct machine_spec spec = rig_spec((uint8_t)(who + 1));
        machine_init(&m, &spec);
        for (size_t i = 0; i < 600; i++)
            step_draw_nonce(&m, seen[who][i]);
    }
    for (size_t i = 0; i < 1200; i++)
        for (size_t j = 0; j < i; j++)
            cr_assert_neq(
                memcmp(seen[i / 600][i % 600], seen[j / 600][j % 600], RECORD_NONCE_BYTES), 0);
}

Test(steps, pauses_grow_with_jitter_up_to_their_cap)
{
    struct machine m;
    struct machine_spec spec = rig_spec(1);
    machine_init(&m, &spec);
    struct machine_todo todo = { .count = 0 };
    struct input in = { .now = { 0 }, .todo = &todo };
    int64_t first_ms = 0, last_ms = 0;
    for (int i = 0; i < 100; i++) {
        step_retry_later(&m, &in);
        last_ms = boot_diff_ms(m.retry_at, in.now);
        first_ms = i == 0 ? last_ms : first_ms;
        cr_assert(last_ms >= 25 && last_ms <= RIG_TTL_MS / 8, "%d", (int)last_ms);
    }
    cr_assert_lt(first_ms, last_ms);
}

Test(steps, short_ttl_leaves_time_for_a_second_try)
{
    struct machine m;
    struct machine_spec spec = rig_spec(1);
    spec.ttl_ms = 1000;
    spec.margin_ms = 200;
    machine_init(&m, &spec);
    struct machine_todo todo = { .count = 0 };
    struct input in = { .now = { 0 }, .todo = &todo };
    step_read(&m, &in);
    int64_t call_ms = deadline_left_ms(todo.list[0].until, in.now);
    for (int i = 0; i < 20; i++)
        step_retry_later(&m, &in);
    /* Renewal at 333 ms, fails for a whole call, pause, read, write again: before 800 ms. */
    cr_assert_lt(333 + call_ms + 125 + 2, 800 - 2);
    cr_assert_leq(boot_diff_ms(m.retry_at, in.now), 125);
}
