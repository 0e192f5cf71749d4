#include "driver/dev/options.h"

#include "common/base/own.h"
#include "common/base/text.h"
#include "common/hcl/read.h"

#include <stdio.h>
#include <string.h>

typedef bool flag_fn(struct dev_options *o, const char *value, struct err *err);

static bool duration_read(const char *value, int64_t *out, struct err *err)
{
    return duration_parse(view_str(value), out, err);
}

static bool nodes_read(struct dev_options *o, const char *value, struct err *err)
{
    int64_t nodes;
    if (!int_parse(view_str(value), 1, OPTIONS_NODES_MAX, &nodes, err))
        return false;
    o->nodes = (unsigned)nodes;
    return true;
}

/* [N:]after:DURATION */
static bool fault_read(struct dev_options *o, enum dev_fault_kind kind, const char *value,
                       struct err *err)
{
    struct dev_fault fault = { .kind = kind };
    if (o->fault_count == OPTIONS_FAULTS_MAX)
        return err_set(err, ERR_INVALID, "more than %d faults", OPTIONS_FAULTS_MAX);
    if (value[0] >= '1' && value[0] <= '9' && value[1] == ':') {
        fault.node = (unsigned)(value[0] - '0');
        value += 2;
    }
    if (strncmp(value, "after:", 6) != 0)
        return err_set(err, ERR_INVALID, "write after:5s, or 1:after:5s for the first node");
    if (!duration_read(value + 6, &fault.after_ms, err))
        return false;
    o->faults[o->fault_count++] = fault;
    return true;
}

static bool kill_read(struct dev_options *o, const char *value, struct err *err)
{
    return fault_read(o, DEV_KILL, value, err);
}
static bool partition_read(struct dev_options *o, const char *value, struct err *err)
{
    return fault_read(o, DEV_PARTITION, value, err);
}
static bool stop_read(struct dev_options *o, const char *value, struct err *err)
{
    if (strncmp(value, "after:", 6) != 0)
        return err_set(err, ERR_INVALID, "write after:10s");
    return duration_read(value + 6, &o->stop_after_ms, err);
}
static bool timeout_read(struct dev_options *o, const char *value, struct err *err)
{
    return duration_read(value, &o->timeout_ms, err);
}

static bool pair_add(const char **pairs, size_t *count, const char *value, struct err *err)
{
    const char *equals = strchr(value, '=');
    if (!equals || equals == value)
        return err_set(err, ERR_INVALID, "write NAME=VALUE");
    if (*count + 1 == OPTIONS_PAIRS_MAX)
        return err_set(err, ERR_INVALID, "more than %d of them", OPTIONS_PAIRS_MAX - 1);
    pairs[(*count)++] = value;
    return true;
}
static bool meta_read(struct dev_options *o, const char *value, struct err *err)
{
    return pair_add(o->meta, &o->meta_count, value, err);
}
static bool env_read(struct dev_options *o, const char *value, struct err *err)
{
    return pair_add(o->env, &o->env_count, value, err);
}

#define PATH_FLAG(member)                                                                \
    static bool member##_read(struct dev_options *o, const char *value, struct err *err) \
    {                                                                                    \
        if (!*value)                                                                     \
            return err_set(err, ERR_INVALID, "a path must follow");                      \
        o->member = value;                                                               \
        return true;                                                                     \
    }
PATH_FLAG(store)
PATH_FLAG(data_dir)
PATH_FLAG(plugin)
PATH_FLAG(shim)
PATH_FLAG(sidecar)

static bool json_read(struct dev_options *o, const char *value, struct err *err)
{
    (void)value;
    (void)err;
    o->json = true;
    return true;
}

static const struct flag {
    const char *name, *shown; /* shown NULL: takes no value */
    flag_fn *read;
    const char *doc;
} flags[] = {
    { "nodes", "N", nodes_read, "simulated nodes, each with its own plugin process (default 1)" },
    { "kill-node", "[N:]after:5s", kill_read,
      "kill every process of a node at one instant; without N the node whose agent runs" },
    { "partition-node", "[N:]after:5s", partition_read, "cut a node off the shared store" },
    { "stop", "after:10s", stop_read, "stop the job as Nomad does, standbys first" },
    { "timeout", "60s", timeout_read, "stop the job and exit with 124 when it has not ended" },
    { "store", "DIR", store_read,
      "directory of the shared store (default: in the data directory)" },
    { "data-dir", "DIR", data_dir_read,
      "where nodes keep their files (default: a new one in TMPDIR, removed at the end)" },
    { "meta", "K=V", meta_read, "adds to the job's meta; may be repeated" },
    { "env", "K=V", env_read, "adds to the task's environment; may be repeated" },
    { "plugin", "PATH", plugin_read, "nomad-driver-agent (default: beside agent-dev)" },
    { "shim", "PATH", shim_read, "agent-shim (default: beside the plugin)" },
    { "sidecar", "PATH", sidecar_read, "agent-sidecar (default: beside the plugin)" },
    { "json", NULL, json_read, "one JSON object a line" },
};

