/* rig_test.h - a node in a temporary directory: task directories, log FIFOs, a table of tasks.
 *
 * For the tests of this room. The shim is the real one when it was built, else a test is skipped;
 * or this test program itself under the name of a script (fake_shim_test.h). */
#pragma once
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/fd.h"
#include "common/base/file.h"
#include "common/base/own.h"
#include "common/base/time.h"
#include "common/log/log.h"
#include "common/loop/loop.h"
#include "driver/nomad/plugin_config.h"
#include "driver/nomad/task_spec.h"
#include "driver/task/task.h"

#define RIG_WAIT_MS 15000

struct rig {
    char root[32];
    char *alloc, *fifo_out, *fifo_err;
    struct loop *loop;
    struct plugin_config config;
    struct tasks *tasks;
    struct fd out, err; /* read ends of the FIFOs */
    char alloc_id[40];  /* of this test alone: the agent's cgroup is named after it */
    struct buf state;   /* driver_state of the last start */
    char events[2048];
    char last_id[128];
};

/* One answer; a test waits for `is_done`. */
struct reply {
    struct rig *rig;
    bool is_done, is_ok;
    unsigned count;
    struct err err;
    struct task_result result;
    struct usage usage;
};

static inline void rig_on_event(void *arg, const struct task_event *event)
{
    struct rig *rig = arg;
    const size_t len = strlen(rig->events);
    (void)snprintf(rig->events + len, sizeof(rig->events) - len, "%s\n", event->message);
}

static inline void reply_end(struct reply *reply, const struct err *err)
{
    reply->is_done = true;
    reply->is_ok = err == NULL;
    reply->count++;
    if (err)
        reply->err = *err;
    loop_quit(reply->rig->loop);
}

static inline void on_started(void *arg, const struct task_handle *handle, const struct err *err)
{
    struct reply *reply = arg;
    if (handle) {
        reply->rig->state.len = 0;
        buf_put(&reply->rig->state, handle->driver_state);
    }
    reply_end(reply, err);
}

static inline void on_done(void *arg, const struct err *err) { reply_end(arg, err); }

static inline void on_result(void *arg, const struct task_result *result, const struct err *err)
{
    struct reply *reply = arg;
    if (result)
        reply->result = *result;
    reply_end(reply, err);
}

static inline void on_usage(void *arg, const struct usage *usage, const struct err *err)
{
    struct reply *reply = arg;
    if (usage)
        reply->usage = *usage;
    reply_end(reply, err);
}

static inline void rig_quit(void *arg) { loop_quit(arg); }

/* Runs the loop until `*flag`; at most RIG_WAIT_MS. */
static inline void rig_until(struct rig *rig, const bool *flag)
{
    struct loop_timer *late = loop_timer_new(rig->loop, rig_quit, rig->loop);
    const struct boot end = boot_add_ms(boot_now(), RIG_WAIT_MS);
    loop_timer_arm(late, end);
    while (!*flag && boot_now().ns < end.ns)
        loop_run(rig->loop);
    loop_timer_free(late);
    cr_assert(*flag, "no answer in %d ms", RIG_WAIT_MS);
}

/* Runs the loop for a while, whatever happens. */
static inline void rig_run_ms(struct rig *rig, int64_t ms)
{
    struct loop_timer *late = loop_timer_new(rig->loop, rig_quit, rig->loop);
    const struct boot end = boot_add_ms(boot_now(), ms);
    loop_timer_arm(late, end);
    while (boot_now().ns < end.ns)
        loop_run(rig->loop);
    loop_timer_free(late);
}

static inline void rig_new_tasks(struct rig *rig)
{
    struct reply opened = { .rig = rig };
    rig->tasks = tasks_new(rig->loop, &rig->config, rig_on_event, rig);
    tasks_open(rig->tasks, on_done, &opened);
    rig_until(rig, &opened.is_done);
    cr_assert(opened.is_ok, "%s", opened.err.msg);
}

/* As a plugin that ends: the tasks are left alone. */
static inline void rig_end_tasks(struct rig *rig)
{
    struct reply closed = { .rig = rig };
    tasks_close(rig->tasks, on_done, &closed);
    rig_until(rig, &closed.is_done);
    tasks_free(rig->tasks);
    rig->tasks = NULL;
}

/* A plugin that died and its successor. */
static inline void rig_restart(struct rig *rig)
{
    rig_end_tasks(rig);
    rig_new_tasks(rig);
}

static inline char *rig_real_shim(void)
{
    char self[4096];
    const ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
    cr_assert_gt(len, 0);
    self[len] = '\0';
    *strrchr(self, '/') = '\0';
    *strrchr(self, '/') = '\0';
    char *shim = str_format("%s/bin/agent-shim", self);
    if (access(shim, X_OK) != 0)
        cr_skip_test("%s is not built", shim);
    return shim;
}

static inline struct fd rig_fifo(const char *path)
{
    cr_assert_eq(mkfifo(path, 0600), 0);
    const struct fd reader = { open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC) };
    cr_assert(fd_is_open(reader));
    return reader;
}

