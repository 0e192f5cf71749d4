#include "driver/dev/setup.h"

#include "driver/dev/fake_test.h"
#include "driver/dev/plugin.h"
#include "driver/hclspec/spec.h"

#define INFO                         \
    "\x08\x02\x12\x06v0.1.0\x1a\x03" \
    "9.9\x22\x05"                    \
    "agent"
#define SCHEMA "\x0a\x1e\x0a\x1c\x0a\x1a\x0a\x05store\x12\x11\x1a\x0f\x0a\x05store\x12\x06string"

static void answer(void *arg, struct rpc_call *call, const char *name, const char *reply,
                   size_t len)
{
    fake_note(arg, name);
    rpc_call_reply(call, view_of(reply, len));
}
#define ANSWER(name, reply)                                                      \
    static void on_##name(void *arg, struct rpc_call *call, struct view request) \
    {                                                                            \
        (void)request;                                                           \
        answer(arg, call, #name, reply, sizeof(reply) - 1);                      \
    }
ANSWER(PluginInfo, INFO)
ANSWER(ConfigSchema, SCHEMA)
ANSWER(TaskConfigSchema, SCHEMA)
ANSWER(Capabilities, "\x0a\x02\x18\x02")
ANSWER(Empty, "")

static void on_SetConfig(void *arg, struct rpc_call *call, struct view request)
{
    /* msgpack {"store": "x"}, the ports, the version */
    static const char wanted[] = "\x0a\x09\x81\xa5store\xa1x";
    cr_assert_geq(request.len, sizeof wanted - 1);
    cr_assert_eq(memcmp(request.data, wanted, sizeof wanted - 1), 0);
    answer(arg, call, "SetConfig", "", 0);
}

static void on_refuse(void *arg, struct rpc_call *call, struct view request)
{
    (void)arg;
    (void)request;
    rpc_call_end(call, &(struct rpc_status){ RPC_INVALID_ARGUMENT, "no such thing", { 0 } });
}

struct story {
    struct fake *fake;
    struct plugin *plugin;
    struct setup setup;
    char failed[400];
};

static void on_done(void *arg, const char *doing, const struct err *err)
{
    struct story *s = arg;
    (void)snprintf(s->failed, sizeof s->failed, "%s%s%s", err ? doing : "done", err ? ": " : "",
                   err ? err->msg : "");
    plugin_shutdown(s->plugin);
}

static void on_ready(void *arg, const struct err *err)
{
    struct story *s = arg;
    cr_assert_null(err);
    s->setup.plugin = s->plugin;
    setup_begin(&s->setup);
}

static void on_gone(void *arg, const char *how)
{
    (void)how;
    fake_quit(((struct story *)arg)->fake);
}

/* A setup against these methods; `key` is what is configured. */
static void set_up(struct story *s, const struct rpc_method *methods, size_t count, const char *key)
{
    struct err err = { 0 };
    *s = (struct story){ .fake = fake_new(), .setup = { .on_done = on_done } };
    s->setup.arg = s;
    fake_serve(s->fake, methods, count);
    cr_assert(setup_configure(&s->setup, key, "x", &err));
    cr_assert(setup_configure(&s->setup, "left_out", NULL, &err));
    const struct plugin_spec spec = { .loop = s->fake->loop,
                                      .rpc = s->fake->rpc,
                                      .path = s->fake->script,
                                      .log_path = s->fake->log,
                                      .tmp_dir = s->fake->dir,
                                      .cgroup_fd = -1,
                                      .on_ready = on_ready,
                                      .on_gone = on_gone,
                                      .arg = s };
    cr_assert(plugin_start(&spec, &s->plugin, &err), "%s", err.msg);
    loop_run(s->fake->loop);
}

static void tear_down(struct story *s)
{
    setup_fini(&s->setup);
    setup_fini(&s->setup);
    plugin_free(s->plugin);
    fake_free(s->fake);
}

#define SHUTDOWN                                                       \
    {                                                                  \
        "/plugin.GRPCController/Shutdown", RPC_UNARY, fake_on_shutdown \
    }

Test(setup, the_calls_come_in_nomads_order_and_an_old_driver_needs_no_init)
{
    static const struct rpc_method methods[] = {
        { FAKE_BASE "PluginInfo", RPC_UNARY, on_PluginInfo },
        { FAKE_BASE "ConfigSchema", RPC_UNARY, on_ConfigSchema },
        { FAKE_BASE "SetConfig", RPC_UNARY, on_SetConfig },
        { FAKE_DRIVER "TaskConfigSchema", RPC_UNARY, on_TaskConfigSchema },
        { FAKE_DRIVER "Capabilities", RPC_UNARY, on_Capabilities },
        SHUTDOWN,
    };
    struct story s;
    set_up(&s, methods, COUNT(methods), "store");
    cr_assert_str_eq(s.failed, "done");
    cr_assert_str_eq(buf_borrow_str(&s.fake->calls),
                     "PluginInfo ConfigSchema SetConfig TaskConfigSchema Capabilities");
    cr_assert_str_eq(s.setup.version, "9.9");
    cr_assert(s.setup.is_image);
    cr_assert_str_eq(s.setup.task_schema->children[0]->name, "store");
    tear_down(&s);
}

Test(setup, the_first_failure_ends_it_and_says_what_was_being_done)
{
    static const struct rpc_method methods[] = {
        { FAKE_BASE "PluginInfo", RPC_UNARY, on_PluginInfo },
        { FAKE_BASE "ConfigSchema", RPC_UNARY, on_ConfigSchema },
        { FAKE_BASE "SetConfig", RPC_UNARY, on_refuse },
        SHUTDOWN,
    };
    struct story s;
    set_up(&s, methods, COUNT(methods), "store");
    cr_assert_str_eq(s.failed, "configure the plugin: no such thing (INVALID_ARGUMENT)");
    tear_down(&s);
}

Test(setup, a_key_the_plugin_does_not_have_is_not_sent)
{
    static const struct rpc_method methods[] = {
        { FAKE_BASE "PluginInfo", RPC_UNARY, on_PluginInfo },
        { FAKE_BASE "ConfigSchema", RPC_UNARY, on_ConfigSchema },
        SHUTDOWN,
    };
    struct story s;
    set_up(&s, methods, COUNT(methods), "stores");
    cr_assert_str_eq(s.failed,
                     "configure the plugin: plugin config:1:1: unknown key \"stores\"; did "
                     "you mean \"store\"?");
    tear_down(&s);
}

Test(setup, an_empty_reply_of_who_it_is_is_refused)
{
    static const struct rpc_method methods[] = {
        { FAKE_BASE "PluginInfo", RPC_UNARY, on_Empty },
        SHUTDOWN,
    };
    struct story s;
    set_up(&s, methods, COUNT(methods), "store");
    cr_assert_str_eq(s.failed, "ask who the driver is: the reply says it is not a driver");
    tear_down(&s);
}
