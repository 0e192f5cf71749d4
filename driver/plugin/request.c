#include "driver/plugin/request.h"

#include "common/base/own.h"
#include "common/base/text.h"
#include "common/base/time.h"
#include "driver/proto/base.pb-c.h"
#include "driver/proto/driver.pb-c.h"
#include "driver/proto/plugin.pb-c.h"
#include "driver/proto/task.pb-c.h"

#include <assert.h>
#include <stdlib.h>

#define API_VERSION "v0.1.0"

static bool text_decode(const char *field, ProtobufCBinaryData from, char *out, size_t out_bytes,
                        struct err *err)
{
    struct view text = view_of(from.data, from.len);
    if (text.len >= out_bytes)
        return err_set(err, ERR_INVALID, "%s: has %zu bytes, at most %zu are allowed", field,
                       text.len, out_bytes - 1);
    if (!utf8_is_valid(text))
        return err_set(err, ERR_INVALID, "%s: is not UTF-8 text, or has a NUL", field);
    if (text.len > 0)
        memcpy(out, text.data, text.len);
    out[text.len] = '\0';
    return true;
}

static bool id_decode(ProtobufCBinaryData from, char out[TASK_ID_MAX + 1], struct err *err)
{
    if (from.len == 0)
        return err_set(err, ERR_INVALID, "task_id: is missing");
    return text_decode("task_id", from, out, TASK_ID_MAX + 1, err);
}

static int64_t duration_ms(const Nd__Duration *from, int64_t otherwise)
{
    if (from == NULL)
        return otherwise;
    if (from->seconds < 0 || (from->seconds == 0 && from->nanos <= 0))
        return 0;
    if (from->seconds >= REQUEST_DURATION_MAX_MS / MS_PER_S)
        return REQUEST_DURATION_MAX_MS;
    return from->seconds * MS_PER_S + from->nanos / NS_PER_MS;
}

/* Moves the bytes: the message's own copy becomes ours. */
static struct buf bytes_take(ProtobufCBinaryData *from)
{
    struct buf got = { from->data, from->len, from->len };
    *from = (ProtobufCBinaryData){ 0, NULL };
    return got;
}

static void message_freep(ProtobufCMessage **message)
{
    if (*message != NULL)
        protobuf_c_message_free_unpacked(*message, NULL);
    *message = NULL;
}

/* The caller frees with message_freep. The library says no more than that it is wrong. */
static bool unpack(const ProtobufCMessageDescriptor *type, struct view bytes,
                   ProtobufCMessage **out, struct err *err)
{
    *out = protobuf_c_message_unpack(type, NULL, bytes.len, bytes.data);
    return *out != NULL || err_set(err, ERR_INVALID, "decode %s: not a valid message", type->name);
}

/* The agent leaves task_id empty: the id is in the handle's copy of the task's configuration. */
static bool recover_fill(void *message, struct request *out, struct err *err)
{
    Nd__RecoverTaskRequest *m = message;
    CLEANUP(message_freep) ProtobufCMessage *config = NULL;
    if (m->handle == NULL)
        return err_set(err, ERR_INVALID, "handle: is missing");
    struct view bytes = view_of(m->handle->config.data, m->handle->config.len);
    if (!unpack(&nd__task_config__descriptor, bytes, &config, err) ||
        !id_decode(((Nd__TaskConfig *)config)->id, out->task_id, err))
        return err_wrap(err, "handle.config");
    out->version = m->handle->version;
    out->driver_state = bytes_take(&m->handle->driver_state);
    out->config = bytes_take(&m->handle->config);
    return true;
}

static bool start_fill(void *message, struct request *out, struct err *err)
{
    Nd__StartTaskRequest *m = message;
    if (m->task.len == 0)
        return err_set(err, ERR_INVALID, "task: is missing");
    out->config = bytes_take(&m->task);
    return true;
}

static bool wait_fill(void *message, struct request *out, struct err *err)
{
    return id_decode(((Nd__WaitTaskRequest *)message)->task_id, out->task_id, err);
}

