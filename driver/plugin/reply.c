#include "driver/plugin/reply.h"

#include "common/base/own.h"
#include "common/base/text.h"
#include "driver/nomad/driver_state.h"
#include "driver/proto/base.pb-c.h"
#include "driver/proto/driver.pb-c.h"
#include "driver/proto/plugin.pb-c.h"

#include <assert.h>
#include <stdio.h>
#include <unistd.h>

#define NS_PER_S INT64_C(1000000000)
/* The agent's way to say "never": year 1 in its own calendar. */
#define NEVER_S INT64_C(-62135596800)

static void pack(struct buf *out, const void *message)
{
    size_t len = protobuf_c_message_get_packed_size(message);
    size_t wrote = protobuf_c_message_pack(message, buf_reserve(out, len));
    assert(wrote == len);
    out->len += len;
}

/* A clean copy of `text`; the caller frees it. */
static char *clean(const char *text)
{
    CLEANUP(buf_fini) struct buf made = { 0 };
    utf8_put_clean(&made, view_str(text));
    return str_copy_n(made.len > 0 ? (const char *)made.data : "", made.len);
}

static ProtobufCBinaryData data_of(struct view bytes)
{
    union { /* packing only reads */
        const uint8_t *from;
        uint8_t *to;
    } cast = { .from = bytes.data };
    return (ProtobufCBinaryData){ bytes.len, cast.to };
}

static Nd__Timestamp timestamp_of(struct wall at)
{
    Nd__Timestamp made = ND__TIMESTAMP__INIT;
    int64_t nanos = at.ns % NS_PER_S;
    made.seconds = at.ns / NS_PER_S - (nanos < 0);
    made.nanos = (int32_t)(nanos < 0 ? nanos + NS_PER_S : nanos);
    return made;
}

void reply_put_info(struct buf *out, const char *name, const char *version)
{
    CLEANUP(str_freep) char *clean_name = clean(name);
    CLEANUP(str_freep) char *clean_version = clean(version);
    char api[] = "v0.1.0";
    char *apis[] = { api };
    Nd__PluginInfoResponse message = ND__PLUGIN_INFO_RESPONSE__INIT;
    message.type = ND__PLUGIN_TYPE__PLUGIN_DRIVER;
    message.plugin_api_versions = apis;
    message.n_plugin_api_versions = COUNT(apis);
    message.name = clean_name;
    message.plugin_version = clean_version;
    pack(out, &message);
}

void reply_put_schema(struct buf *out, struct view spec)
{
    Nd__ConfigSchemaResponse message =
        ND__CONFIG_SCHEMA_RESPONSE__INIT; /* the same bytes in both */
    message.spec = data_of(spec);
    pack(out, &message);
}

void reply_put_capabilities(struct buf *out, bool has_own_logs)
{
    /* Without root no namespace can be joined and nothing mounted. */
    const bool is_root = geteuid() == 0;
    Nd__NetworkIsolationMode modes[] = { ND__NETWORK_ISOLATION_MODE__NETWORK_HOST,
                                         ND__NETWORK_ISOLATION_MODE__NETWORK_GROUP };
    Nd__DriverCapabilities has = ND__DRIVER_CAPABILITIES__INIT;
    has.send_signals = true;
    has.exec = true;
    has.fs_isolation = ND__DRIVER_CAPABILITIES__FSISOLATION__NONE;
    has.network_isolation_modes = modes;
    has.disable_log_collection = has_own_logs;
    has.n_network_isolation_modes = is_root ? COUNT(modes) : 1;
    has.mount_configs = is_root ? ND__DRIVER_CAPABILITIES__MOUNT_CONFIGS__ANY_MOUNTS
                                : ND__DRIVER_CAPABILITIES__MOUNT_CONFIGS__NO_MOUNTS;
    has.dynamic_workload_users = is_root; /* names such as nomad-80000: resolve.h */
    Nd__CapabilitiesResponse message = ND__CAPABILITIES_RESPONSE__INIT;
    message.capabilities = &has;
    pack(out, &message);
}

