#include "common/base/own.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>

Test(own, steal_hands_over_and_empties_the_source)
{
    char *text = str_format("%s-%d", "web", 3);
    char *kept = STEAL(text);
    cr_assert_null(text);
    cr_assert_str_eq(kept, "web-3");
    str_freep(&kept);
    cr_assert_null(kept);
}

Test(own, new_memory_is_zeroed)
{
    int *numbers = mem_array(16, sizeof(int));
    for (int i = 0; i < 16; i++)
        cr_assert_eq(numbers[i], 0);
    free(numbers);
}

Test(own, copy_n_ends_the_text)
{
    char *copy = str_copy_n("abcdef", 3);
    cr_assert_str_eq(copy, "abc");
    str_freep(&copy);
    copy = str_copy_n(NULL, 0);
    cr_assert_str_eq(copy, "");
    str_freep(&copy);
}

Test(own, freeing_keeps_errno)
{
    char *text = str_copy("x");
    errno = 42;
    str_freep(&text);
    cr_assert_eq(errno, 42);
}
