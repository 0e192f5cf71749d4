#include "driver/plugin/task_calls.h"

#include "common/base/own.h"
#include "common/log/log.h"
#include "driver/nomad/config_schema.h"
#include "driver/nomad/driver_state.h"
#include "driver/nomad/task_config.h"
#include "driver/plugin/answer.h"
#include "driver/plugin/events.h"
#include "driver/plugin/fingerprint.h"
#include "driver/plugin/inside.h"
#include "driver/plugin/reply.h"
#include "driver/plugin/request.h"
#include "driver/plugin/stats.h"

/* Decodes, or ends the call with what is wrong. */
static bool begin(struct plugin *plugin, struct rpc_call *call, enum request_kind kind,
                  struct view bytes, struct request *out)
{
    struct err err;
    plugin->handled++;
    if (!plugin_is_configured(plugin, call))
        return false;
    if (request_decode(kind, bytes, out, &err))
        return true;
    status_end(call, &err, STATUS_OTHER);
    return false;
}

void call_init(void *arg, struct rpc_call *call, struct view request)
{
    (void)request;
    struct plugin *plugin = arg;
    if (plugin->tasks != NULL)
        plugin_open(plugin);
    rpc_call_reply(call, (struct view){ 0 });
}

void call_prepare_end(void *arg, struct rpc_call *call, struct view request)
{
    (void)arg;
    (void)request;
    rpc_call_reply(call, (struct view){ 0 });
}

void call_task_schema(void *arg, struct rpc_call *call, struct view request)
{
    (void)arg;
    (void)request;
    CLEANUP(buf_fini) struct buf spec = { 0 };
    CLEANUP(buf_fini) struct buf reply = { 0 };
    config_put_spec(&task_config_table, &spec);
    reply_put_schema(&reply, buf_view(&spec));
    rpc_call_reply(call, buf_view(&reply));
}

void call_capabilities(void *arg, struct rpc_call *call, struct view request)
{
    const struct plugin *plugin = arg;
    (void)request;
    CLEANUP(buf_fini) struct buf reply = { 0 };
    reply_put_capabilities(&reply, plugin_config_has_own_logs(&plugin->config));
    rpc_call_reply(call, buf_view(&reply));
}

void call_fingerprint(void *arg, struct rpc_call *call, struct view request)
{
    (void)request;
    fingerprint_hold(((struct plugin *)arg)->fingerprint, call);
}

void call_task_events(void *arg, struct rpc_call *call, struct view request)
{
    (void)request;
    events_hold(((struct plugin *)arg)->events, call);
}

void call_recover(void *arg, struct rpc_call *call, struct view bytes)
{
    struct plugin *plugin = arg;
    CLEANUP(request_fini) struct request request = { 0 };
    if (!begin(plugin, call, REQUEST_RECOVER, bytes, &request))
        return;
    if (request.version != DRIVER_STATE_VERSION) {
        struct err err;
        err_set(&err, ERR_INVALID, "recover \"%s\": handle version %d, only %d is known",
                request.task_id, request.version, DRIVER_STATE_VERSION);
        status_end(call, &err, STATUS_OTHER);
        return;
    }
    CLEANUP(task_spec_freep) struct task_spec *stored = NULL;
    struct err err;
    if (!task_spec_decode_stored(buf_view(&request.config), &stored, &err))
        LOG(LOG_WARN, "no exec into the task is possible: its stored configuration is not good",
            F(task, request.task_id), F(error, &err));
    tasks_recover(plugin->tasks, request.task_id, buf_view(&request.driver_state), STEAL(stored),
                  answer_done, answer_new(call, STATUS_OTHER));
}

static void on_started(void *arg, const struct task_handle *handle, const struct err *err)
{
    struct answer *answer = arg;
    if (err != NULL) {
        answer_fail(answer, err);
        return;
    }
    CLEANUP(buf_fini) struct buf reply = { 0 };
    reply_put_started(&reply, buf_view(&answer->kept), handle);
    answer_send(answer, buf_view(&reply));
}

