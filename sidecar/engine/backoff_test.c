#include "sidecar/engine/backoff.h"

#include <criterion/criterion.h>

static const struct backoff how = { 200, 5000 };

Test(backoff, doubles_up_to_the_cap)
{
    cr_assert_eq(backoff_ms(how, 1, 0), 200);
    cr_assert_eq(backoff_ms(how, 2, 0), 400);
    cr_assert_eq(backoff_ms(how, 5, 0), 3200);
    cr_assert_eq(backoff_ms(how, 6, 0), 5000);
    cr_assert_eq(backoff_ms(how, UINT32_MAX, 0), 5000);
}

Test(backoff, jitter_takes_at_most_a_quarter)
{
    for (int64_t salt = -1000; salt < 1000; salt++) {
        int64_t ms = backoff_ms(how, 3, salt * 7919);
        cr_assert(ms >= 600 && ms <= 800, "%lld", (long long)ms);
    }
    cr_assert_neq(backoff_ms(how, 3, 1), backoff_ms(how, 3, 2));
}
