#include "common/hcl/arena.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>

Test(arena, texts_stay_where_they_are_while_it_grows)
{
    struct arena a = { 0 };
    char *first = arena_text(&a, "first", 5);
    for (int i = 0; i < 5000; i++)
        cr_assert_str_eq(arena_text(&a, "more text", 4), "more");
    cr_assert_str_eq(first, "first");
    arena_fini(&a);
}

Test(arena, a_piece_larger_than_a_block_is_zeroed_and_aligned)
{
    struct arena a = { 0 };
    (void)arena_take(&a, 1);
    uint8_t *big = arena_take(&a, 100000);
    cr_assert_eq((uintptr_t)big % sizeof(void *), 0);
    for (size_t i = 0; i < 100000; i++)
        cr_assert_eq(big[i], 0);
    memset(big, 1, 100000);
    arena_fini(&a);
}

Test(arena, finishing_twice_is_fine)
{
    struct arena a = { 0 };
    arena_fini(&a);
    (void)arena_text(&a, "", 0);
    arena_fini(&a);
    arena_fini(&a);
}
