#include "common/shimwire/taskkey.h"

#include <criterion/criterion.h>

#define ALLOC "6b1d6f3c-54f9-7d32-1f4d-0a1b2c3d4e5f"

Test(taskkey, is_sixteen_hex_digits_and_never_changes)
{
    char key[TASK_KEY_BYTES];
    task_key(view_str(ALLOC), view_str("planner"), key);
    cr_assert_str_eq(key, "a5e5095807386316");
}

Test(taskkey, depends_on_both_parts_and_on_where_they_meet)
{
    char a[TASK_KEY_BYTES], b[TASK_KEY_BYTES], c[TASK_KEY_BYTES];
    task_key(view_str("x"), view_str("yz"), a);
    task_key(view_str("xy"), view_str("z"), b);
    task_key(view_str("x"), view_str("yy"), c);
    cr_assert_str_neq(a, b);
    cr_assert_str_neq(a, c);
}