void reply_put_serving(struct buf *out)
{
    Nd__HealthCheckResponse message = ND__HEALTH_CHECK_RESPONSE__INIT;
    message.status = ND__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING;
    pack(out, &message);
}

static_assert(REPLY_UNDETECTED == (int)ND__FINGERPRINT_RESPONSE__HEALTH_STATE__UNDETECTED &&
                  REPLY_UNHEALTHY == (int)ND__FINGERPRINT_RESPONSE__HEALTH_STATE__UNHEALTHY &&
                  REPLY_HEALTHY == (int)ND__FINGERPRINT_RESPONSE__HEALTH_STATE__HEALTHY,
              "ours are the wire's");

void reply_put_fingerprint(struct buf *out, const struct host_facts *facts,
                           enum reply_health health, const char *description)
{
    char *keys[HOST_ATTR_COUNT], *values[HOST_ATTR_COUNT];
    Nd__Attribute attributes[HOST_ATTR_COUNT];
    Nd__AttributeEntry entries[HOST_ATTR_COUNT], *list[HOST_ATTR_COUNT];
    for (size_t i = 0; i < HOST_ATTR_COUNT; i++) {
        keys[i] = clean(facts->attrs[i].key);
        values[i] = clean(facts->attrs[i].value);
        nd__attribute__init(&attributes[i]);
        attributes[i].value_case = ND__ATTRIBUTE__VALUE_STRING_VAL;
        attributes[i].string_val = values[i];
        nd__attribute_entry__init(&entries[i]);
        entries[i].key = keys[i];
        entries[i].value = &attributes[i];
        list[i] = &entries[i];
    }
    CLEANUP(str_freep) char *clean_description = clean(description);
    Nd__FingerprintResponse message = ND__FINGERPRINT_RESPONSE__INIT;
    message.attributes = list;
    message.n_attributes = HOST_ATTR_COUNT;
    message.health = (Nd__FingerprintResponse__HealthState)health;
    message.health_description = clean_description;
    pack(out, &message);
    for (size_t i = 0; i < HOST_ATTR_COUNT; i++) {
        str_freep(&keys[i]);
        str_freep(&values[i]);
    }
}

void reply_put_started(struct buf *out, struct view config, const struct task_handle *handle)
{
    Nd__TaskHandle wire = ND__TASK_HANDLE__INIT;
    wire.version = DRIVER_STATE_VERSION;
    wire.config = data_of(config);
    wire.state = ND__TASK_STATE__TASK_RUNNING;
    wire.driver_state = data_of(handle->driver_state);
    Nd__StartTaskResponse message = ND__START_TASK_RESPONSE__INIT;
    message.handle = &wire;
    pack(out, &message);
}

static Nd__ExitResult exit_result_of(const struct task_result *result)
{
    Nd__ExitResult made = ND__EXIT_RESULT__INIT;
    made.exit_code = result->exit_code;
    made.signal = result->signal;
    made.oom_killed = result->oom_killed;
    return made;
}

void reply_put_result(struct buf *out, const struct task_result *result)
{
    CLEANUP(str_freep) char *text = clean(result->err);
    Nd__ExitResult wire = exit_result_of(result);
    Nd__WaitTaskResponse message = ND__WAIT_TASK_RESPONSE__INIT;
    message.result = &wire;
    message.err = text;
    pack(out, &message);
}

void reply_put_status(struct buf *out, const struct task_status *status)
{
    CLEANUP(str_freep) char *id = clean(status->id);
    CLEANUP(str_freep) char *name = clean(status->name);
    Nd__Timestamp started = timestamp_of(status->started);
    Nd__Timestamp completed = timestamp_of(status->completed);
    if (status->running)
        completed.seconds = NEVER_S, completed.nanos = 0;
    Nd__ExitResult result = exit_result_of(&status->result);
    Nd__TaskStatus task = ND__TASK_STATUS__INIT;
    task.id = id;
    task.name = name;
    task.state = status->running ? ND__TASK_STATE__TASK_RUNNING : ND__TASK_STATE__TASK_EXITED;
    task.started_at = &started;
    task.completed_at = &completed;
    task.result = &result;
    char phase_key[] = "phase";
    Nd__TextEntry phase = ND__TEXT_ENTRY__INIT, *attributes[] = { &phase };
    phase.key = data_of(view_str(phase_key));
    phase.value = data_of(view_str(status->phase));
    Nd__TaskDriverStatus driver = ND__TASK_DRIVER_STATUS__INIT;
    driver.attributes = attributes;
    driver.n_attributes = COUNT(attributes);
    Nd__InspectTaskResponse message = ND__INSPECT_TASK_RESPONSE__INIT;
    message.task = &task;
    message.driver = &driver;
    pack(out, &message);
}

