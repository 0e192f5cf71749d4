#include "common/base/time.h"

#include <criterion/criterion.h>
#include <string.h>

Test(time, differences_round_down_on_both_sides_of_zero)
{
    struct boot a = { 5 * NS_PER_MS }, b = { 6 * NS_PER_MS + 1 };
    cr_assert_eq(boot_diff_ms(b, a), 1);
    cr_assert_eq(boot_diff_ms(a, b), -2);
}

Test(time, adding_saturates)
{
    cr_assert_eq(boot_add_ms((struct boot){ 5 }, INT64_MAX).ns, INT64_MAX);
    cr_assert_eq(boot_add_ms((struct boot){ -5 }, INT64_MIN).ns, INT64_MIN);
    cr_assert_eq(boot_add_ms((struct boot){ 5 }, 2).ns, 5 + 2 * NS_PER_MS);
}

Test(time, clocks_move_forward)
{
    struct boot first = boot_now();
    struct boot second = boot_now();
    cr_assert_geq(second.ns, first.ns);
    cr_assert_gt(mono_now().ns, 0);
    cr_assert_gt(wall_now().ns, 0);
}

Test(time, wall_text_has_six_fraction_digits)
{
    char text[WALL_TEXT_BYTES];
    wall_format((struct wall){ 1764074359123456789LL }, text);
    cr_assert_str_eq(text, "2025-11-25T12:39:19.123456Z");
    wall_format((struct wall){ -1 }, text);
    cr_assert_str_eq(text, "1969-12-31T23:59:59.999999Z");
}
