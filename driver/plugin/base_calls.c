#include "driver/plugin/base_calls.h"

#include "common/base/own.h"
#include "common/log/log.h"
#include "driver/nomad/config_schema.h"
#include "driver/nomad/plugin_config.h"
#include "driver/plugin/answer.h"
#include "driver/plugin/events.h"
#include "driver/plugin/fingerprint.h"
#include "driver/plugin/inside.h"
#include "driver/plugin/reply.h"
#include "driver/plugin/request.h"

void call_plugin_info(void *arg, struct rpc_call *call, struct view request)
{
    (void)arg;
    (void)request;
    CLEANUP(buf_fini) struct buf reply = { 0 };
    reply_put_info(&reply, PLUGIN_NAME, AGENT_VERSION);
    rpc_call_reply(call, buf_view(&reply));
}

void call_config_schema(void *arg, struct rpc_call *call, struct view request)
{
    (void)arg;
    (void)request;
    CLEANUP(buf_fini) struct buf spec = { 0 };
    CLEANUP(buf_fini) struct buf reply = { 0 };
    config_put_spec(&plugin_config_table, &spec);
    reply_put_schema(&reply, buf_view(&spec));
    rpc_call_reply(call, buf_view(&reply));
}

static void on_task_event(void *arg, const struct task_event *event)
{
    events_put(((struct plugin *)arg)->events, event);
}

/* Decodes and checks; unknown keys come from an agent with another version's schema. */
static bool config_check(const struct config_request *request, struct plugin_config *config,
                         enum log_level *level, struct err *err)
{
    CLEANUP(str_list_fini) struct str_list unknown = { 0 };
    if (!plugin_config_decode(buf_view(&request->msgpack), config, &unknown, err))
        return false;
    for (size_t i = 0; i < unknown.count; i++)
        LOG(LOG_WARN, "plugin configuration has an unknown key", F(key, unknown.items[i]));
    if (log_level_parse(config->log_level, level, err))
        return true;
    plugin_config_fini(config);
    return err_wrap(err, "plugin config: log_level");
}

static void configure(struct plugin *plugin, const struct config_request *request,
                      const struct plugin_config *config)
{
    plugin_config_fini(&plugin->config);
    plugin_config_copy(config, &plugin->config);
    plugin->core_mhz = request->core_mhz;
    fingerprint_tell_logs(plugin->fingerprint,
                          plugin_config_has_own_logs(config) ? "shim" : "nomad");
    plugin->is_reconfigured = plugin->tasks != NULL;
    if (plugin->tasks == NULL)
        plugin->tasks = tasks_new(plugin->spec.loop, config, on_task_event, plugin);
    else
        tasks_reconfigure(plugin->tasks, config);
}

void call_set_config(void *arg, struct rpc_call *call, struct view bytes)
{
    struct plugin *plugin = arg;
    struct err err;
    CLEANUP(config_request_fini) struct config_request request = { 0 };
    CLEANUP(plugin_config_fini) struct plugin_config config = { 0 };
    enum log_level level;
    if (!config_request_decode(bytes, &request, &err) ||
        !config_check(&request, &config, &level, &err)) {
        status_end(call, &err, STATUS_OTHER);
        return;
    }
    if (!request.is_final) { /* the agent only asks whether it is good */
        rpc_call_reply(call, (struct view){ 0 });
        return;
    }
    if (plugin->tasks != NULL && !plugin_config_check_change(&plugin->config, &config, &err)) {
        status_end(call, &err, STATUS_OTHER);
        return;
    }
    log_set_level(level);
    configure(plugin, &request, &config);
    if (plugin->configuring != NULL) {
        rpc_call_reply(call, (struct view){ 0 });
        return;
    }
    plugin->configuring = answer_new(call, STATUS_OTHER);
    plugin_open(plugin);
}

void call_end_process(void *arg, struct rpc_call *call, struct view request)
{
    (void)request;
    struct plugin *plugin = arg;
    rpc_call_reply(call, (struct view){ 0 });
    if (plugin->is_asked_to_end)
        return;
    plugin->is_asked_to_end = true;
    LOG(LOG_INFO, "the agent ends the plugin; tasks keep running");
    plugin->spec.on_shutdown(plugin->spec.arg);
}

void call_health(void *arg, struct rpc_call *call, struct view request)
{
    (void)arg;
    struct err err;
    if (!health_request_decode(request, &err)) {
        status_end(call, &err, STATUS_OTHER);
        return;
    }
    CLEANUP(buf_fini) struct buf reply = { 0 };
    reply_put_serving(&reply);
    rpc_call_reply(call, buf_view(&reply));
}

static void nothing_held(void *arg) { (void)arg; }

void call_silent(void *arg, struct rpc_call *call, struct view request)
{
    (void)request;
    rpc_call_hold(call, &(struct rpc_hold){ nothing_held, NULL, arg });
}
