#include "driver/dev/wire.h"

#include "common/base/time.h"
#include "driver/hclspec/spec.h"
#include "driver/proto/base.pb-c.h"
#include "driver/proto/driver.pb-c.h"

#include <stdio.h>

#define PARTS       5
#define DRIVER_NAME "agent"

static struct view part_take(struct view *rest)
{
    const uint8_t *bar = rest->len ? memchr(rest->data, '|', rest->len) : NULL;
    const size_t len = bar ? (size_t)(bar - rest->data) : rest->len;
    const struct view part = view_of(rest->data, len);
    *rest = view_of(rest->data + len + (bar ? 1 : 0), rest->len - len - (bar ? 1 : 0));
    return part;
}

bool handshake_decode(struct view line, char *path, struct err *err)
{
    static const struct {
        const char *what, *wanted; /* wanted NULL: the address */
    } parts[PARTS] = { { "core protocol", "1" },
                       { "protocol version", "2" },
                       { "network", "unix" },
                       { "address", NULL },
                       { "transport", "grpc" } };
    while (line.len && (line.data[line.len - 1] == '\r' || line.data[line.len - 1] == ' '))
        line.len--;
    for (size_t i = 0; i < PARTS; i++) {
        const struct view part = part_take(&line);
        if (parts[i].wanted && !view_is_equal(part, view_str(parts[i].wanted)))
            return err_set(err, ERR_INVALID, "read the plugin's handshake: its %s is not \"%s\"",
                           parts[i].what, parts[i].wanted);
        if (parts[i].wanted)
            continue;
        if (part.len == 0 || part.len > HANDSHAKE_PATH_MAX || part.data[0] != '/' ||
            memchr(part.data, 0, part.len))
            return err_set(err, ERR_INVALID,
                           "read the plugin's handshake: its socket path must be absolute and have "
                           "at most %d bytes, not %zu",
                           HANDSHAKE_PATH_MAX, part.len);
        memcpy(path, part.data, part.len);
        path[part.len] = '\0';
    }
    return true;
}

static bool broken(struct err *err, const char *what)
{
    return err_set(err, ERR_INVALID, "the reply %s", what);
}

static bool info_check(const Nd__PluginInfoResponse *info, struct err *err)
{
    bool speaks = false;
    for (size_t i = 0; i < info->n_plugin_api_versions; i++)
        speaks = speaks || strcmp(info->plugin_api_versions[i], "v0.1.0") == 0;
    if (info->type != ND__PLUGIN_TYPE__PLUGIN_DRIVER)
        return broken(err, "says it is not a driver");
    if (!speaks)
        return broken(err, "lacks API version v0.1.0");
    return strcmp(info->name, DRIVER_NAME) == 0 || broken(err, "says it is another driver");
}

bool wire_info(struct view reply, char version[WIRE_TEXT_BYTES], struct err *err)
{
    Nd__PluginInfoResponse *info = nd__plugin_info_response__unpack(NULL, reply.len, reply.data);
    if (!info)
        return broken(err, "is malformed");
    const bool ok = info_check(info, err);
    (void)snprintf(version, WIRE_TEXT_BYTES, "%s", info->plugin_version);
    nd__plugin_info_response__free_unpacked(info, NULL);
    return ok;
}

/* Both replies are the same on the wire. */
bool wire_schema(struct view reply, struct spec **out, struct err *err)
{
    Nd__ConfigSchemaResponse *r = nd__config_schema_response__unpack(NULL, reply.len, reply.data);
    if (!r)
        return broken(err, "is malformed");
    const bool ok = spec_decode(view_of(r->spec.data, r->spec.len), out, err);
    nd__config_schema_response__free_unpacked(r, NULL);
    return ok;
}

bool wire_capabilities(struct view reply, bool *is_image, struct err *err)
{
    Nd__CapabilitiesResponse *r = nd__capabilities_response__unpack(NULL, reply.len, reply.data);
    if (!r)
        return broken(err, "is malformed");
    /* An absent message means container paths, as Nomad reads it. */
    const Nd__DriverCapabilities__FSIsolation kind =
        r->capabilities ? r->capabilities->fs_isolation
                        : ND__DRIVER_CAPABILITIES__FSISOLATION__IMAGE;
    *is_image = kind == ND__DRIVER_CAPABILITIES__FSISOLATION__CHROOT ||
                kind == ND__DRIVER_CAPABILITIES__FSISOLATION__IMAGE;
    nd__capabilities_response__free_unpacked(r, NULL);
    return true;
}

bool wire_started(struct view reply, struct err *err)
{
    Nd__StartTaskResponse *r = nd__start_task_response__unpack(NULL, reply.len, reply.data);
    if (!r)
        return broken(err, "is malformed");
    const bool has_handle = r->handle && r->handle->config.len;
    nd__start_task_response__free_unpacked(r, NULL);
    return has_handle || broken(err, "lacks its handle");
}

