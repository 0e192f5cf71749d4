#include "sidecar/image/pack_set.h"

#include "common/base/own.h"

#include <criterion/criterion.h>

Test(pack_set, sequences_are_ascending_and_summed)
{
    CLEANUP(pack_set_fini) struct pack_set set = { 0 };
    static const uint64_t added[] = { 5, 1, 9, 5, 5, 2, 1 };
    for (size_t i = 0; i < COUNT(added); i++)
        pack_set_add(&set, added[i], 10);
    cr_assert_eq(set.count, 4);
    for (size_t i = 1; i < set.count; i++)
        cr_assert_lt(set.sequences[i - 1], set.sequences[i]);
    cr_assert_eq(set.bytes[0], 20);
    cr_assert_eq(set.bytes[2], 30);
    cr_assert(pack_set_has(&set, 9));
    cr_assert_not(pack_set_has(&set, 3));
    cr_assert_not(pack_set_has(NULL, 1));
}

Test(pack_set, many_in_any_order)
{
    CLEANUP(pack_set_fini) struct pack_set set = { 0 };
    for (uint64_t i = 0; i < 1000; i++)
        pack_set_add(&set, i * 7919 % 1000, 1);
    cr_assert_eq(set.count, 1000);
    for (uint64_t i = 0; i < 1000; i++)
        cr_assert(set.sequences[i] == i && pack_set_has(&set, i));
}
