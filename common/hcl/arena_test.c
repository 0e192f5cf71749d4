#include "common/hcl/arena.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>

Test(arena, texts_stay_where_they_are_while_it_grows)
{
    struct hcl_arena a = { 0 };
    char *first = hcl_arena_text(&a, "first", 5);
    for (int i = 0; i < 5000; i++)
        cr_assert_str_eq(hcl_arena_text(&a, "more text", 4), "more");
    cr_assert_str_eq(first, "first");
    hcl_arena_fini(&a);
}

Test(arena, a_piece_larger_than_a_block_is_zeroed_and_aligned)
{
    struct hcl_arena a = { 0 };
    (void)hcl_arena_take(&a, 1);
    uint8_t *big = hcl_arena_take(&a, 100000);
    cr_assert_eq((uintptr_t)big % sizeof(void *), 0);
    for (size_t i = 0; i < 100000; i++)
        cr_assert_eq(big[i], 0);
    memset(big, 1, 100000);
    hcl_arena_fini(&a);
}

Test(arena, finishing_twice_is_fine)
{
    struct hcl_arena a = { 0 };
    hcl_arena_fini(&a);
    (void)hcl_arena_text(&a, "", 0);
    hcl_arena_fini(&a);
    hcl_arena_fini(&a);
}
