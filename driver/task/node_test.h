/* node_test.h - a node in a temporary directory: task directories, log FIFOs, a table of tasks.
 *
 * For the tests of this room. The shim is the real one; a test is skipped when it is not built. */
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
    char last_id[128], ids[64][64];
};

/* One answer; a test waits for `is_done`. */
struct reply {
    struct rig *rig;
    bool is_done, is_ok;
    unsigned count;
    struct err err;
    struct task_result result;
    struct task_usage usage;
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

static inline void on_usage(void *arg, const struct task_usage *usage, const struct err *err)
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
