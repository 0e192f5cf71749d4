#include "driver/exec/environ.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/own.h"

static const char *const own_names[] = { "AGENT_NAME", "AGENT_API", "AGENT_STATE_DIR",
                                         "AGENT_EPOCH", "AGENT_RESTORED" };

static bool is_variable(const char *entry, const char *name)
{
    const size_t len = strlen(name);
    return strncmp(entry, name, len) == 0 && entry[len] == '=';
}

static bool is_own(const char *entry)
{
    for (size_t i = 0; i < COUNT(own_names); i++)
        if (is_variable(entry, own_names[i]))
            return true;
    return false;
}

const char *environ_value(const struct buf *env, size_t count, const char *name)
{
    const char *at = (const char *)env->data;
    for (size_t i = 0; i < count; i++, at += strlen(at) + 1)
        if (is_variable(at, name))
            return at + strlen(name) + 1;
    return NULL;
}

void environ_fill(const struct environ_in *in, struct environ *out)
{
    const char *at = (const char *)in->env->data;
    size_t count = 0;
    *out = (struct environ){ .list = mem_array(in->env_count + COUNT(out->made) + 1,
                                               sizeof(char *)) };
    for (size_t i = 0; i < in->env_count; i++, at += strlen(at) + 1)
        if (!is_own(at))
            out->list[count++] = at;
    if (in->agent_name && in->agent_name[0]) {
        const char *const values[] = { in->agent_name, in->api_path, in->state_path };
        for (size_t i = 0; i < COUNT(values); i++)
            out->made[out->made_count++] = str_format("%s=%s", own_names[i], values[i]);
        if (in->epoch)
            out->made[out->made_count++] = str_format("%s=%" PRIu64, own_names[3], in->epoch);
    }
    if (in->term && !environ_value(in->env, in->env_count, "TERM"))
        out->made[out->made_count++] = str_format("TERM=%s", in->term);
    for (size_t i = 0; i < out->made_count; i++)
        out->list[count++] = out->made[i];
}

void environ_fini(struct environ *list)
{
    for (size_t i = 0; i < list->made_count; i++)
        free(list->made[i]);
    free(list->list);
    *list = (struct environ){ 0 };
}
