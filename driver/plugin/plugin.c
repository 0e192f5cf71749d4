#include "driver/plugin/plugin.h"

#include "common/base/own.h"
#include "common/log/log.h"
#include "common/loop/loop.h"
#include "driver/host/facts.h"
#include "driver/nomad/config_schema.h"
#include "driver/plugin/answer.h"
#include "driver/plugin/base_calls.h"
#include "driver/plugin/events.h"
#include "driver/plugin/exec_calls.h"
#include "driver/plugin/fingerprint.h"
#include "driver/plugin/inside.h"
#include "driver/plugin/task_calls.h"

#include <assert.h>
#include <malloc.h>

#define TICK_MS 30000 /* Nomad's own drivers fingerprint as often */
/* The agent kills 2 s after it has asked us to end. */
#define STOP_GRACE_MS 1000
/* After so many calls, and with few left, freed memory is given back: the library keeps it. */
#define TRIM_AFTER_CALLS 256
#define TRIM_BELOW_CALLS 64

/* Health texts: static, because the agent makes an event of each change. */
#define TEXT_BROKEN  "The plugin's state_dir or run_dir cannot be used; its log says why"
#define TEXT_WAITING "The plugin has no configuration yet"

#define BASE   "/hashicorp.nomad.plugins.base.proto.BasePlugin/"
#define DRIVER "/hashicorp.nomad.plugins.drivers.proto.Driver/"

static const struct rpc_method methods[] = {
    { BASE "PluginInfo", RPC_UNARY, call_plugin_info },
    { BASE "ConfigSchema", RPC_UNARY, call_config_schema },
    { BASE "SetConfig", RPC_UNARY, call_set_config },
    { DRIVER "Init", RPC_UNARY, call_init },
    { DRIVER "Shutdown", RPC_UNARY, call_prepare_end },
    { DRIVER "TaskConfigSchema", RPC_UNARY, call_task_schema },
    { DRIVER "Capabilities", RPC_UNARY, call_capabilities },
    { DRIVER "Fingerprint", RPC_STREAM, call_fingerprint },
    { DRIVER "TaskEvents", RPC_STREAM, call_task_events },
    { DRIVER "RecoverTask", RPC_UNARY, call_recover },
    { DRIVER "StartTask", RPC_UNARY, call_start },
    { DRIVER "WaitTask", RPC_UNARY, call_wait },
    { DRIVER "StopTask", RPC_UNARY, call_stop },
    { DRIVER "DestroyTask", RPC_UNARY, call_destroy },
    { DRIVER "InspectTask", RPC_UNARY, call_inspect },
    { DRIVER "TaskStats", RPC_STREAM, call_stats },
    { DRIVER "SignalTask", RPC_UNARY, call_signal },
    { DRIVER "ExecTask", RPC_UNARY, call_exec },
    { DRIVER "ExecTaskStreaming", RPC_TALK, call_exec_stream },
    { "/plugin.GRPCController/Shutdown", RPC_UNARY, call_end_process },
    { "/plugin.GRPCStdio/StreamStdio", RPC_STREAM, call_silent },
    { "/plugin.GRPCBroker/StartStream", RPC_DUPLEX, call_silent },
    { "/grpc.health.v1.Health/Check", RPC_UNARY, call_health },
};

static void be_unhealthy(struct plugin *plugin, const char *text, const struct err *err)
{
    if (log_is_due(++plugin->open_failures))
        LOG(LOG_ERROR, "the driver is unhealthy", F(error, err));
    fingerprint_set(plugin->fingerprint, REPLY_UNHEALTHY, text);
}

static void answer_configuring(struct plugin *plugin)
{
    if (plugin->configuring != NULL)
        answer_done(STEAL(plugin->configuring), NULL);
}

static void on_health(void *arg, enum host_health health, const struct err *err);

static void check(struct plugin *plugin)
{
    plugin->open = OPEN_CHECKING;
    plugin->is_reconfigured = false;
    tasks_check(plugin->tasks, on_health, plugin);
}

