#include "driver/nomad/task_spec.h"

#include <stdlib.h>

#include "common/base/own.h"
#include "common/base/text.h"
#include "driver/proto/task.pb-c.h"

/* The kernel refuses a longer argument or variable at exec (MAX_ARG_STRLEN). */
#define VARIABLE_MAX ((size_t)128 << 10)
#define MESSAGE_MAX  ((size_t)64 << 20) /* what the server receives at most */

static struct view view_of_data(ProtobufCBinaryData data) { return view_of(data.data, data.len); }

static char *copy_of(ProtobufCBinaryData data)
{
    return str_copy_n(data.len ? (const char *)data.data : "", data.len);
}

enum text_need { TEXT_OPTIONAL = 0, TEXT_NEEDED = 1, TEXT_PATH = 2 };

/* One row each text field: from where in the message, to where in the spec. */
struct text_row {
    const char *field;
    size_t from, to, max;
    unsigned need;
};
#define TEXT(name, from, to, max, need)                                                 \
    {                                                                                   \
        name, offsetof(Nd__TaskConfig, from), offsetof(struct task_spec, to), max, need \
    }
static const struct text_row text_rows[] = {
    TEXT("id", id, id, TASK_ID_MAX, TEXT_NEEDED),
    TEXT("name", name, name, TASK_NAME_MAX, TEXT_NEEDED),
    TEXT("alloc_id", alloc_id, alloc_id, TASK_NAME_MAX, TEXT_NEEDED),
    TEXT("alloc_dir", alloc_dir, alloc_dir, TASK_PATH_MAX, TEXT_NEEDED | TEXT_PATH),
    TEXT("stdout_path", stdout_path, stdout_path, TASK_PATH_MAX, TEXT_NEEDED | TEXT_PATH),
    TEXT("stderr_path", stderr_path, stderr_path, TASK_PATH_MAX, TEXT_NEEDED | TEXT_PATH),
    TEXT("user", user, user, TASK_NAME_MAX, TEXT_OPTIONAL),
    TEXT("job_id", job_id, job_id, TASK_PATH_MAX, TEXT_OPTIONAL),
    TEXT("job_name", job_name, job_name, TASK_PATH_MAX, TEXT_OPTIONAL),
    TEXT("task_group_name", task_group_name, group_name, TASK_PATH_MAX, TEXT_OPTIONAL),
    TEXT("namespace", namespace_, namespace_name, TASK_PATH_MAX, TEXT_OPTIONAL),
    TEXT("node_name", node_name, node_name, TASK_PATH_MAX, TEXT_OPTIONAL),
    TEXT("node_id", node_id, node_id, TASK_PATH_MAX, TEXT_OPTIONAL),
};

static bool text_check(const char *field, struct view text, size_t max, unsigned need,
                       struct err *err)
{
    if (text.len == 0 && (need & TEXT_NEEDED))
        return err_set(err, ERR_INVALID, "task: %s: is missing", field);
    if (text.len > max)
        return err_set(err, ERR_INVALID, "task: %s: has %zu bytes, at most %zu are allowed", field,
                       text.len, max);
    if (!utf8_is_valid(text))
        return err_set(err, ERR_INVALID, "task: %s: is not UTF-8 text, or has a NUL", field);
    if ((need & TEXT_PATH) && text.data[0] != '/')
        return err_set(err, ERR_INVALID, "task: %s: is not an absolute path", field);
    return true;
}

static bool texts_decode(const Nd__TaskConfig *msg, struct task_spec *spec, struct err *err)
{
    for (size_t i = 0; i < COUNT(text_rows); i++) {
        const struct text_row *row = &text_rows[i];
        ProtobufCBinaryData data;
        memcpy(&data, (const char *)msg + row->from, sizeof(data));
        if (!text_check(row->field, view_of_data(data), row->max, row->need, err))
            return false;
        char *copy = copy_of(data);
        memcpy((char *)spec + row->to, &copy, sizeof(copy));
    }
    /* It becomes a directory name below alloc_dir. */
    if (strchr(spec->name, '/') || strcmp(spec->name, ".") == 0 || strcmp(spec->name, "..") == 0)
        return err_set(err, ERR_INVALID, "task: name: \"%s\" is not a file name", spec->name);
    return true;
}