static bool stop_fill(void *message, struct request *out, struct err *err)
{
    Nd__StopTaskRequest *m = message;
    struct err ignored;
    out->timeout_ms = duration_ms(m->timeout, REQUEST_STOP_DEFAULT_MS);
    /* A stop that is refused is tried for 345 s: no name is so bad that it stops nothing. */
    if (!text_decode("signal", m->signal, out->signal, sizeof(out->signal), &ignored))
        memcpy(out->signal, REQUEST_SIGNAL_BAD, sizeof(REQUEST_SIGNAL_BAD));
    return id_decode(m->task_id, out->task_id, err);
}

static bool destroy_fill(void *message, struct request *out, struct err *err)
{
    Nd__DestroyTaskRequest *m = message;
    out->force = m->force;
    return id_decode(m->task_id, out->task_id, err);
}

static bool inspect_fill(void *message, struct request *out, struct err *err)
{
    return id_decode(((Nd__InspectTaskRequest *)message)->task_id, out->task_id, err);
}

static bool stats_fill(void *message, struct request *out, struct err *err)
{
    Nd__TaskStatsRequest *m = message;
    out->interval_ms = duration_ms(m->collection_interval, 0);
    return id_decode(m->task_id, out->task_id, err);
}

static bool signal_fill(void *message, struct request *out, struct err *err)
{
    Nd__SignalTaskRequest *m = message;
    return id_decode(m->task_id, out->task_id, err) &&
           text_decode("signal", m->signal, out->signal, sizeof(out->signal), err);
}

static void words_fini(struct words *words)
{
    for (size_t i = 0; i < words->count; i++)
        free(words->list[i]);
    free(words->list);
    *words = (struct words){ 0 };
}

/* Arguments are bytes to the kernel: only a NUL cannot be in them. */
static bool words_decode(size_t count, const ProtobufCBinaryData *from, struct words *out,
                         struct err *err)
{
    size_t bytes = 0;
    if (count == 0 || from[0].len == 0)
        return err_set(err, ERR_INVALID, "command: is missing");
    if (count > REQUEST_WORDS_MAX)
        return err_set(err, ERR_INVALID, "command: has %zu words, at most %d are allowed", count,
                       REQUEST_WORDS_MAX);
    out->list = mem_array(count + 1, sizeof(char *));
    for (size_t i = 0; i < count; i++) {
        bytes += from[i].len;
        if (bytes > REQUEST_WORD_BYTES_MAX)
            return err_set(err, ERR_INVALID, "command: has more than %zu bytes",
                           REQUEST_WORD_BYTES_MAX);
        if (from[i].len > 0 && memchr(from[i].data, '\0', from[i].len) != NULL)
            return err_set(err, ERR_INVALID, "command: a word has a NUL");
        out->list[out->count++] = str_copy_n(from[i].len > 0 ? (const char *)from[i].data : "",
                                             from[i].len);
    }
    return true;
}

static bool exec_fill(void *message, struct request *out, struct err *err)
{
    Nd__ExecTaskRequest *m = message;
    out->timeout_ms = duration_ms(m->timeout, 0);
    return id_decode(m->task_id, out->task_id, err) &&
           words_decode(m->n_command, m->command, &out->command, err);
}

static const struct {
    const ProtobufCMessageDescriptor *type;
    bool (*fill)(void *message, struct request *out, struct err *err);
} rows[] = {
    [REQUEST_RECOVER] = { &nd__recover_task_request__descriptor, recover_fill },
    [REQUEST_START] = { &nd__start_task_request__descriptor, start_fill },
    [REQUEST_WAIT] = { &nd__wait_task_request__descriptor, wait_fill },
    [REQUEST_STOP] = { &nd__stop_task_request__descriptor, stop_fill },
    [REQUEST_DESTROY] = { &nd__destroy_task_request__descriptor, destroy_fill },
    [REQUEST_INSPECT] = { &nd__inspect_task_request__descriptor, inspect_fill },
    [REQUEST_STATS] = { &nd__task_stats_request__descriptor, stats_fill },
    [REQUEST_SIGNAL] = { &nd__signal_task_request__descriptor, signal_fill },
    [REQUEST_EXEC] = { &nd__exec_task_request__descriptor, exec_fill },
};
_Static_assert(COUNT(rows) == REQUEST_KIND_COUNT, "a row for each kind");