/* `shim` is owned by the rig afterwards. */
static inline void rig_init(struct rig *rig, char *shim)
{
    struct err err = { 0 };
    *rig = (struct rig){ .root = "/tmp/task-XXXXXX", .loop = loop_new() };
    log_init("test", LOG_ERROR);
    cr_assert_not_null(mkdtemp(rig->root));
    (void)snprintf(rig->alloc_id, sizeof(rig->alloc_id), "8c1d8a5e-0000-0000-0000-%s",
                   rig->root + strlen(rig->root) - 6);
    rig->alloc = str_format("%s/alloc", rig->root);
    char *local = str_format("%s/web/local", rig->alloc);
    cr_assert(dir_make(local, 0755, &err), "%s", err.msg);
    free(local);
    rig->fifo_out = str_format("%s/out.fifo", rig->root);
    rig->fifo_err = str_format("%s/err.fifo", rig->root);
    rig->out = rig_fifo(rig->fifo_out);
    rig->err = rig_fifo(rig->fifo_err);
    cr_assert(plugin_config_decode(view_of("", 0), &rig->config, NULL, &err));
    free(rig->config.state_dir);
    free(rig->config.run_dir);
    rig->config.state_dir = str_format("%s/state", rig->root);
    rig->config.run_dir = str_format("%s/run", rig->root);
    rig->config.shim = shim;
    rig_new_tasks(rig);
}

static inline void rig_fini(struct rig *rig)
{
    struct err err = { 0 };
    if (rig->tasks) {
        struct reply gone = { .rig = rig };
        tasks_destroy(rig->tasks, rig->last_id, true, on_done, &gone);
        rig_until(rig, &gone.is_done);
        rig_end_tasks(rig);
    }
    fd_closep(&rig->out);
    fd_closep(&rig->err);
    cr_assert(dir_remove_tree(rig->root, &err), "%s", err.msg);
    free(rig->alloc);
    free(rig->fifo_out);
    free(rig->fifo_err);
    plugin_config_fini(&rig->config);
    buf_fini(&rig->state);
    loop_free(rig->loop);
}

/* `/bin/sh -c script`; FIFOs for logs. */
static inline struct task_spec *rig_spec(const struct rig *rig, const char *id, const char *script)
{
    struct task_spec *spec = mem_new(struct task_spec);
    spec->id = str_copy(id);
    spec->name = str_copy("web");
    spec->alloc_id = str_copy(rig->alloc_id);
    spec->alloc_dir = str_copy(rig->alloc);
    spec->user = str_copy("");
    spec->stdout_path = str_copy(rig->fifo_out);
    spec->stderr_path = str_copy(rig->fifo_err);
    spec->job_id = str_copy("job");
    spec->job_name = str_copy("job");
    spec->group_name = str_copy("group");
    spec->namespace_name = str_copy("default");
    spec->node_name = str_copy("node");
    spec->node_id = str_copy("node-id");
    spec->config.command = str_copy("/bin/sh");
    str_list_add(&spec->config.args, view_str("-c"));
    str_list_add(&spec->config.args, view_str(script));
    buf_put(&spec->env, view_of("MARK=canary\0PATH=/usr/bin:/bin\0", 31));
    spec->env_count = 2;
    return spec;
}

static inline struct reply rig_start(struct rig *rig, struct task_spec *spec)
{
    struct reply reply = { .rig = rig };
    (void)snprintf(rig->last_id, sizeof(rig->last_id), "%s", spec->id);
    tasks_start(rig->tasks, spec, on_started, &reply);
    cr_assert_not(reply.is_done, "an answer inside the call");
    rig_until(rig, &reply.is_done);
    cr_assert_eq(reply.count, 1);
    return reply;
}

static inline void rig_start_ok(struct rig *rig, const char *id, const char *script)
{
    const struct reply reply = rig_start(rig, rig_spec(rig, id, script));
    cr_assert(reply.is_ok, "%s", reply.err.msg);
}

static inline struct reply rig_wait(struct rig *rig, const char *id)
{
    struct reply reply = { .rig = rig };
    (void)tasks_wait(rig->tasks, id, on_result, &reply);
    cr_assert_not(reply.is_done, "an answer inside the call");
    rig_until(rig, &reply.is_done);
    return reply;
}

static inline struct reply rig_stop(struct rig *rig, const char *id, const char *signal_name,
                                    int64_t timeout_ms)
{
    struct reply reply = { .rig = rig };
    tasks_stop(rig->tasks, id, signal_name, timeout_ms, on_done, &reply);
    rig_until(rig, &reply.is_done);
    return reply;
}

static inline struct reply rig_destroy(struct rig *rig, const char *id, bool force)
{
    struct reply reply = { .rig = rig };
    tasks_destroy(rig->tasks, id, force, on_done, &reply);
    rig_until(rig, &reply.is_done);
    return reply;
}

static inline struct reply rig_recover(struct rig *rig, const char *id, struct view state)
{
    struct reply reply = { .rig = rig };
    tasks_recover(rig->tasks, id, state, on_done, &reply);
    cr_assert_not(reply.is_done, "an answer inside the call");
    rig_until(rig, &reply.is_done);
    return reply;
}

/* Text on the task's stdout: reads until it holds `wanted`, running the loop between. */
static inline void rig_read_until(struct rig *rig, const char *wanted)
{
    char text[4096] = "";
    size_t len = 0;
    const struct boot end = boot_add_ms(boot_now(), RIG_WAIT_MS);
    while (!strstr(text, wanted)) {
        const ssize_t got = read(rig->out.raw, text + len, sizeof(text) - 1 - len);
        if (got > 0)
            len += (size_t)got;
        text[len] = '\0';
        cr_assert(boot_now().ns < end.ns, "no \"%s\" in: %s", wanted, text);
        rig_run_ms(rig, 5);
    }
}

/* Entries below `<root>/<dir>`. */
static inline size_t rig_count(const struct rig *rig, const char *dir)
{
    char command[256], text[32] = "";
    (void)snprintf(command, sizeof(command), "ls %s/%s 2>/dev/null | wc -l", rig->root, dir);
    FILE *pipe = popen(command, "re");
    cr_assert_not_null(fgets(text, sizeof(text), pipe));
    (void)pclose(pipe);
    return (size_t)strtoul(text, NULL, 10);
}
