#include "driver/dev/node.h"

#include "common/base/own.h"
#include "common/cgroup/cgroup.h"
#include "common/loop/loop.h"
#include "driver/dev/alloc.h"
#include "driver/dev/dirs.h"
#include "driver/hclspec/encode.h"
#include "driver/dev/guard.h"
#include "driver/dev/job.h"
#include "driver/dev/options.h"
#include "driver/dev/plugin.h"
#include "driver/dev/setup.h"
#include "driver/dev/tap.h"
#include "driver/dev/timeline.h"
#include "driver/dev/wire.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DRIVER        "/hashicorp.nomad.plugins.drivers.proto.Driver/"
#define STEP_MS       60000 /* of a call that only asks */
#define STOP_SLACK_MS 20000 /* a driver may take this much longer than kill_timeout */

enum stage { STAGE_SETUP, STAGE_STARTING, STAGE_RUNNING, STAGE_PAUSE, STAGE_OVER };

struct node {
    struct node_spec spec;
    struct node_dirs dirs;
    struct alloc_place place;
    char name[16], node_id[ALLOC_ID_BYTES], alloc_id[ALLOC_ID_BYTES];
    char *alloc_dir, *task_id;
    struct cgroup cgroup;
    struct plugin *plugin;
    struct setup setup;
    struct vars vars;
    struct tap *out, *err;
    struct loop_timer *pause;
    enum stage stage;
    struct job_restarts restarts;
    int exit_code;
    bool is_stopping, is_killed, is_settled, is_gone, is_active, is_plugin_gone, is_kill_done,
        is_start_asked, is_stop_sent;
    void (*on_looked)(void *arg, struct node *node);
    void *looked_arg;
};

static void task_begin(struct node *n);

