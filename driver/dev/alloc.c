#include "driver/dev/alloc.h"

#include "common/base/own.h"
#include "common/base/text.h"
#include "driver/hclspec/encode.h"
#include "driver/dev/job.h"
#include "driver/hclspec/spec.h"
#include "driver/nomad/config_schema.h"
#include "driver/nomad/task_config.h"
#include "driver/proto/task.pb-c.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

/* What a client passes on of its own environment; Nomad passes all but a deny list, which makes a
 * job depend on who started the agent. */
static const char *const host_names[] = { "PATH", "HOME", "LANG", "LC_ALL", "TZ", "USER" };

void alloc_make_id(char out[ALLOC_ID_BYTES])
{
    uint8_t bytes[(ALLOC_ID_BYTES - 1) / 2];
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        abort();
    hex_encode(view_of(bytes, sizeof bytes), out);
    out[8] = out[13] = out[18] = out[23] = '-';
    out[14] = '4'; /* random */
    out[19] = 'a';
}

static void pairs_set(struct vars *vars, const char *room, const char *const *pairs)
{
    for (; *pairs; pairs++) {
        const char *equals = strchr(*pairs, '=');
        CLEANUP(str_freep) char *name = str_copy_n(*pairs, (size_t)(equals - *pairs));
        vars_set(vars, room, name, equals + 1);
    }
}

static bool entries_set(const struct job *job, const struct job_entries *entries, const char *room,
                        struct vars *vars, struct err *err)
{
    for (size_t i = 0; i < entries->count; i++) {
        const struct hcl_node *value = entries->items[i].value;
        CLEANUP(buf_fini) struct buf text = { 0 };
        if (value->kind == HCL_STRING) {
            if (!vars_expand(vars, job->tree, value, &text, err))
                return false;
        } else {
            buf_put_str(&text, value->kind == HCL_NUMBER ? value->text
                               : value->is_true          ? "true"
                                                         : "false");
        }
        vars_set(vars, room, entries->items[i].key, buf_borrow_str(&text));
    }
    return true;
}

static void node_set(const struct job *job, const struct alloc_place *place, struct vars *vars)
{
    vars_set(vars, "node", "unique.name", place->node_name);
    vars_set(vars, "node", "unique.id", place->node_id);
    vars_set(vars, "node", "datacenter", job->datacenter);
    vars_set(vars, "node", "region", job->region);
    vars_set(vars, "node", "class", "");
    vars_set(vars, "node", "pool", "default");
}

static void path_set(const struct alloc_place *place, struct vars *vars, const char *name,
                     const char *below, const char *container)
{
    CLEANUP(str_freep) char *path = str_format("%s/%s", place->alloc_dir, below);
    vars_set(vars, "env", name, place->is_image ? container : path);
}

static void paths_set(const struct job *job, const struct alloc_place *place, struct vars *vars)
{
    CLEANUP(str_freep) char *local = str_format("%s/local", job->task);
    CLEANUP(str_freep) char *secrets = str_format("%s/secrets", job->task);
    path_set(place, vars, "NOMAD_ALLOC_DIR", "alloc", "/alloc");
    path_set(place, vars, "NOMAD_TASK_DIR", local, "/local");
    path_set(place, vars, "NOMAD_SECRETS_DIR", secrets, "/secrets");
}

static void number_set(struct vars *vars, const char *name, int64_t value)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%lld", (long long)value);
    if (value > 0)
        vars_set(vars, "env", name, text);
}

