/* rig_test.h - calls on a table of tasks that wait for their answer, and a look at what is left.
 *
 * For the tests of this room, over the node of node_test.h. */
#pragma once
#include "driver/task/node_test.h"

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

/* The n-th id of the rig's task, lent by the rig; n < 64. */
static inline const char *rig_id(struct rig *rig, unsigned n)
{
    (void)snprintf(rig->ids[n], sizeof(rig->ids[n]), "%s/web/%08u", rig->alloc_id, n);
    return rig->ids[n];
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
    spec->config.memory_swap_mb = spec->config.memory_swappiness = -1; /* not asked */
    spec->config.command = str_copy("/bin/sh");
    str_list_add(&spec->config.args, view_str("-c"));
    str_list_add(&spec->config.args, view_str(script));
    spec->config.pid_mode = str_copy("private");
    spec->config.ipc_mode = str_copy("private");
    spec->config.umask = str_copy("022");
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
    tasks_recover(rig->tasks, id, state, rig_spec(rig, id, ""), on_done, &reply);
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
