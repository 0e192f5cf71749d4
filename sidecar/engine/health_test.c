#include "sidecar/engine/health.h"

#include <criterion/criterion.h>
#include <string.h>

static bool trouble(struct health *h, enum health_source source, const char *why)
{
    struct err err;
    err_set(&err, ERR_UNAVAILABLE, "%s", why);
    return health_trouble(h, source, &err);
}

Test(health, trouble_is_told_once_until_it_is_over)
{
    struct health h = { 0 };
    cr_assert_str_eq(health_why(&h), "");
    cr_assert(trouble(&h, HEALTH_CHECKPOINT, "no space"));
    cr_assert_not(trouble(&h, HEALTH_CHECKPOINT, "still no space"));
    cr_assert_str_eq(health_why(&h), "still no space");
    cr_assert(health_clear(&h, HEALTH_CHECKPOINT));
    cr_assert_not(health_clear(&h, HEALTH_CHECKPOINT));
    cr_assert_str_eq(health_why(&h), "");
    cr_assert(trouble(&h, HEALTH_CHECKPOINT, "again"));
}

Test(health, oldest_trouble_is_shown)
{
    struct health h = { 0 };
    cr_assert(trouble(&h, HEALTH_GATE, "first"));
    cr_assert(trouble(&h, HEALTH_STORE, "second"));
    cr_assert_str_eq(health_why(&h), "first");
    cr_assert(health_clear(&h, HEALTH_GATE));
    cr_assert_str_eq(health_why(&h), "second");
}

Test(health, long_reason_is_cut)
{
    struct health h = { 0 };
    char text[400];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    cr_assert(trouble(&h, HEALTH_RESTORE, text));
    cr_assert_eq(strlen(health_why(&h)), sizeof h.sources[0].why - 1);
    cr_assert_neq(health_recovered(HEALTH_RENEWAL)[0], '\0');
}