void call_start(void *arg, struct rpc_call *call, struct view bytes)
{
    struct plugin *plugin = arg;
    struct err err;
    CLEANUP(request_fini) struct request request = { 0 };
    if (!begin(plugin, call, REQUEST_START, bytes, &request))
        return;
    CLEANUP(task_spec_freep) struct task_spec *spec = NULL;
    if (!task_spec_decode(buf_view(&request.config), &spec, &err)) {
        status_end(call, &err, STATUS_START);
        return;
    }
    struct answer *answer = answer_new(call, STATUS_START);
    answer->kept = buf_take(&request.config);
    tasks_start(plugin->tasks, STEAL(spec), on_started, answer);
}

struct waiter {
    struct rpc_call *call;
    struct task_wait *wait;
};

static void waiter_gone(void *arg)
{
    struct waiter *waiter = arg;
    task_wait_cancel(waiter->wait);
    free(waiter);
}

static void on_result(void *arg, const struct task_result *result, const struct err *err)
{
    CLEANUP(buf_fini) struct buf reply = { 0 };
    struct waiter *waiter = arg;
    if (err != NULL) {
        status_end(waiter->call, err, STATUS_OTHER);
    } else {
        reply_put_result(&reply, result);
        rpc_call_reply(waiter->call, buf_view(&reply));
    }
    free(waiter);
}

void call_wait(void *arg, struct rpc_call *call, struct view bytes)
{
    struct plugin *plugin = arg;
    CLEANUP(request_fini) struct request request = { 0 };
    if (!begin(plugin, call, REQUEST_WAIT, bytes, &request))
        return;
    struct waiter *waiter = mem_new(struct waiter);
    waiter->call = call;
    rpc_call_hold(call, &(struct rpc_hold){ waiter_gone, NULL, waiter });
    waiter->wait = tasks_wait(plugin->tasks, request.task_id, on_result, waiter);
}

void call_stop(void *arg, struct rpc_call *call, struct view bytes)
{
    struct plugin *plugin = arg;
    CLEANUP(request_fini) struct request request = { 0 };
    if (!begin(plugin, call, REQUEST_STOP, bytes, &request))
        return;
    tasks_stop(plugin->tasks, request.task_id, request.signal, request.timeout_ms, answer_done,
               answer_new(call, STATUS_OTHER));
}

void call_destroy(void *arg, struct rpc_call *call, struct view bytes)
{
    struct plugin *plugin = arg;
    CLEANUP(request_fini) struct request request = { 0 };
    if (!begin(plugin, call, REQUEST_DESTROY, bytes, &request))
        return;
    tasks_destroy(plugin->tasks, request.task_id, request.force, answer_done,
                  answer_new(call, STATUS_OTHER));
}

void call_inspect(void *arg, struct rpc_call *call, struct view bytes)
{
    struct plugin *plugin = arg;
    struct err err;
    struct task_status status;
    CLEANUP(request_fini) struct request request = { 0 };
    if (!begin(plugin, call, REQUEST_INSPECT, bytes, &request))
        return;
    if (!tasks_inspect(plugin->tasks, request.task_id, &status, &err)) {
        status_end(call, &err, STATUS_OTHER);
        return;
    }
    CLEANUP(buf_fini) struct buf reply = { 0 };
    reply_put_status(&reply, &status);
    rpc_call_reply(call, buf_view(&reply));
}

void call_signal(void *arg, struct rpc_call *call, struct view bytes)
{
    struct plugin *plugin = arg;
    struct err err;
    CLEANUP(request_fini) struct request request = { 0 };
    if (!begin(plugin, call, REQUEST_SIGNAL, bytes, &request))
        return;
    if (tasks_signal(plugin->tasks, request.task_id, request.signal, &err))
        rpc_call_reply(call, (struct view){ 0 });
    else
        status_end(call, &err, STATUS_OTHER);
}

void call_stats(void *arg, struct rpc_call *call, struct view bytes)
{
    struct plugin *plugin = arg;
    CLEANUP(request_fini) struct request request = { 0 };
    if (!begin(plugin, call, REQUEST_STATS, bytes, &request))
        return;
    int64_t core_mhz = plugin->core_mhz > 0 ? plugin->core_mhz
                                            : fingerprint_core_mhz(plugin->fingerprint);
    stats_begin(&(struct stats_spec){ plugin->spec.loop, plugin->tasks, call, request.task_id,
                                      request.interval_ms, core_mhz });
}
