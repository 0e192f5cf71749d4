#include "driver/task/rules.h"

#include <assert.h>
#include <stdlib.h>

#include "common/base/own.h"

struct rules *rules_new(const struct plugin_config *config)
{
    struct rules *rules = mem_new(struct rules);
    plugin_config_copy(config, &rules->config);
    rules->holders = 1;
    return rules;
}

struct rules *rules_hold(struct rules *rules)
{
    assert(rules->holders > 0);
    rules->holders++;
    return rules;
}

void rules_drop(struct rules **rules)
{
    struct rules *old = STEAL(*rules);
    if (old == NULL)
        return;
    assert(old->holders > 0);
    if (--old->holders > 0)
        return;
    plugin_config_fini(&old->config);
    free(old);
}