bool request_decode(enum request_kind kind, struct view bytes, struct request *out, struct err *err)
{
    assert(kind < REQUEST_KIND_COUNT);
    *out = (struct request){ 0 };
    CLEANUP(message_freep) ProtobufCMessage *message = NULL;
    if (unpack(rows[kind].type, bytes, &message, err) && rows[kind].fill(message, out, err))
        return true;
    request_fini(out);
    return false;
}

void request_fini(struct request *request)
{
    buf_fini(&request->driver_state);
    buf_fini(&request->config);
    words_fini(&request->command);
}

static uint16_t cells(int32_t count)
{
    return count < 0 ? 0 : count > UINT16_MAX ? UINT16_MAX : (uint16_t)count;
}

static bool input_fill(Nd__ExecTaskStreamingRequest *m, struct exec_input_request *out,
                       struct err *err)
{
    if (m->tty_size != NULL) {
        out->has_size = true;
        out->rows = cells(m->tty_size->height);
        out->columns = cells(m->tty_size->width);
    }
    if (m->stdin != NULL) {
        out->input = bytes_take(&m->stdin->data);
        out->ends_input = m->stdin->close;
    }
    if (m->setup == NULL)
        return true;
    out->has_setup = true;
    out->is_tty = m->setup->tty;
    return id_decode(m->setup->task_id, out->task_id, err) &&
           words_decode(m->setup->n_command, m->setup->command, &out->command, err);
}

bool exec_input_decode(struct view bytes, struct exec_input_request *out, struct err *err)
{
    *out = (struct exec_input_request){ 0 };
    CLEANUP(message_freep) ProtobufCMessage *message = NULL;
    if (unpack(&nd__exec_task_streaming_request__descriptor, bytes, &message, err) &&
        input_fill((Nd__ExecTaskStreamingRequest *)message, out, err))
        return true;
    exec_input_fini(out);
    return false;
}

void exec_input_fini(struct exec_input_request *request)
{
    words_fini(&request->command);
    buf_fini(&request->input);
}

static int64_t core_mhz(const Nd__ClientTopology *topology)
{
    uint64_t sum = 0, count = 0;
    for (size_t i = 0; topology != NULL && i < topology->n_cores; i++) {
        const Nd__ClientTopologyCore *core = topology->cores[i];
        uint64_t mhz = core->base_speed > 0  ? core->base_speed
                       : core->max_speed > 0 ? core->max_speed
                                             : core->guess_speed;
        if (core->disable || mhz == 0 || mhz > 1000000)
            continue;
        sum += mhz;
        count++;
    }
    return count > 0 ? (int64_t)(sum / count) : 0;
}

bool config_request_decode(struct view bytes, struct config_request *out, struct err *err)
{
    *out = (struct config_request){ 0 };
    CLEANUP(message_freep) ProtobufCMessage *message = NULL;
    if (!unpack(&nd__set_config_request__descriptor, bytes, &message, err))
        return false;
    Nd__SetConfigRequest *m = (Nd__SetConfigRequest *)message;
    struct view version = view_of(m->plugin_api_version.data, m->plugin_api_version.len);
    if (version.len > 0 && !view_is_equal(version, view_str(API_VERSION)))
        return err_set(err, ERR_INVALID, "plugin_api_version: only " API_VERSION " is spoken here");
    out->msgpack = bytes_take(&m->msgpack_config);
    out->is_final = m->nomad_config != NULL;
    if (m->nomad_config != NULL && m->nomad_config->driver != NULL)
        out->core_mhz = core_mhz(m->nomad_config->driver->topology);
    return true;
}

void config_request_fini(struct config_request *request) { buf_fini(&request->msgpack); }

bool health_request_decode(struct view bytes, struct err *err)
{
    CLEANUP(message_freep) ProtobufCMessage *message = NULL;
    if (!unpack(&nd__health_check_request__descriptor, bytes, &message, err))
        return false;
    Nd__HealthCheckRequest *m = (Nd__HealthCheckRequest *)message;
    struct view service = view_of(m->service.data, m->service.len);
    if (service.len == 0 || view_is_equal(service, view_str("plugin")))
        return true;
    return err_set(err, ERR_NOT_FOUND, "check health: unknown service");
}
