#include "driver/task/rules.h"

#include <criterion/criterion.h>

#include "common/base/own.h"

static struct rules *rules_of(const char *store)
{
    struct err err = { 0 };
    struct plugin_config config;
    cr_assert(plugin_config_decode(view_str(""), &config, NULL, &err), "%s", err.msg);
    config.store = str_copy(store);
    struct rules *rules = rules_new(&config);
    plugin_config_fini(&config);
    return rules;
}

Test(rules, are_a_copy_that_lives_as_long_as_someone_holds_it)
{
    struct rules *first = rules_of("file:///a"), *second = rules_hold(first);
    rules_drop(&first);
    cr_assert_null(first);
    cr_assert_str_eq(second->config.store, "file:///a");
    rules_drop(&second);
    cr_assert_null(second);
    rules_drop(&second);
}
