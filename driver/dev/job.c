#include "driver/dev/job.h"

#include "common/base/own.h"
#include "common/hcl/read.h"
#include "driver/dev/job_keys.def"

#include <stdlib.h>

#define TASK_DRIVER     "agent"
#define KILL_TIMEOUT_MS 5000 /* Nomad's default */
#define DURATION_MAX_MS 86400000
#define NAME_BYTES_MAX  128
#define KEYS_PER_LEVEL  64

enum level {
    LEVEL_ROOT,
    LEVEL_JOB,
    LEVEL_GROUP,
    LEVEL_TASK,
    LEVEL_TEMPLATE,
    LEVEL_RESTART,
    LEVEL_RESOURCES
};
enum shape { SHAPE_ATTR, SHAPE_BLOCK, SHAPE_EITHER };
enum use { USE_READ, USE_NOTE, USE_REFUSE };

#define KEY_ROW(level, key, shape, labels, use) \
    { LEVEL_##level, key, SHAPE_##shape, labels, USE_##use },
static const struct key_row {
    enum level level;
    const char *key;
    enum shape shape;
    unsigned labels;
    enum use use;
} key_rows[] = { JOB_KEYS(KEY_ROW) };

struct reader {
    struct job *job;
    const struct hcl *tree;
    struct err *err;
};

static const struct key_row *row_find(enum level level, const char *key)
{
    for (size_t i = 0; i < COUNT(key_rows); i++)
        if (key_rows[i].level == level && strcmp(key_rows[i].key, key) == 0)
            return &key_rows[i];
    return NULL;
}

static bool unknown_fail(struct reader *r, enum level level, const struct hcl_node *item)
{
    struct hcl_rule rules[KEYS_PER_LEVEL] = { 0 };
    size_t count = 0;
    for (size_t i = 0; i < COUNT(key_rows) && count + 1 < COUNT(rules); i++)
        if (key_rows[i].level == level)
            rules[count++].name = key_rows[i].key;
    const char *near = hcl_suggest(item->key, rules);
    return hcl_fail_key(r->tree, item, r->err, "unknown key \"%.60s\"%s%s%s", item->key,
                        near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

static bool item_check(struct reader *r, enum level level, const struct hcl_node *item)
{
    const struct key_row *row = row_find(level, item->key);
    const bool is_block = item->kind == HCL_BLOCK;
    if (!row)
        return unknown_fail(r, level, item);
    if (row->use == USE_REFUSE)
        return hcl_fail_key(r->tree, item, r->err, "\"%s\" is not supported by agent-dev",
                            row->key);
    if (row->shape == SHAPE_BLOCK && !is_block)
        return hcl_fail_key(r->tree, item, r->err,
                            "\"%s\" is a block: write %s { ... } without =", row->key, row->key);
    if (row->shape == SHAPE_ATTR && is_block)
        return hcl_fail_key(r->tree, item, r->err, "\"%s\" is not a block: write %s = ...",
                            row->key, row->key);
    if (is_block && item->label_count != row->labels)
        return hcl_fail_key(r->tree, item, r->err, "block \"%s\" takes %u label%s, not %u",
                            row->key, row->labels, row->labels == 1 ? "" : "s", item->label_count);
    struct buf *notes = &r->job->not_applied;
    if (row->use == USE_NOTE)
        buf_put_fmt(notes, "%s%s (line %u)", notes->len ? ", " : "", row->key, item->key_at.line);
    return true;
}

static bool level_check(struct reader *r, enum level level, const struct hcl_node *body)
{
    for (const struct hcl_node *item = body->first; item; item = item->next)
        if (!item_check(r, level, item))
            return false;
    return true;
}

/* The child `name`, of which there may be one, as a block or a map. */
static bool single_find(struct reader *r, const struct hcl_node *body, const char *name,
                        const struct hcl_node **out)
{
    *out = NULL;
    for (const struct hcl_node *n = body->first; n; n = n->next) {
        if (strcmp(n->key, name) != 0)
            continue;
        if (*out)
            return hcl_fail_key(r->tree, n, r->err, "\"%s\" stands here twice, first in line %u",
                                name, (*out)->at.line);
        *out = n;
    }
    return true;
}

/* Appends the keys and values of an env or meta block. */
static bool entries_read(struct reader *r, const struct hcl_node *body, const char *name,
                         struct job_entries *out)
{
    const struct hcl_node *block;
    if (!single_find(r, body, name, &block))
        return false;
    if (block && block->kind != HCL_BLOCK && block->kind != HCL_MAP)
        return hcl_fail(r->tree, block, r->err, "\"%s\" must be a block or a map", name);
    for (const struct hcl_node *n = block ? block->first : NULL; n; n = n->next) {
        if (n->kind != HCL_STRING && n->kind != HCL_NUMBER && n->kind != HCL_BOOL)
            return hcl_fail(r->tree, n, r->err, "\"%.60s\" must be a string, not a %s", n->key,
                            hcl_kind_name(n->kind));
        out->items = mem_resize(out->items, out->count + 1, sizeof *out->items);
        out->items[out->count++] = (struct job_entry){ n->key, n };
    }
    return true;
}

static bool text_read(struct reader *r, const struct hcl_node *body, const char *key,
                      const char **out)
{
    const struct hcl_node *value = hcl_attr(body, key);
    return !value || hcl_read_text(r->tree, value, out, r->err);
}

static bool ms_read(struct reader *r, const struct hcl_node *body, const char *key, int64_t *out)
{
    const struct hcl_node *value = hcl_attr(body, key);
    return !value || hcl_read_ms(r->tree, value, 0, DURATION_MAX_MS, out, r->err);
}

static bool int_read(struct reader *r, const struct hcl_node *body, const char *key, int64_t min,
                     int64_t max, int64_t *out)
{
    const struct hcl_node *value = hcl_attr(body, key);
    return !value || hcl_read_int(r->tree, value, min, max, out, r->err);
}

static bool label_check(struct reader *r, const struct hcl_node *block)
{
    const char *label = block->labels[0];
    if (*label && strlen(label) <= NAME_BYTES_MAX && !strchr(label, '/') && *label != '.')
        return true;
    return hcl_fail(r->tree, block, r->err,
                    "the name of this %s must have 1 to %d bytes, no slash and no dot in front",
                    block->key, NAME_BYTES_MAX);
}

static bool restart_read(struct reader *r, const struct hcl_node *body)
{
    const struct hcl_node *block;
    struct job_restart *restart = &r->job->restart;
    if (!single_find(r, body, "restart", &block))
        return false;
    if (!block)
        return true;
    *restart = (struct job_restart){ true, 2, 1800000, 15000 };
    return level_check(r, LEVEL_RESTART, block) &&
           int_read(r, block, "attempts", 0, 1000, &restart->attempts) &&
           ms_read(r, block, "interval", &restart->interval_ms) &&
           ms_read(r, block, "delay", &restart->delay_ms);
}

static bool resources_read(struct reader *r, const struct hcl_node *body)
{
    const struct hcl_node *block;
    struct job *job = r->job;
    if (!single_find(r, body, "resources", &block))
        return false;
    return !block || (level_check(r, LEVEL_RESOURCES, block) &&
                      int_read(r, block, "cpu", 1, 10000000, &job->cpu_mhz) &&
                      int_read(r, block, "memory", 1, 1 << 24, &job->memory_mb) &&
                      int_read(r, block, "memory_max", -1, 1 << 24, &job->memory_max_mb));
}

static bool perms_read(struct reader *r, const struct hcl_node *block, int64_t *out)
{
    const struct hcl_node *value = hcl_attr(block, "perms");
    const char *text;
    if (!value)
        return true;
    if (!hcl_read_text(r->tree, value, &text, r->err))
        return false;
    char *end;
    const long mode = strtol(text, &end, 8);
    if (!*text || *end || mode < 0 || mode > 07777)
        return hcl_fail(r->tree, value, r->err, "\"perms\" must be an octal mode such as \"0755\"");
    *out = mode;
    return true;
}

static bool template_read(struct reader *r, const struct hcl_node *block)
{
    struct job *job = r->job;
    struct job_template t = { hcl_attr(block, "data"), hcl_attr(block, "destination"), 0644 };
    if (!level_check(r, LEVEL_TEMPLATE, block) || !perms_read(r, block, &t.mode))
        return false;
    if (!t.data || t.data->kind != HCL_STRING)
        return hcl_fail(r->tree, t.data ? t.data : block, r->err,
                        "a template needs \"data\", a string");
    if (!t.destination || t.destination->kind != HCL_STRING)
        return hcl_fail(r->tree, t.destination ? t.destination : block, r->err,
                        "a template needs \"destination\", a string");
    if (strstr(t.data->text, "{{"))
        return hcl_fail(r->tree, t.data, r->err,
                        "template functions {{ }} are not supported by agent-dev");
    job->templates = mem_resize(job->templates, job->template_count + 1, sizeof t);
    job->templates[job->template_count++] = t;
    return true;
}

static bool task_read(struct reader *r, const struct hcl_node *task)
{
    struct job *job = r->job;
    job->task = task->labels[0];
    if (!label_check(r, task) || !level_check(r, LEVEL_TASK, task) ||
        !single_find(r, task, "config", &job->config) || !entries_read(r, task, "env", &job->env) ||
        !entries_read(r, task, "meta", &job->meta) || !restart_read(r, task) ||
        !resources_read(r, task) || !text_read(r, task, "user", &job->user) ||
        !text_read(r, task, "kill_signal", &job->kill_signal) ||
        !ms_read(r, task, "kill_timeout", &job->kill_timeout_ms))
        return false;
    for (const struct hcl_node *t = hcl_block(task, "template"); t; t = hcl_block_next(t))
        if (!template_read(r, t))
            return false;
    return true;
}

/* The first task of the file whose driver is ours, with its group. */
static bool task_find(struct reader *r, const struct hcl_node *job,
                      const struct hcl_node **out_group, const struct hcl_node **out_task)
{
    const struct hcl_node *other = NULL;
    for (const struct hcl_node *g = hcl_block(job, "group"); g; g = hcl_block_next(g))
        for (const struct hcl_node *t = hcl_block(g, "task"); t; t = hcl_block_next(t)) {
            const struct hcl_node *driver = hcl_attr(t, "driver");
            const char *name = "";
            if (driver && !hcl_read_text(r->tree, driver, &name, r->err))
                return false;
            if (strcmp(name, TASK_DRIVER) == 0) {
                *out_group = g;
                *out_task = t;
                return true;
            }
            other = other ? other : t;
        }
    return hcl_fail(r->tree, other ? other : job, r->err, "no task here has driver = \"%s\"",
                    TASK_DRIVER);
}

/* Other tasks and groups would run beside it in Nomad: said, not done. */
static void others_note(struct reader *r, const struct hcl_node *job, const struct hcl_node *task)
{
    struct buf *notes = &r->job->not_applied;
    for (const struct hcl_node *g = hcl_block(job, "group"); g; g = hcl_block_next(g))
        for (const struct hcl_node *t = hcl_block(g, "task"); t; t = hcl_block_next(t))
            if (t != task)
                buf_put_fmt(notes, "%stask \"%.60s\" (line %u)", notes->len ? ", " : "",
                            t->label_count ? t->labels[0] : "", t->at.line);
}

static bool datacenter_read(struct reader *r, const struct hcl_node *job)
{
    const struct hcl_node *list = hcl_attr(job, "datacenters");
    if (!list)
        return true;
    if (!hcl_check_texts(r->tree, list, r->err))
        return false;
    if (list->first && strcmp(list->first->text, "*") != 0)
        r->job->datacenter = list->first->text;
    return true;
}

static bool job_block_read(struct reader *r)
{
    const struct hcl_node *root = hcl_root(r->tree), *job = NULL, *group = NULL, *task = NULL;
    if (!level_check(r, LEVEL_ROOT, root) || !single_find(r, root, "job", &job))
        return false;
    if (!job)
        return hcl_fail(r->tree, root, r->err, "a job file holds one block: job \"name\" { ... }");
    r->job->name = job->labels[0];
    if (!label_check(r, job) || !level_check(r, LEVEL_JOB, job) ||
        !text_read(r, job, "namespace", &r->job->namespace_name) ||
        !text_read(r, job, "region", &r->job->region) || !datacenter_read(r, job) ||
        !task_find(r, job, &group, &task) || !level_check(r, LEVEL_GROUP, group) ||
        !label_check(r, group))
        return false;
    r->job->group = group->labels[0];
    others_note(r, job, task);
    return entries_read(r, job, "meta", &r->job->meta) &&
           entries_read(r, group, "meta", &r->job->meta) && restart_read(r, group) &&
           task_read(r, task);
}

bool job_read(const char *name, struct view text, struct job **out, struct err *err)
{
    CLEANUP(job_freep) struct job *job = mem_new(struct job);
    *job = (struct job){ .namespace_name = "default",
                         .region = "global",
                         .datacenter = "dc1",
                         .user = "",
                         .kill_signal = "",
                         .kill_timeout_ms = KILL_TIMEOUT_MS };
    if (!hcl_parse(name, text, &job->tree, err))
        return false;
    struct reader r = { job, job->tree, err };
    if (!job_block_read(&r))
        return false;
    *out = STEAL(job);
    return true;
}

bool job_restart_is_due(const struct job_restart *policy, struct job_restarts *done,
                        struct boot now)
{
    if (!policy->is_given)
        return false;
    if (done->count == 0 || boot_diff_ms(now, done->since) > policy->interval_ms)
        *done = (struct job_restarts){ 0, now };
    return done->count++ < policy->attempts;
}

void job_free(struct job *job)
{
    if (!job)
        return;
    hcl_free(job->tree);
    free(job->env.items);
    free(job->meta.items);
    free(job->templates);
    buf_fini(&job->not_applied);
    free(job);
}