#define SAY(n, event, ...) \
    timeline_put((n)->spec.timeline, (n)->spec.number, TIMELINE_##event, __VA_ARGS__)

static void settle(struct node *n)
{
    if (!n->is_settled)
        n->spec.on_settled(n->spec.arg, n);
    n->is_settled = true;
}

static void over(struct node *n)
{
    if (n->stage == STAGE_OVER)
        return;
    n->stage = STAGE_OVER;
    loop_timer_cancel(n->pause);
    tap_close(STEAL(n->out));
    tap_close(STEAL(n->err));
    settle(n);
    n->spec.on_over(n->spec.arg, n);
}

static void fail(struct node *n, const char *doing, const struct err *err);

/* As a shell says it: the agent's program is not there, or is not to be executed. */
static void fail_start(struct node *n, const struct err *err)
{
    static const char command[] = "task config: command:";            /* looked at by the driver */
    static const char execute[] = "could not be started: execute \""; /* tried by the shim */
    if (strncmp(err->msg, command, sizeof(command) - 1) == 0 || strstr(err->msg, execute) != NULL)
        n->exit_code = err->kind == ERR_NOT_FOUND ? 127 : 126;
    fail(n, "start the task", err);
}

static void fail(struct node *n, const char *doing, const struct err *err)
{
    SAY(n, ERROR, "%s: %s", doing, err->msg);
    if (n->exit_code < 0)
        n->exit_code = err_exit_code(err->kind);
    over(n);
}

/* --- the calls before the first task -----------------------------------------------------------
 */

static void on_fingerprint(void *arg, struct view message)
{
    struct node *n = arg;
    struct wire_health health;
    struct err err = { 0 };
    if (n->is_start_asked || n->stage != STAGE_SETUP)
        return;
    n->is_start_asked = true;
    if (!wire_health(message, &health, &err)) {
        fail(n, "ask for the driver's health", &err);
    } else if (!health.is_healthy) {
        (void)err_set(&err, ERR_UNAVAILABLE, "%s", health.description);
        fail(n, "driver is not healthy", &err);
    } else {
        task_begin(n);
    }
}

static void on_task_event(void *arg, struct view message)
{
    struct node *n = arg;
    char text[WIRE_TEXT_BYTES];
    struct err err;
    if (wire_event(message, text, &err))
        SAY(n, TASK, "%s", text);
}

static void on_stream_end(void *arg, const char *why)
{
    struct node *n = arg;
    if (n->stage != STAGE_OVER && !n->is_killed && !n->is_plugin_gone)
        SAY(n, ERROR, "a stream of the driver ended: %s", why);
}

static void on_setup(void *arg, const char *doing, const struct err *err)
{
    struct node *n = arg;
    if (n->stage == STAGE_OVER)
        return;
    if (err) {
        fail(n, doing, err);
        return;
    }
    SAY(n, NODE, "driver agent %s", n->setup.version);
    n->place.is_image = n->setup.is_image;
    const struct view nothing = view_of("", 0);
    plugin_stream(n->plugin, DRIVER "TaskEvents", nothing, on_task_event, on_stream_end, n);
    plugin_stream(n->plugin, DRIVER "Fingerprint", nothing, on_fingerprint, on_stream_end, n);
}

/* The plugin's config block as an operator would write it for this node. */
static bool configure(struct node *n, struct err *err)
{
    CLEANUP(str_freep) char *store = str_format("file://%s?create=true", n->dirs.store);
    CLEANUP(str_freep) char *key = str_format("%s/agent.key", n->spec.dirs->data);
    CLEANUP(str_freep) char *tasks = str_format("%s/tasks", n->cgroup.path);
    const struct {
        const char *key, *value;
    } rows[] = {
        { "state_dir", n->dirs.state },
        { "run_dir", n->dirs.run },
        { "store", store },
        { "key_file", key },
        { "shim", n->spec.options->shim },
        { "sidecar", n->spec.options->sidecar },
        { "cgroup_parent", cgroup_is_open(&n->cgroup) ? tasks : NULL },
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        if (!setup_configure(&n->setup, rows[i].key, rows[i].value, err))
            return false;
    /* Whoever runs it owns this node; a job still reaches only what it names. */
    buf_put_str(&n->setup.config, "allow_host_paths = [\"/\"]\n");
    return true;
}

static void on_ready(void *arg, const struct err *err)
{
    struct node *n = arg;
    struct err why = { 0 };
    n->setup.plugin = n->plugin;
    n->setup.on_done = on_setup;
    n->setup.arg = n;
    if (err)
        fail(n, "start the plugin", err);
    else if (!configure(n, &why))
        fail(n, "configure the plugin", &why);
    else if (n->stage != STAGE_OVER)
        setup_begin(&n->setup);
}

static void on_stdout(void *arg, const char *line)
{
    struct node *n = arg;
    SAY(n, STDOUT, "%s", line);
}

static void on_stderr(void *arg, const char *line)
{
    struct node *n = arg;
    SAY(n, STDERR, "%s", line);
}

static void on_destroyed(void *arg, struct view reply, const struct err *err)
{
    struct node *n = arg;
    (void)reply;
    if (err && n->stage != STAGE_OVER && err->kind != ERR_UNAVAILABLE)
        SAY(n, ERROR, "destroy the task: %s", err->msg);
    if (n->stage == STAGE_PAUSE)
        return; /* a restart follows */
    over(n);
}

static void destroy(struct node *n)
{
    CLEANUP(buf_fini) struct buf request = { 0 };
    wire_put_destroy(&request, n->task_id);
    plugin_call(n->plugin, DRIVER "DestroyTask", buf_view(&request), STEP_MS, on_destroyed, n);
}

static void on_pause_end(void *arg)
{
    struct node *n = arg;
    if (n->stage != STAGE_PAUSE)
        return;
    SAY(n, NODE, "restarting the task");
    task_begin(n);
}

static void on_waited(void *arg, struct view reply, const struct err *failed)
{
    struct node *n = arg;
    struct wire_result result = { 0 };
    struct err err = { 0 };
    if (n->stage != STAGE_RUNNING || (failed && (n->is_killed || n->is_plugin_gone)))
        return;
    if (failed && failed->kind == ERR_UNAVAILABLE) {
        plugin_kill(n->plugin); /* the connection broke: its end is told by on_plugin_gone */
        return;
    }
    if (failed || !wire_result(reply, &result, &err)) {
        fail(n, "wait for the task", failed ? failed : &err);
        return;
    }
    tap_close(STEAL(n->out));
    tap_close(STEAL(n->err));
    n->exit_code = result.exit_code;
    SAY(n, EXITED, "task ended: exit code %d%s%s%s", result.exit_code,
        result.oom_killed ? ", out of memory" : "", *result.err ? ", " : "", result.err);
    const bool may_restart = n->exit_code != 0 && !n->is_stopping && !n->is_killed;
    if (may_restart && job_restart_is_due(&n->spec.job->restart, &n->restarts, boot_now())) {
        n->stage = STAGE_PAUSE;
        loop_timer_arm(n->pause, boot_add_ms(boot_now(), n->spec.job->restart.delay_ms));
    }
    destroy(n);
}

static void on_started(void *arg, struct view reply, const struct err *failed)
{
    struct node *n = arg;
    CLEANUP(buf_fini) struct buf request = { 0 };
    struct err err = { 0 };
    if (n->stage != STAGE_STARTING)
        return;
    if (failed || !wire_started(reply, &err)) {
        fail_start(n, failed ? failed : &err);
        return;
    }
    n->stage = STAGE_RUNNING;
    SAY(n, STARTED, "task started");
    settle(n);
    wire_put_id(&request, n->task_id);
    plugin_call(n->plugin, DRIVER "WaitTask", buf_view(&request), 0, on_waited, n);
    if (n->is_stopping)
        node_stop(n);
}

static bool taps_open(struct node *n, struct err *err)
{
    CLEANUP(str_freep)
    char *out = str_format("%s/alloc/logs/.%s.stdout.fifo", n->alloc_dir, n->spec.job->task);
    CLEANUP(str_freep)
    char *errors = str_format("%s/alloc/logs/.%s.stderr.fifo", n->alloc_dir, n->spec.job->task);
    return tap_open(n->spec.loop, out, on_stdout, n, &n->out, err) &&
           tap_open(n->spec.loop, errors, on_stderr, n, &n->err, err);
}

static bool start_put(struct node *n, struct buf *request, struct err *err)
{
    CLEANUP(buf_fini) struct buf msgpack = { 0 };
    CLEANUP(buf_fini) struct buf task = { 0 };
    char suffix[ALLOC_ID_BYTES];
    alloc_make_id(suffix);
    suffix[8] = '\0';
    free(n->task_id);
    n->task_id = str_format("%s/%s/%s", n->alloc_id, n->spec.job->task, suffix);
    if (!config_encode(n->setup.task_schema, n->spec.job->tree, n->spec.job->config, &n->vars,
                       &msgpack, err) ||
        !taps_open(n, err))
        return false;
    alloc_put_task(n->spec.job, &n->place, &n->vars, n->task_id, buf_view(&msgpack), &task);
    wire_put_start(request, buf_view(&task));
    return true;
}

static bool alloc_prepare(struct node *n, struct err *err)
{
    if (n->vars.count)
        return true; /* a restart keeps its directories */
    return alloc_vars(n->spec.job, &n->place, &n->vars, err) &&
           alloc_dirs_make(n->spec.job, &n->place, &n->vars, err);
}

static void task_begin(struct node *n)
{
    CLEANUP(buf_fini) struct buf request = { 0 };
    struct err err = { 0 };
    n->stage = STAGE_STARTING;
    if (n->is_stopping) {
        over(n);
        return;
    }
    if (!alloc_prepare(n, &err) || !start_put(n, &request, &err))
        fail(n, "start the task", &err);
    else
        plugin_call(n->plugin, DRIVER "StartTask", buf_view(&request), 0, on_started, n);
}

/* --- the plugin process ------------------------------------------------------------------------
 */

static void looked(struct node *n)
{
    void (*on_looked)(void *, struct node *) = n->on_looked;
    n->on_looked = NULL;
    if (on_looked)
        on_looked(n->looked_arg, n);
}

static void gone_maybe(struct node *n)
{
    if (n->is_gone || !n->is_plugin_gone || (n->is_killed && !n->is_kill_done))
        return;
    n->is_gone = true;
    n->spec.on_gone(n->spec.arg, n);
}

static void on_plugin_gone(void *arg, const char *how)
{
    struct node *n = arg;
    n->is_plugin_gone = true;
    if (n->stage != STAGE_OVER && !n->is_killed) {
        SAY(n, ERROR, "the plugin is gone: %s; its log is %s", how, n->dirs.log);
        if (n->exit_code < 0)
            n->exit_code = err_exit_code(ERR_UNAVAILABLE);
    }
    looked(n);
    over(n);
    gone_maybe(n);
}

static bool cgroup_make(struct node *n, struct cgroup *plugin, struct err *err)
{
    if (!*n->spec.cgroup)
        return true;
    struct cgroup tasks = CGROUP_NONE;
    CLEANUP(str_freep) char *node_path = str_format("%s/%s", n->spec.cgroup, n->name);
    CLEANUP(str_freep) char *plugin_path = str_format("%s/plugin", node_path);
    CLEANUP(str_freep) char *tasks_path = str_format("%s/tasks", node_path);
    const bool ok = cgroup_open(node_path, true, &n->cgroup, err) &&
                    cgroup_open(tasks_path, true, &tasks, err) &&
                    cgroup_open(plugin_path, true, plugin, err);
    cgroup_fini(&tasks);
    return ok;
}

static bool process_start(struct node *n, struct err *err)
{
    struct cgroup cgroup = CGROUP_NONE;
    bool ok = node_dirs_make(n->spec.dirs, n->spec.number, &n->dirs, err) &&
              cgroup_make(n, &cgroup, err);
    const struct plugin_spec spec = { .loop = n->spec.loop,
                                      .rpc = n->spec.rpc,
                                      .path = n->spec.plugin_path,
                                      .log_path = n->dirs.log,
                                      .tmp_dir = n->dirs.run,
                                      .cgroup_fd = cgroup.dir.raw,
                                      .on_ready = on_ready,
                                      .on_gone = on_plugin_gone,
                                      .arg = n };
    ok = ok && plugin_start(&spec, &n->plugin, err);
    cgroup_fini(&cgroup);
    return ok;
}

bool node_start(const struct node_spec *spec, struct node **out, struct err *err)
{
    struct node *n = mem_new(struct node);
    n->spec = *spec;
    n->cgroup = CGROUP_NONE;
    n->exit_code = -1;
    (void)snprintf(n->name, sizeof n->name, "node-%u", spec->number);
    alloc_make_id(n->node_id);
    alloc_make_id(n->alloc_id);
    if (!process_start(n, err)) {
        n->is_gone = true;
        node_free(n);
        return err_wrap(err, "node-%u", spec->number);
    }
    n->alloc_dir = str_format("%s/%s", n->dirs.alloc, n->alloc_id);
    n->place = (struct alloc_place){ .node = spec->number,
                                     .node_name = n->name,
                                     .node_id = n->node_id,
                                     .alloc_id = n->alloc_id,
                                     .alloc_dir = n->alloc_dir,
                                     .meta = spec->options->meta,
                                     .env = spec->options->env };
    n->pause = loop_timer_new(spec->loop, on_pause_end, n);
    *out = n;
    return true;
}

void node_free(struct node *node)
{
    if (!node)
        return;
    assert(node->is_gone);
    plugin_free(node->plugin);
    loop_timer_freep(&node->pause);
    cgroup_fini(&node->cgroup);
    setup_fini(&node->setup);
    vars_fini(&node->vars);
    node_dirs_fini(&node->dirs);
    free(node->alloc_dir);
    free(node->task_id);
    free(node);
}

unsigned node_number(const struct node *node) { return node->spec.number; }
bool node_is_over(const struct node *node) { return node->stage == STAGE_OVER; }
bool node_is_gone(const struct node *node) { return node->is_gone; }
bool node_is_active(const struct node *node) { return node->is_active; }
int node_exit_code(const struct node *node) { return node->exit_code; }
bool node_ended_alone(const struct node *node)
{
    return node->stage == STAGE_OVER && !node->is_stopping && !node->is_killed;
}

/* --- what is done to it ------------------------------------------------------------------------
 */

static void on_inspected(void *arg, struct view reply, const struct err *err)
{
    struct node *n = arg;
    n->is_active = !err && n->stage == STAGE_RUNNING && wire_is_running(reply);
    looked(n);
}

static void on_look_late(void *arg) { looked(arg); }

void node_look(struct node *node, void (*on_looked)(void *arg, struct node *node), void *arg)
{
    assert(!node->on_looked);
    node->on_looked = on_looked;
    node->looked_arg = arg;
    if (node->stage != STAGE_RUNNING || node->is_plugin_gone) {
        node->is_active = false;
        loop_post(node->spec.loop, on_look_late, node);
        return;
    }
    CLEANUP(buf_fini) struct buf request = { 0 };
    wire_put_id(&request, node->task_id);
    plugin_call(node->plugin, DRIVER "InspectTask", buf_view(&request), 2000, on_inspected, node);
}

static void on_stopped(void *arg, struct view reply, const struct err *err)
{
    struct node *n = arg;
    (void)reply;
    if (!err || n->stage == STAGE_OVER || n->is_killed || n->is_plugin_gone)
        return; /* WaitTask tells the rest */
    SAY(n, ERROR, "stop the task: %s", err->msg);
    destroy(n);
}

static void stop_send(struct node *n)
{
    const struct job *job = n->spec.job;
    CLEANUP(buf_fini) struct buf request = { 0 };
    wire_put_stop(&request, n->task_id, job->kill_timeout_ms, job->kill_signal);
    plugin_call(n->plugin, DRIVER "StopTask", buf_view(&request),
                job->kill_timeout_ms + STOP_SLACK_MS, on_stopped, n);
}

static void on_over_late(void *arg) { over(arg); }

void node_stop(struct node *node)
{
    node->is_stopping = true;
    switch (node->stage) {
    case STAGE_SETUP:
    case STAGE_PAUSE:
        loop_post(node->spec.loop, on_over_late, node);
        return;
    case STAGE_STARTING: /* once StartTask is answered */
    case STAGE_OVER:
        return;
    case STAGE_RUNNING:
        if (!node->is_stop_sent)
            stop_send(node);
        node->is_stop_sent = true;
        return;
    }
}

static void on_kill_done(void *arg)
{
    struct node *n = arg;
    n->is_kill_done = true;
    over(n);
    gone_maybe(n);
}

static void on_killed(void *arg, int64_t spent_ms, const struct err *err)
{
    struct node *n = arg;
    if (err)
        SAY(n, ERROR, "%s", err->msg);
    else
        SAY(n, NODE, "no process is left, %lld ms after the kill", (long long)spent_ms);
    on_kill_done(n);
}

void node_kill(struct node *node)
{
    if (node->is_killed || node->is_gone)
        return;
    node->is_killed = true;
    if (cgroup_is_open(&node->cgroup)) {
        guard_kill(node->spec.loop, node->cgroup.path, on_killed, node);
        return;
    }
    plugin_kill(node->plugin);
    loop_post(node->spec.loop, on_kill_done, node);
}

bool node_cut(struct node *node, struct err *err) { return node_dirs_cut(&node->dirs, err); }

void node_shutdown(struct node *node)
{
    if (!node->is_plugin_gone)
        plugin_shutdown(node->plugin);
}
