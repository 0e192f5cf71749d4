#include "driver/dev/setup.h"

#include "common/base/own.h"
#include "common/hcl/hcl.h"
#include "common/hcl/write.h"
#include "driver/dev/plugin.h"
#include "driver/hclspec/encode.h"
#include "driver/hclspec/spec.h"

#define BASE    "/hashicorp.nomad.plugins.base.proto.BasePlugin/"
#define DRIVER  "/hashicorp.nomad.plugins.drivers.proto.Driver/"
#define STEP_MS 60000

struct step {
    const char *method, *doing;
    bool is_optional; /* an older driver may not have it */
    bool (*put)(struct setup *s, struct buf *request, struct err *err); /* NULL: empty */
    bool (*take)(struct setup *s, struct view reply, struct err *err);  /* NULL: nothing in it */
};

static bool info_take(struct setup *s, struct view reply, struct err *err)
{
    return wire_info(reply, s->version, err);
}

static bool schema_take(struct setup *s, struct view reply, struct err *err)
{
    return wire_schema(reply, &s->plugin_schema, err);
}

static bool config_put(struct setup *s, struct buf *request, struct err *err)
{
    CLEANUP(buf_fini) struct buf msgpack = { 0 };
    CLEANUP(hcl_freep) struct hcl *tree = NULL;
    if (!hcl_parse("plugin config", buf_view(&s->config), &tree, err) ||
        !config_encode(s->plugin_schema, tree, hcl_root(tree), NULL, &msgpack, err))
        return false;
    wire_put_config(request, buf_view(&msgpack));
    return true;
}

static bool task_schema_take(struct setup *s, struct view reply, struct err *err)
{
    return wire_schema(reply, &s->task_schema, err);
}

static bool capabilities_take(struct setup *s, struct view reply, struct err *err)
{
    return wire_capabilities(reply, &s->is_image, err);
}

static const struct step steps[] = {
    { BASE "PluginInfo", "ask who the driver is", false, NULL, info_take },
    { BASE "ConfigSchema", "ask for the plugin's schema", false, NULL, schema_take },
    { BASE "SetConfig", "configure the plugin", false, config_put, NULL },
    { DRIVER "Init", "initialise the driver", true, NULL, NULL },
    { DRIVER "TaskConfigSchema", "ask for the task's schema", false, NULL, task_schema_take },
    { DRIVER "Capabilities", "ask what the driver can", false, NULL, capabilities_take },
};

static void on_reply(void *arg, struct view reply, const struct err *failed)
{
    struct setup *s = arg;
    const struct step *step = &steps[s->step];
    struct err err = { 0 };
    if (failed && !(step->is_optional && failed->kind == ERR_NOT_FOUND)) {
        s->on_done(s->arg, step->doing, failed);
        return;
    }
    if (!failed && step->take && !step->take(s, reply, &err)) {
        s->on_done(s->arg, step->doing, &err);
        return;
    }
    s->step++;
    setup_begin(s);
}

bool setup_configure(struct setup *setup, const char *key, const char *value, struct err *err)
{
    return !value || hcl_put_attr(&setup->config, 0, key, value, err);
}

void setup_begin(struct setup *setup)
{
    CLEANUP(buf_fini) struct buf request = { 0 };
    struct err err = { 0 };
    const struct step *step = &steps[setup->step];
    if (setup->step == COUNT(steps))
        setup->on_done(setup->arg, NULL, NULL);
    else if (step->put && !step->put(setup, &request, &err))
        setup->on_done(setup->arg, step->doing, &err);
    else
        plugin_call(setup->plugin, step->method, buf_view(&request), STEP_MS, on_reply, setup);
}

void setup_fini(struct setup *setup)
{
    buf_fini(&setup->config);
    spec_free(STEAL(setup->plugin_schema));
    spec_free(STEAL(setup->task_schema));
}
