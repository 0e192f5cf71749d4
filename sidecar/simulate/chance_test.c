#include "sidecar/simulate/chance.h"

#include <criterion/criterion.h>

Test(chance, same_seed_gives_same_numbers_and_neighbours_do_not)
{
    for (uint64_t seed = 0; seed < 100; seed++) {
        struct chance a = chance_of(seed), b = chance_of(seed), c = chance_of(seed + 1);
        int same = 0;
        for (int i = 0; i < 100; i++) {
            uint64_t number = chance_draw(&a);
            cr_assert_eq(number, chance_draw(&b));
            same += number == chance_draw(&c);
        }
        cr_assert_eq(same, 0);
    }
}

Test(chance, stays_below_its_bound_and_reaches_every_number)
{
    struct chance c = chance_of(7);
    int seen[10] = { 0 };
    for (int i = 0; i < 1000; i++) {
        int64_t number = chance_below(&c, 10);
        cr_assert(number >= 0 && number < 10);
        seen[number]++;
    }
    for (int i = 0; i < 10; i++)
        cr_assert_gt(seen[i], 50);
}