static void on_health(void *arg, enum host_health health, const struct err *err)
{
    struct plugin *plugin = arg;
    plugin->open = OPEN_DONE;
    if (plugin->is_reconfigured) { /* what was found may be true no more */
        check(plugin);
        return;
    }
    if (health == HOST_GOOD) {
        if (plugin->open_failures > 0)
            LOG(LOG_INFO, "the driver is healthy again");
        plugin->open_failures = 0;
        fingerprint_set(plugin->fingerprint, REPLY_HEALTHY, host_health_text(health));
    } else {
        be_unhealthy(plugin, host_health_text(health), err);
    }
    answer_configuring(plugin);
}

static void on_open(void *arg, const struct err *err)
{
    struct plugin *plugin = arg;
    if (err == NULL) {
        check(plugin);
        return;
    }
    plugin->open = OPEN_NOT;
    be_unhealthy(plugin, TEXT_BROKEN, err);
    answer_configuring(plugin);
}

void plugin_open(struct plugin *plugin)
{
    if (plugin->open == OPEN_DONE && plugin->is_reconfigured)
        check(plugin);
    if (plugin->open != OPEN_NOT)
        return;
    plugin->open = OPEN_RUNNING;
    tasks_open(plugin->tasks, on_open, plugin);
}

bool plugin_is_configured(struct plugin *plugin, struct rpc_call *call)
{
    if (plugin->tasks != NULL)
        return true;
    struct err err;
    err_set(&err, ERR_CONFLICT, "speak to a task: the plugin has no configuration yet");
    status_end(call, &err, STATUS_OTHER);
    return false;
}

static void on_tick(void *arg)
{
    struct plugin *plugin = arg;
    loop_timer_arm(plugin->tick, boot_add_ms(boot_now(), TICK_MS));
    if (plugin->tasks != NULL && plugin->open == OPEN_DONE)
        check(plugin);
    else if (plugin->tasks != NULL)
        plugin_open(plugin);
    fingerprint_refresh(plugin->fingerprint);
    if (plugin->handled >= TRIM_AFTER_CALLS &&
        rpc_server_calls(plugin->server) < TRIM_BELOW_CALLS) {
        plugin->handled = 0;
        (void)malloc_trim(0);
    }
}

struct plugin *plugin_new(const struct plugin_spec *spec)
{
    struct plugin *plugin = mem_new(struct plugin);
    plugin->spec = *spec;
    plugin->events = events_new();
    plugin->fingerprint = fingerprint_new(REPLY_UNDETECTED, TEXT_WAITING);
    plugin->tick = loop_timer_new(spec->loop, on_tick, plugin);
    loop_timer_arm(plugin->tick, boot_add_ms(boot_now(), TICK_MS));
    struct rpc_server_spec served = { methods, COUNT(methods), plugin };
    plugin->server = rpc_server_new(spec->rpc, spec->listener, &served);
    return plugin;
}

static void part_stopped(void *arg)
{
    struct plugin *plugin = arg;
    assert(plugin->stopping > 0);
    if (--plugin->stopping == 0)
        plugin->on_stopped(plugin->stop_arg);
}

static void tasks_closed(void *arg, const struct err *err)
{
    struct plugin *plugin = arg;
    if (err != NULL)
        LOG(LOG_WARN, "tasks were not let go cleanly", F(error, err));
    part_stopped(plugin);
}

void plugin_stop(struct plugin *plugin, void (*on_done)(void *arg), void *arg)
{
    assert(plugin->stopping == 0);
    plugin->on_stopped = on_done;
    plugin->stop_arg = arg;
    plugin->stopping = plugin->tasks != NULL ? 2 : 1;
    loop_timer_freep(&plugin->tick);
    rpc_server_stop(plugin->server, STOP_GRACE_MS, part_stopped, plugin);
    if (plugin->tasks != NULL)
        tasks_close(plugin->tasks, tasks_closed, plugin);
}

void plugin_free(struct plugin *plugin)
{
    if (plugin == NULL)
        return;
    rpc_server_free(plugin->server);
    tasks_free(plugin->tasks);
    events_free(plugin->events);
    fingerprint_free(plugin->fingerprint);
    plugin_config_fini(&plugin->config);
    free(plugin);
}

void plugin_put_page(struct buf *out)
{
    config_put_page(out);
    buf_put_str(out, "\n");
    host_facts_put_doc(out);
}
