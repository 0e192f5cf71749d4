#include "driver/nomad/agent_hcl.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "common/base/own.h"
#include "common/hcl/write.h"
#include "driver/nomad/task_config.h"

static bool put_ms(struct buf *out, const char *key, int64_t ms, struct err *err)
{
    char text[32];
    (void)snprintf(text, sizeof(text), "%" PRId64 "ms", ms);
    return hcl_put_attr(out, 1, key, text, err);
}

static bool put_exclude(struct buf *out, const struct str_list *list, struct err *err)
{
    if (list->count == 0)
        return true;
    buf_put_str(out, "  exclude = [");
    for (size_t i = 0; i < list->count; i++) {
        buf_put_str(out, i ? ", " : "");
        if (!hcl_put_text(out, view_str(list->items[i]), err))
            return false;
    }
    buf_put_str(out, "]\n");
    return true;
}

static bool put_state(const struct agent_hcl *in, struct buf *out, struct err *err)
{
    const struct task_config *c = in->config;
    const char *store = c->state.store ? c->state.store : in->store;
    if (!store)
        return err_set(err, ERR_INVALID,
                       "task config: state.store: is required, the plugin has no default store");
    buf_put_str(out, "state {\n");
    if (!hcl_put_attr(out, 1, "path", in->state_path, err) ||
        !hcl_put_attr(out, 1, "store", store, err) ||
        !hcl_put_attr(out, 1, "key_file", in->key_file, err) ||
        !put_ms(out, "interval", c->state.interval_ms, err) ||
        !put_exclude(out, &c->state.exclude, err))
        return false;
    buf_put_str(out, "}\n");
    return true;
}

static bool put_lease(const struct agent_hcl *in, struct buf *out, struct err *err)
{
    const struct task_config *c = in->config;
    const char *store = c->lease.store ? c->lease.store : in->lease_store;
    const int64_t ttl_ms = c->lease.ttl_ms ? c->lease.ttl_ms : in->lease_ttl_ms;
    if (!task_config_check_margin(c, ttl_ms, err))
        return false;
    buf_put_str(out, "lease {\n");
    if (store && !hcl_put_attr(out, 1, "store", store, err))
        return false;
    if (!put_ms(out, "ttl", ttl_ms, err) || !put_ms(out, "margin", c->lease.margin_ms, err))
        return false;
    buf_put_str(out, "}\n");
    return true;
}

bool agent_hcl_put(const struct agent_hcl *in, struct buf *out, struct err *err)
{
    assert(in->config->has_state);
    if (!hcl_put_attr(out, 0, "name", in->name, err) ||
        !hcl_put_attr(out, 0, "node", in->node, err) ||
        !hcl_put_attr(out, 0, "alloc_id", in->alloc_id, err) ||
        !hcl_put_attr(out, 0, "region", in->region, err) || !put_state(in, out, err) ||
        !put_lease(in, out, err))
        return err_wrap(err, "write sidecar config");
    buf_put_str(out, "api {\n");
    if (!hcl_put_attr(out, 1, "path", in->api_path, err))
        return err_wrap(err, "write sidecar config");
    buf_put_str(out, "}\n");
    return true;
}