bool wire_health(struct view message, struct wire_health *out, struct err *err)
{
    Nd__FingerprintResponse *f = nd__fingerprint_response__unpack(NULL, message.len, message.data);
    if (!f)
        return broken(err, "is malformed");
    out->is_healthy = f->health == ND__FINGERPRINT_RESPONSE__HEALTH_STATE__HEALTHY;
    (void)snprintf(out->description, sizeof out->description, "%s", f->health_description);
    nd__fingerprint_response__free_unpacked(f, NULL);
    return true;
}

bool wire_event(struct view message, char text[WIRE_TEXT_BYTES], struct err *err)
{
    Nd__DriverTaskEvent *e = nd__driver_task_event__unpack(NULL, message.len, message.data);
    if (!e)
        return broken(err, "is malformed");
    (void)snprintf(text, WIRE_TEXT_BYTES, "%s", e->message);
    nd__driver_task_event__free_unpacked(e, NULL);
    return true;
}

bool wire_result(struct view reply, struct wire_result *out, struct err *err)
{
    Nd__WaitTaskResponse *r = nd__wait_task_response__unpack(NULL, reply.len, reply.data);
    if (!r)
        return broken(err, "is malformed");
    const bool has_result = r->result != NULL;
    if (has_result) {
        out->exit_code = r->result->exit_code;
        out->oom_killed = r->result->oom_killed;
    }
    (void)snprintf(out->err, sizeof out->err, "%s", r->err);
    nd__wait_task_response__free_unpacked(r, NULL);
    return has_result || broken(err, "lacks its result");
}

bool wire_is_running(struct view reply)
{
    bool is_running = false;
    Nd__InspectTaskResponse *r = nd__inspect_task_response__unpack(NULL, reply.len, reply.data);
    for (size_t i = 0; r && r->driver && i < r->driver->n_attributes; i++) {
        const Nd__TextEntry *a = r->driver->attributes[i];
        if (view_is_equal(view_of(a->key.data, a->key.len), view_str("phase")))
            is_running = view_is_equal(view_of(a->value.data, a->value.len), view_str("running"));
    }
    if (r)
        nd__inspect_task_response__free_unpacked(r, NULL);
    return is_running;
}

static ProtobufCBinaryData data_of(struct view bytes)
{
    return (ProtobufCBinaryData){ bytes.len, (uint8_t *)(uintptr_t)bytes.data };
}

static void message_put(struct buf *out, const ProtobufCMessage *message)
{
    const size_t len = protobuf_c_message_get_packed_size(message);
    out->len += protobuf_c_message_pack(message, buf_reserve(out, len));
}

void wire_put_config(struct buf *out, struct view msgpack)
{
    Nd__SetConfigRequest set = ND__SET_CONFIG_REQUEST__INIT;
    Nd__NomadConfig nomad = ND__NOMAD_CONFIG__INIT;
    Nd__NomadDriverConfig driver = ND__NOMAD_DRIVER_CONFIG__INIT;
    driver.client_min_port = 14000; /* Nomad's defaults */
    driver.client_max_port = 14512;
    nomad.driver = &driver;
    set.nomad_config = &nomad;
    set.msgpack_config = data_of(msgpack);
    set.plugin_api_version = data_of(view_str("v0.1.0"));
    message_put(out, &set.base);
}

void wire_put_start(struct buf *out, struct view task_config)
{
    Nd__StartTaskRequest start = ND__START_TASK_REQUEST__INIT;
    start.task = data_of(task_config);
    message_put(out, &start.base);
}

void wire_put_id(struct buf *out, const char *task_id)
{
    Nd__WaitTaskRequest wait = ND__WAIT_TASK_REQUEST__INIT;
    wait.task_id = data_of(view_str(task_id));
    message_put(out, &wait.base);
}

void wire_put_destroy(struct buf *out, const char *task_id)
{
    Nd__DestroyTaskRequest destroy = ND__DESTROY_TASK_REQUEST__INIT;
    destroy.task_id = data_of(view_str(task_id));
    destroy.force = true; /* as Nomad does, always */
    message_put(out, &destroy.base);
}

void wire_put_stop(struct buf *out, const char *task_id, int64_t timeout_ms, const char *signal)
{
    Nd__StopTaskRequest stop = ND__STOP_TASK_REQUEST__INIT;
    Nd__Duration timeout = ND__DURATION__INIT;
    timeout.seconds = timeout_ms / MS_PER_S;
    timeout.nanos = (int32_t)(timeout_ms % MS_PER_S * NS_PER_MS);
    stop.task_id = data_of(view_str(task_id));
    stop.timeout = &timeout;
    stop.signal = data_of(view_str(signal));
    message_put(out, &stop.base);
}
