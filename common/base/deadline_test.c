#include "common/base/deadline.h"

#include <criterion/criterion.h>

Test(deadline, counts_from_before_the_request_less_the_margin)
{
    struct deadline d = deadline_after((struct boot){ 1000 * NS_PER_MS }, 15000, 3000);
    cr_assert_eq(d.at.ns, 13000 * NS_PER_MS);
}

Test(deadline, is_never_earlier_than_the_request)
{
    struct deadline d = deadline_after((struct boot){ 7 }, 100, 500);
    cr_assert_eq(d.at.ns, 7);
}

Test(deadline, is_past_from_its_first_instant)
{
    struct deadline d = { { 10 } };
    cr_assert_not(deadline_is_past(d, (struct boot){ 9 }));
    cr_assert(deadline_is_past(d, (struct boot){ 10 }));
}

Test(deadline, left_rounds_up)
{
    struct deadline d = { { 2 * NS_PER_MS } };
    cr_assert_eq(deadline_left_ms(d, (struct boot){ NS_PER_MS - 1 }), 2);
    cr_assert_eq(deadline_left_ms(d, (struct boot){ 3 * NS_PER_MS }), 0);
}

Test(deadline, a_huge_ttl_saturates)
{
    struct deadline d = deadline_after((struct boot){ 1 }, INT64_MAX, 0);
    cr_assert_eq(d.at.ns, INT64_MAX);
}
