#include "sidecar/engine/status.h"

#include <criterion/criterion.h>

/* A life with lease and state is looked at by api_test and the scenarios; here: before both. */
Test(status, standby_names_its_holder_and_others_none)
{
    const struct sidecar_config config = { .name = (char[]){ "a/b" } };
    const struct news news = { .holder = "node-1", .holder_epoch = 4 };
    struct status_parts parts = {
        .config = &config, .node = "here", .phase = LIFE_LEASING, .news = &news
    };
    struct engine_status status;
    status_fill(&parts, &status);
    cr_assert_str_eq(status.name, "a/b");
    cr_assert_str_eq(status.holder, "node-1");
    cr_assert(status.holder_epoch == 4 && status.epoch == 0 && status.lease_left_ms == 0);
    cr_assert(!status.has_checkpoint && status.age_ms == -1 && status.rpo_ms == 0);
    cr_assert_str_eq(status.degraded, "");
    parts.phase = LIFE_RESTORING;
    status_fill(&parts, &status);
    cr_assert_str_eq(status.holder, "");
    cr_assert_eq(status.holder_epoch, 0);
}

Test(status, trouble_is_shown)
{
    const struct sidecar_config config = { .name = (char[]){ "a" } };
    struct news news = { .holder = "" };
    struct err err;
    struct engine_status status;
    err_set(&err, ERR_UNAVAILABLE, "no answer");
    (void)health_trouble(&news.health, HEALTH_STORE, &err);
    status_fill(&(struct status_parts){ .config = &config, .phase = LIFE_LEASING, .news = &news },
                &status);
    cr_assert_str_eq(status.degraded, "no answer");
}