static uint64_t counter(int64_t value) { return value > 0 ? (uint64_t)value : 0; }

/* A part's message and what it points to. */
struct usage_wire {
    Nd__CPUUsage cpu;
    Nd__MemoryUsage memory;
    Nd__TaskResourceUsage both;
    Nd__CPUUsage__Fields cpu_fields[6];
    Nd__MemoryUsage__Fields memory_fields[7];
    char key[16];
    Nd__UsageEntry entry;
};

static void put_cpu(struct usage_wire *wire, const struct usage *usage, int64_t core_mhz)
{
    Nd__CPUUsage *cpu = &wire->cpu;
    size_t count = 0;
    nd__cpuusage__init(cpu);
    cpu->percent = usage->percent;
    cpu->user_mode = usage->user_percent;
    cpu->system_mode = usage->system_percent;
    cpu->total_ticks = usage->percent / 100 * (double)core_mhz;
    cpu->throttled_periods = counter(usage->raw.throttled_periods);
    cpu->throttled_time = counter(usage->raw.throttled_ns);
    wire->cpu_fields[count++] = ND__CPUUSAGE__FIELDS__SYSTEM_MODE;
    wire->cpu_fields[count++] = ND__CPUUSAGE__FIELDS__USER_MODE;
    wire->cpu_fields[count++] = ND__CPUUSAGE__FIELDS__PERCENT;
    if (core_mhz > 0)
        wire->cpu_fields[count++] = ND__CPUUSAGE__FIELDS__TOTAL_TICKS;
    if (usage->raw.has_throttling) {
        wire->cpu_fields[count++] = ND__CPUUSAGE__FIELDS__THROTTLED_PERIODS;
        wire->cpu_fields[count++] = ND__CPUUSAGE__FIELDS__THROTTLED_TIME;
    }
    cpu->measured_fields = wire->cpu_fields;
    cpu->n_measured_fields = count;
}

static void put_memory(struct usage_wire *wire, const struct usage_raw *raw)
{
    Nd__MemoryUsage *memory = &wire->memory;
    nd__memory_usage__init(memory);
    const struct {
        bool is_measured;
        Nd__MemoryUsage__Fields field;
        uint64_t *to;
        int64_t value;
    } rows[] = {
        { true, ND__MEMORY_USAGE__FIELDS__RSS, &memory->rss, raw->rss_bytes },
        { raw->has_cgroup_memory, ND__MEMORY_USAGE__FIELDS__SWAP, &memory->swap, raw->swap_bytes },
        { raw->has_cgroup_memory, ND__MEMORY_USAGE__FIELDS__CACHE, &memory->cache,
          raw->cache_bytes },
        { raw->has_cgroup_memory, ND__MEMORY_USAGE__FIELDS__USAGE, &memory->usage,
          raw->usage_bytes },
        { raw->has_max, ND__MEMORY_USAGE__FIELDS__MAX_USAGE, &memory->max_usage, raw->max_bytes },
        { raw->has_kernel, ND__MEMORY_USAGE__FIELDS__KERNEL_USAGE, &memory->kernel_usage,
          raw->kernel_bytes },
        { raw->has_kernel_max, ND__MEMORY_USAGE__FIELDS__KERNEL_MAX_USAGE,
          &memory->kernel_max_usage, raw->kernel_max_bytes },
    };
    memory->measured_fields = wire->memory_fields;
    for (size_t i = 0; i < COUNT(rows); i++)
        if (rows[i].is_measured) {
            *rows[i].to = counter(rows[i].value);
            wire->memory_fields[memory->n_measured_fields++] = rows[i].field;
        }
}