static bool optional_path(const char *field, ProtobufCBinaryData data, char **out, struct err *err)
{
    if (data.len == 0)
        return true;
    if (!text_check(field, view_of_data(data), TASK_PATH_MAX, TEXT_PATH, err))
        return false;
    *out = copy_of(data);
    return true;
}

static bool resources_decode(const Nd__Resources *msg, struct task_resources *out, struct err *err)
{
    if (!msg)
        return true;
    const Nd__AllocatedTaskResources *allocated = msg->allocated_resources;
    if (allocated && allocated->cpu)
        out->cpu_shares = allocated->cpu->cpu_shares;
    if (allocated && allocated->memory) {
        out->memory_mb = allocated->memory->memory_mb;
        out->memory_max_mb = allocated->memory->memory_max_mb;
    }
    const Nd__LinuxResources *host = msg->linux_resources;
    if (!host)
        return true;
    out->percent_ticks = host->percent_ticks;
    const struct view cpus = view_of_data(host->cpuset_cpus);
    if (!text_check("resources.cpuset_cpus", cpus, TASK_PATH_MAX, TEXT_OPTIONAL, err))
        return false;
    if (cpus.len)
        out->cpuset_cpus = copy_of(host->cpuset_cpus);
    return optional_path("resources.cpuset_cgroup", host->cpuset_cgroup, &out->cpuset_cgroup, err);
}

static bool variable_check(const Nd__TextEntry *entry, struct err *err)
{
    const struct view name = view_of_data(entry->key), value = view_of_data(entry->value);
    if (name.len == 0 || memchr(name.data, '=', name.len) || !utf8_is_valid(name))
        return err_set(err, ERR_INVALID, "task: env: a name is empty, not text, or has a \"=\"");
    if (value.len && memchr(value.data, '\0', value.len))
        return err_set(err, ERR_INVALID, "task: env: %.*s: the value has a NUL",
                       (int)(name.len > 64 ? 64 : name.len), (const char *)name.data);
    if (name.len + value.len > VARIABLE_MAX - 2)
        return err_set(err, ERR_INVALID, "task: env: %.*s: has more than %zu bytes",
                       (int)(name.len > 64 ? 64 : name.len), (const char *)name.data,
                       VARIABLE_MAX - 2);
    return true;
}

struct variable {
    const Nd__TextEntry *entry;
    size_t index;
};

static int variable_order(const void *a, const void *b)
{
    const struct variable *x = a, *y = b;
    const struct view p = view_of_data(x->entry->key), q = view_of_data(y->entry->key);
    const int order = memcmp(p.data, q.data, p.len < q.len ? p.len : q.len);
    if (order)
        return order;
    if (p.len != q.len)
        return p.len < q.len ? -1 : 1;
    return x->index < y->index ? -1 : 1;
}

static void env_put(struct task_spec *spec, struct variable *all, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct view name = view_of_data(all[i].entry->key);
        const bool is_last = i + 1 == count ||
                             !view_is_equal(name, view_of_data(all[i + 1].entry->key));
        if (!is_last)
            continue; /* in a protobuf map the last entry of a key counts */
        buf_put(&spec->env, name);
        buf_put_u8(&spec->env, '=');
        buf_put(&spec->env, view_of_data(all[i].entry->value));
        buf_put_u8(&spec->env, '\0');
        spec->env_count++;
    }
}

