#include "sidecar/observe/observe.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>

Test(observe, each_row_shows_its_own_number)
{
    struct observe o = { .epoch = 7, .api_refused = 9, .barriers = 3 };
    cr_assert_eq(observe_row(&o, 0).value, 7);
    cr_assert_str_eq(observe_row(&o, 0).name, "agent_epoch");
    cr_assert_eq(observe_row(&o, observe_count() - 1).value, 9);
    cr_assert_eq(observe_count() * sizeof(int64_t), sizeof(o), "a row for each member");
}

Test(observe, names_are_unique_and_counters_say_total)
{
    struct observe o = { 0 };
    for (size_t i = 0; i < observe_count(); i++) {
        struct observe_row row = observe_row(&o, i);
        size_t len = strlen(row.name);
        int is_total = len > 6 && strcmp(row.name + len - 6, "_total") == 0;
        cr_assert_eq(is_total, row.type == OBSERVE_COUNTER, "%s", row.name);
        cr_assert_neq(row.help[0], '\0');
        for (size_t k = 0; k < i; k++)
            cr_assert_str_neq(row.name, observe_row(&o, k).name);
    }
}

Test(observe, index_past_the_end_is_a_bug, .signal = SIGABRT)
{
    struct observe o = { 0 };
    (void)observe_row(&o, observe_count());
}