static void put_usage(struct usage_wire *wire, const struct usage *usage, pid_t pid,
                      int64_t core_mhz)
{
    put_cpu(wire, usage, core_mhz);
    put_memory(wire, &usage->raw);
    nd__task_resource_usage__init(&wire->both);
    wire->both.cpu = &wire->cpu;
    wire->both.memory = &wire->memory;
    nd__usage_entry__init(&wire->entry);
    (void)snprintf(wire->key, sizeof(wire->key), "%d", (int)pid);
    wire->entry.key = data_of(view_str(wire->key));
    wire->entry.value = &wire->both;
}

void reply_put_usage(struct buf *out, const char *task_id, const struct task_usage *usage,
                     struct wall at, int64_t core_mhz)
{
    struct usage_wire total, agent, sidecar;
    Nd__UsageEntry *parts[2];
    size_t part_count = 0;
    put_usage(&total, &usage->total, 0, core_mhz);
    put_usage(&agent, &usage->agent, usage->agent_pid, core_mhz);
    put_usage(&sidecar, &usage->sidecar, usage->sidecar_pid, core_mhz);
    if (usage->agent_pid != 0)
        parts[part_count++] = &agent.entry;
    if (usage->sidecar_pid != 0)
        parts[part_count++] = &sidecar.entry;
    CLEANUP(str_freep) char *id = clean(task_id);
    Nd__Timestamp timestamp = timestamp_of(at);
    Nd__TaskStats stats = ND__TASK_STATS__INIT;
    stats.id = id;
    stats.timestamp = &timestamp;
    stats.agg_resource_usage = &total.both;
    stats.resource_usage_by_pid = parts;
    stats.n_resource_usage_by_pid = part_count;
    Nd__TaskStatsResponse message = ND__TASK_STATS_RESPONSE__INIT;
    message.stats = &stats;
    pack(out, &message);
}

static Nd__ExitResult exit_of(const struct exec_frame *end)
{
    Nd__ExitResult made = ND__EXIT_RESULT__INIT;
    made.exit_code = end->exit_code;
    made.signal = end->signal;
    made.oom_killed = end->oom_killed;
    return made;
}

void reply_put_exec(struct buf *out, struct view output, const struct exec_frame *end)
{
    Nd__ExitResult result = exit_of(end);
    Nd__ExecTaskResponse message = ND__EXEC_TASK_RESPONSE__INIT;
    message.stdout = data_of(output);
    message.result = &result;
    pack(out, &message);
}

void reply_put_exec_frame(struct buf *out, const struct exec_frame *frame)
{
    Nd__ExitResult result = exit_of(frame);
    Nd__ExecTaskStreamingIOOperation io = ND__EXEC_TASK_STREAMING_IOOPERATION__INIT;
    Nd__ExecTaskStreamingResponse message = ND__EXEC_TASK_STREAMING_RESPONSE__INIT;
    io.data = data_of(frame->bytes);
    io.close = frame->what == EXEC_CLOSED;
    if (frame->what == EXEC_EXITED) { /* exactly one member: API clients drop the rest */
        message.exited = true;
        message.result = &result;
    } else if (frame->is_stderr) {
        message.stderr = &io;
    } else {
        message.stdout = &io;
    }
    pack(out, &message);
}

void reply_put_event(struct buf *out, const struct task_event *event)
{
    CLEANUP(str_freep) char *task_id = clean(event->task_id);
    CLEANUP(str_freep) char *alloc_id = clean(event->alloc_id);
    CLEANUP(str_freep) char *task_name = clean(event->task_name);
    CLEANUP(str_freep) char *text = clean(event->message);
    Nd__Timestamp timestamp = timestamp_of(event->at);
    Nd__DriverTaskEvent message = ND__DRIVER_TASK_EVENT__INIT;
    message.task_id = task_id;
    message.alloc_id = alloc_id;
    message.task_name = task_name;
    message.timestamp = &timestamp;
    message.message = text;
    pack(out, &message);
}