static bool env_decode(const Nd__TaskConfig *msg, struct task_spec *spec, struct err *err)
{
    size_t bytes = 0;
    struct variable *all = mem_array(msg->n_env + 1, sizeof(*all));
    bool ok = true;
    for (size_t i = 0; ok && i < msg->n_env; i++) {
        all[i] = (struct variable){ msg->env[i], i };
        ok = variable_check(msg->env[i], err);
        bytes += msg->env[i]->key.len + msg->env[i]->value.len + 2;
    }
    if (ok) {
        qsort(all, msg->n_env, sizeof(*all), variable_order);
        (void)buf_reserve(&spec->env, bytes + 1); /* once: growing would leave copies behind */
        env_put(spec, all, msg->n_env);
    }
    free(all);
    return ok;
}

static bool take_text(const char *field, ProtobufCBinaryData data, unsigned need, char **out,
                      struct err *err)
{
    if (!text_check(field, view_of_data(data), TASK_PATH_MAX, need, err))
        return false;
    *out = copy_of(data);
    return true;
}

static bool volumes_decode(const Nd__TaskConfig *msg, struct task_spec *spec, struct err *err)
{
    if (msg->n_mounts > TASK_MOUNTS_MAX || msg->n_devices > TASK_MOUNTS_MAX)
        return err_set(err, ERR_INVALID, "task: mounts: %zu and %zu devices, at most %d each",
                       msg->n_mounts, msg->n_devices, TASK_MOUNTS_MAX);
    spec->volumes = mem_array(msg->n_mounts + 1, sizeof(*spec->volumes));
    spec->devices = mem_array(msg->n_devices + 1, sizeof(*spec->devices));
    for (size_t i = 0; i < msg->n_mounts; i++) {
        const Nd__Mount *from = msg->mounts[i];
        struct task_volume *to = &spec->volumes[spec->volume_count++];
        to->readonly = from->readonly;
        if (!take_text("mounts.task_path", from->task_path, TEXT_NEEDED, &to->task_path, err) ||
            !take_text("mounts.host_path", from->host_path, TEXT_NEEDED | TEXT_PATH, &to->host_path,
                       err) ||
            !take_text("mounts.propagation_mode", from->propagation_mode, TEXT_OPTIONAL,
                       &to->propagation, err))
            return false;
    }
    for (size_t i = 0; i < msg->n_devices; i++) {
        const Nd__Device *from = msg->devices[i];
        struct task_device *to = &spec->devices[spec->device_count++];
        if (!take_text("devices.task_path", from->task_path, TEXT_NEEDED | TEXT_PATH,
                       &to->task_path, err) ||
            !take_text("devices.host_path", from->host_path, TEXT_NEEDED | TEXT_PATH,
                       &to->host_path, err) ||
            !take_text("devices.cgroup_permissions", from->cgroup_permissions, TEXT_OPTIONAL,
                       &to->permissions, err))
            return false;
    }
    return true;
}

static bool list_decode(const char *field, const ProtobufCBinaryData *items, size_t count,
                        struct str_list *out, struct err *err)
{
    if (count > TASK_MOUNTS_MAX)
        return err_set(err, ERR_INVALID, "task: %s: has %zu items", field, count);
    for (size_t i = 0; i < count; i++) {
        const struct view text = view_of_data(items[i]);
        if (!text_check(field, text, TASK_NAME_MAX, TEXT_NEEDED, err))
            return false;
        if (memchr(text.data, '\n', text.len))
            return err_set(err, ERR_INVALID, "task: %s: has a line break", field);
        str_list_add(out, text);
    }
    return true;
}

static bool dns_decode(const Nd__DNSConfig *dns, struct task_spec *spec, struct err *err)
{
    spec->has_dns = dns != NULL;
    return !dns ||
           (list_decode("dns.servers", dns->servers, dns->n_servers, &spec->dns_servers, err) &&
            list_decode("dns.searches", dns->searches, dns->n_searches, &spec->dns_searches, err) &&
            list_decode("dns.options", dns->options, dns->n_options, &spec->dns_options, err));
}