static const struct {
    const char *word;
    enum dev_command command;
    bool takes_job;
} commands[] = {
    { "run", DEV_RUN, true },
    { "validate", DEV_VALIDATE, true },
    { "help", DEV_HELP, false },
    { "-h", DEV_HELP, false },
    { "-help", DEV_HELP, false },
    { "--help", DEV_HELP, false },
    { "version", DEV_VERSION, false },
    { "-version", DEV_VERSION, false },
    { "--version", DEV_VERSION, false },
};

static bool flag_unknown(const char *word, struct err *err)
{
    struct hcl_rule rules[COUNT(flags) + 1] = { 0 };
    for (size_t i = 0; i < COUNT(flags); i++)
        rules[i].name = flags[i].name;
    char name[64];
    (void)snprintf(name, sizeof name, "%.*s", (int)strcspn(word, "="), word);
    const char *near = hcl_suggest(name, rules);
    return err_set(err, ERR_INVALID, "unknown flag -%s%s%s%s", name, near ? "; did you mean -" : "",
                   near ? near : "", near ? "?" : "");
}

/* Reads the flag in `*words`; stands on its last word afterwards. */
static bool flag_read(struct dev_options *o, const char *const **words, struct err *err)
{
    const char *word = **words + ((**words)[1] == '-' ? 2 : 1);
    const size_t len = strcspn(word, "=");
    for (size_t i = 0; i < COUNT(flags); i++) {
        const struct flag *flag = &flags[i];
        if (strlen(flag->name) != len || strncmp(flag->name, word, len) != 0)
            continue;
        const char *value = word[len] ? word + len + 1 : NULL;
        if (value && !flag->shown)
            return err_set(err, ERR_INVALID, "-%s takes no value", flag->name);
        if (!value && flag->shown)
            value = *++*words;
        if (!value && flag->shown)
            return err_set(err, ERR_INVALID, "-%s needs a value: %s", flag->name, flag->shown);
        return flag->read(o, value, err) || err_wrap(err, "-%s", flag->name);
    }
    return flag_unknown(word, err);
}

static bool faults_check(const struct dev_options *o, struct err *err)
{
    for (size_t i = 0; i < o->fault_count; i++)
        if (o->faults[i].node > o->nodes)
            return err_set(err, ERR_INVALID, "a fault names node %u, there are %u",
                           o->faults[i].node, o->nodes);
    return true;
}

bool options_parse(const char *const *words, struct dev_options *out, struct err *err)
{
    *out = (struct dev_options){ .nodes = 1, .stop_after_ms = -1, .timeout_ms = -1 };
    size_t c = 0;
    while (*words && c < COUNT(commands) && strcmp(commands[c].word, *words) != 0)
        c++;
    if (!*words || c == COUNT(commands))
        return err_set(err, ERR_INVALID, "write agent-dev run JOB.hcl, validate JOB.hcl or help");
    out->command = commands[c].command;
    for (words++; *words; words++) {
        if ((*words)[0] == '-' && (*words)[1]) {
            if (!flag_read(out, &words, err))
                return false;
        } else if (out->job || !commands[c].takes_job) {
            return err_set(err, ERR_INVALID, "unexpected word \"%.60s\"", *words);
        } else {
            out->job = *words;
        }
    }
    if (commands[c].takes_job && !out->job)
        return err_set(err, ERR_INVALID, "%s needs a job file", commands[c].word);
    return faults_check(out, err);
}

void options_put_usage(struct buf *out)
{
    buf_put_str(
        out, "Usage: agent-dev run [flags] JOB.hcl\n"
             "       agent-dev validate [flags] JOB.hcl\n"
             "\n"
             "Runs the first task with driver = \"agent\" of a Nomad job file on this machine,\n"
             "without Nomad, through real plugin processes. Exits with the task's exit code, or\n"
             "that of what went wrong: 127 no such command, 126 it cannot be executed, 64 wrong\n"
             "usage or job, 66 something is not there, 77 not allowed, 75 may work later, 71 the\n"
             "system refused, 124 -timeout.\n"
             "\nFlags:\n");
    for (size_t i = 0; i < COUNT(flags); i++) {
        char head[40];
        (void)snprintf(head, sizeof head, "-%s%s%s", flags[i].name, flags[i].shown ? "=" : "",
                       flags[i].shown ? flags[i].shown : "");
        buf_put_fmt(out, "  %-28s %s\n", head, flags[i].doc);
    }
}