static void nomad_set(const struct job *job, const struct alloc_place *place, struct vars *vars)
{
    CLEANUP(str_freep) char *alloc_name = str_format("%s.%s[0]", job->name, job->group);
    CLEANUP(str_freep) char *short_id = str_copy_n(place->alloc_id, strcspn(place->alloc_id, "-"));
    const struct {
        const char *name, *value;
    } rows[] = {
        { "NOMAD_ALLOC_ID", place->alloc_id },
        { "NOMAD_SHORT_ALLOC_ID", short_id },
        { "NOMAD_ALLOC_NAME", alloc_name },
        { "NOMAD_ALLOC_INDEX", "0" },
        { "NOMAD_TASK_NAME", job->task },
        { "NOMAD_GROUP_NAME", job->group },
        { "NOMAD_JOB_ID", job->name },
        { "NOMAD_JOB_NAME", job->name },
        { "NOMAD_DC", job->datacenter },
        { "NOMAD_REGION", job->region },
        { "NOMAD_NAMESPACE", job->namespace_name },
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        vars_set(vars, "env", rows[i].name, rows[i].value);
    number_set(vars, "NOMAD_MEMORY_LIMIT", job->memory_mb);
    number_set(vars, "NOMAD_MEMORY_MAX_LIMIT", job->memory_max_mb);
    number_set(vars, "NOMAD_CPU_LIMIT", job->cpu_mhz);
}

/* meta.k as NOMAD_META_k and NOMAD_META_K. */
static void meta_export(struct vars *vars)
{
    const size_t count = vars->count;
    for (size_t i = 0; i < count; i++) {
        if (strncmp(vars->items[i].name, "meta.", 5) != 0)
            continue;
        CLEANUP(str_freep) char *value = str_copy(vars->items[i].value);
        CLEANUP(str_freep) char *name = str_format("NOMAD_META_%s", vars->items[i].name + 5);
        vars_set(vars, "env", name, value);
        for (char *c = name; *c; c++)
            *c = (char)toupper((unsigned char)*c);
        vars_set(vars, "env", name, value);
    }
}

bool alloc_vars(const struct job *job, const struct alloc_place *place, struct vars *out,
                struct err *err)
{
    CLEANUP(vars_fini) struct vars vars = { 0 };
    for (size_t i = 0; i < COUNT(host_names); i++) {
        const char *value = getenv(host_names[i]);
        if (value)
            vars_set(&vars, "env", host_names[i], value);
    }
    node_set(job, place, &vars);
    paths_set(job, place, &vars);
    nomad_set(job, place, &vars);
    if (!entries_set(job, &job->meta, "meta", &vars, err))
        return false;
    pairs_set(&vars, "meta", place->meta);
    meta_export(&vars);
    if (!entries_set(job, &job->env, "env", &vars, err))
        return false;
    pairs_set(&vars, "env", place->env);
    *out = vars;
    vars = (struct vars){ 0 };
    return true;
}

static ProtobufCBinaryData bytes_of(const char *text)
{
    return (ProtobufCBinaryData){ strlen(text), (uint8_t *)(uintptr_t)text };
}

struct entries { /* the environment as message parts */
    Nd__TextEntry *items, **pointers;
    size_t count;
};

static struct entries env_entries(const struct vars *vars)
{
    struct entries e = { mem_array(vars->count + 1, sizeof(Nd__TextEntry)),
                         mem_array(vars->count + 1, sizeof(Nd__TextEntry *)), 0 };
    for (size_t i = 0; i < vars->count; i++) {
        if (strncmp(vars->items[i].name, "env.", 4) != 0)
            continue;
        e.pointers[e.count] = &e.items[e.count];
        nd__text_entry__init(&e.items[e.count]);
        e.items[e.count].key = bytes_of(vars->items[i].name + 4);
        e.items[e.count++].value = bytes_of(vars->items[i].value);
    }
    return e;
}

static void entries_fini(struct entries *e)
{
    free(e->items);
    free(e->pointers);
}

static void names_set(Nd__TaskConfig *task, const struct job *job, const struct alloc_place *place)
{
    task->name = bytes_of(job->task);
    task->user = bytes_of(job->user);
    task->alloc_dir = bytes_of(place->alloc_dir);
    task->task_group_name = bytes_of(job->group);
    task->job_name = bytes_of(job->name);
    task->job_id = bytes_of(job->name);
    task->alloc_id = bytes_of(place->alloc_id);
    task->namespace_ = bytes_of(job->namespace_name);
    task->node_name = bytes_of(place->node_name);
    task->node_id = bytes_of(place->node_id);
}

void alloc_put_task(const struct job *job, const struct alloc_place *place, const struct vars *vars,
                    const char *task_id, struct view msgpack, struct buf *out)
{
    Nd__TaskConfig task = ND__TASK_CONFIG__INIT;
    Nd__Resources resources = ND__RESOURCES__INIT;
    Nd__AllocatedTaskResources allocated = ND__ALLOCATED_TASK_RESOURCES__INIT;
    Nd__AllocatedCpuResources cpu = ND__ALLOCATED_CPU_RESOURCES__INIT;
    Nd__AllocatedMemoryResources memory = ND__ALLOCATED_MEMORY_RESOURCES__INIT;
    Nd__LinuxResources limits = ND__LINUX_RESOURCES__INIT;
    CLEANUP(str_freep)
    char *stdout_path = str_format("%s/alloc/logs/.%s.stdout.fifo", place->alloc_dir, job->task);
    CLEANUP(str_freep)
    char *stderr_path = str_format("%s/alloc/logs/.%s.stderr.fifo", place->alloc_dir, job->task);
    CLEANUP(entries_fini) struct entries env = env_entries(vars);
    cpu.cpu_shares = limits.cpu_shares = job->cpu_mhz;
    memory.memory_mb = job->memory_mb;
    memory.memory_max_mb = job->memory_max_mb;
    limits.memory_limit_bytes =
        (job->memory_max_mb > job->memory_mb ? job->memory_max_mb : job->memory_mb) << 20;
    allocated.cpu = &cpu;
    allocated.memory = &memory;
    resources.allocated_resources = &allocated;
    resources.linux_resources = &limits;
    task.id = bytes_of(task_id);
    task.resources = &resources;
    task.msgpack_driver_config = (ProtobufCBinaryData){ msgpack.len,
                                                        (uint8_t *)(uintptr_t)msgpack.data };
    task.env = env.pointers;
    task.n_env = env.count;
    task.stdout_path = bytes_of(stdout_path);
    task.stderr_path = bytes_of(stderr_path);
    names_set(&task, job, place);
    const size_t len = nd__task_config__get_packed_size(&task);
    out->len += nd__task_config__pack(&task, buf_reserve(out, len));
}

/* The part of `path` behind `prefix` and a slash; NULL when it is elsewhere. */
static const char *path_below(const char *path, const char *prefix)
{
    const size_t len = strlen(prefix);
    return strncmp(path, prefix, len) == 0 && path[len] == '/' ? path + len + 1 : NULL;
}

static bool has_dots(const char *path)
{
    for (const char *at = path; at; at = strchr(at, '/') ? strchr(at, '/') + 1 : NULL) {
        const size_t len = strcspn(at, "/");
        if (len == 0 || (len <= 2 && strspn(at, ".") == len))
            return true;
    }
    return false;
}

bool alloc_destination(const struct job *job, const struct alloc_place *place,
                       const struct vars *vars, const struct hcl_node *destination, char **out,
                       struct err *err)
{
    CLEANUP(buf_fini) struct buf text = { 0 };
    if (!vars_expand(vars, job->tree, destination, &text, err))
        return false;
    const char *path = buf_borrow_str(&text);
    const char *below = path_below(path, place->alloc_dir);
    const char *shared = path_below(path, "../alloc");
    CLEANUP(str_freep) char *relative = NULL;
    if (below)
        relative = str_copy(below);
    else if (shared)
        relative = str_format("alloc/%s", shared);
    else
        relative = str_format("%s/%s", job->task, *path == '/' ? path + 1 : path);
    if (strlen(path) != text.len || has_dots(relative))
        return hcl_fail(job->tree, destination, err,
                        "\"destination\" must stay in the task's or the shared directory");
    *out = STEAL(relative);
    return true;
}

static bool templates_check(const struct job *job, const struct alloc_place *place,
                            const struct vars *vars, struct err *err)
{
    for (size_t i = 0; i < job->template_count; i++) {
        CLEANUP(str_freep) char *path = NULL;
        CLEANUP(buf_fini) struct buf data = { 0 };
        if (!alloc_destination(job, place, vars, job->templates[i].destination, &path, err) ||
            !vars_keep(job->tree, job->templates[i].data, &data, err))
            return false;
    }
    return true;
}

bool alloc_check(const struct job *job, const char *const *meta, const char *const *env,
                 struct err *err)
{
    const struct alloc_place place = { .node = 1,
                                       .node_name = "node-1",
                                       .node_id = "00000000-0000-0000-0000-000000000001",
                                       .alloc_id = "00000000-0000-0000-0000-000000000000",
                                       .alloc_dir = "/alloc-dir",
                                       .meta = meta,
                                       .env = env };
    CLEANUP(vars_fini) struct vars vars = { 0 };
    CLEANUP(spec_freep) struct spec *spec = NULL;
    CLEANUP(buf_fini) struct buf schema = { 0 };
    CLEANUP(buf_fini) struct buf msgpack = { 0 };
    struct task_config config = { 0 };
    struct err found = { 0 };
    config_put_spec(&task_config_table, &schema);
    if (!alloc_vars(job, &place, &vars, err) || !templates_check(job, &place, &vars, err) ||
        !spec_decode(buf_view(&schema), &spec, err) ||
        !config_encode(spec, job->tree, job->config, &vars, &msgpack, err))
        return false;
    const bool ok = task_config_decode(buf_view(&msgpack), &config, &found);
    task_config_fini(&config);
    return ok || config_fail_at(job->tree, job->config, &found, err);
}