static bool network_decode(const Nd__NetworkIsolationSpec *network, struct task_spec *spec,
                           struct err *err)
{
    if (!network)
        return true;
    const Nd__HostsConfig *hosts = network->hosts_config;
    if (!optional_path("network_isolation_spec.path", network->path, &spec->netns_path, err))
        return false;
    return !hosts || (take_text("hosts_config.hostname", hosts->hostname, TEXT_OPTIONAL,
                                &spec->host_name, err) &&
                      take_text("hosts_config.address", hosts->address, TEXT_OPTIONAL,
                                &spec->host_address, err));
}

static bool message_decode(const Nd__TaskConfig *msg, struct task_spec *spec, struct err *err)
{
    return texts_decode(msg, spec, err) &&
           resources_decode(msg->resources, &spec->resources, err) &&
           network_decode(msg->network_isolation_spec, spec, err) &&
           volumes_decode(msg, spec, err) && dns_decode(msg->dns, spec, err) &&
           env_decode(msg, spec, err);
}

static void message_free(Nd__TaskConfig *msg)
{
    for (size_t i = 0; i < msg->n_env; i++)
        if (msg->env[i]->value.len)
            explicit_bzero(msg->env[i]->value.data, msg->env[i]->value.len);
    nd__task_config__free_unpacked(msg, NULL);
}

static bool decode(struct view task_config, bool is_stored, struct task_spec **out, struct err *err)
{
    if (task_config.len > MESSAGE_MAX)
        return err_set(err, ERR_INVALID, "task: %zu bytes, at most %zu are allowed",
                       task_config.len, MESSAGE_MAX);
    Nd__TaskConfig *msg = nd__task_config__unpack(NULL, task_config.len, task_config.data);
    if (!msg)
        return err_set(err, ERR_INVALID, "task: malformed message");
    CLEANUP(task_spec_freep) struct task_spec *spec = mem_new(struct task_spec);
    const bool ok = message_decode(msg, spec, err) &&
                    (is_stored || task_config_decode(view_of_data(msg->msgpack_driver_config),
                                                     &spec->config, err));
    message_free(msg);
    if (ok)
        *out = STEAL(spec);
    return ok;
}

bool task_spec_decode(struct view task_config, struct task_spec **out, struct err *err)
{
    return decode(task_config, false, out, err);
}

bool task_spec_decode_stored(struct view task_config, struct task_spec **out, struct err *err)
{
    return decode(task_config, true, out, err);
}

void task_spec_free(struct task_spec *spec)
{
    if (!spec)
        return;
    for (size_t i = 0; i < COUNT(text_rows); i++) {
        char *text = NULL;
        memcpy(&text, (char *)spec + text_rows[i].to, sizeof(text));
        free(text);
    }
    free(spec->resources.cpuset_cpus);
    free(spec->resources.cpuset_cgroup);
    free(spec->netns_path);
    free(spec->host_name);
    free(spec->host_address);
    str_list_fini(&spec->dns_servers);
    str_list_fini(&spec->dns_searches);
    str_list_fini(&spec->dns_options);
    for (size_t i = 0; i < spec->volume_count; i++) {
        free(spec->volumes[i].task_path);
        free(spec->volumes[i].host_path);
        free(spec->volumes[i].propagation);
    }
    for (size_t i = 0; i < spec->device_count; i++) {
        free(spec->devices[i].task_path);
        free(spec->devices[i].host_path);
        free(spec->devices[i].permissions);
    }
    free(spec->volumes);
    free(spec->devices);
    task_config_fini(&spec->config);
    if (spec->env.data)
        explicit_bzero(spec->env.data, spec->env.cap);
    buf_fini(&spec->env);
    free(spec);
}

const char *task_spec_env(const struct task_spec *spec, const char *name)
{
    const size_t len = strlen(name);
    const char *at = (const char *)spec->env.data;
    for (size_t i = 0; i < spec->env_count; i++, at += strlen(at) + 1)
        if (strncmp(at, name, len) == 0 && at[len] == '=')
            return at + len + 1;
    return NULL;
}
