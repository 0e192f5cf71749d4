#include "driver/plugin/stats.h"

#include "common/base/own.h"
#include "common/loop/loop.h"
#include "driver/plugin/reply.h"
#include "driver/plugin/status.h"

struct stats {
    struct tasks *tasks;
    struct rpc_call *call; /* NULL once it has ended */
    struct loop_timer *timer;
    char *task_id;
    int64_t interval_ms, core_mhz;
    struct boot due;
    bool is_sampling;
};

static void stats_free(struct stats *stats)
{
    loop_timer_freep(&stats->timer);
    str_freep(&stats->task_id);
    free(stats);
}

/* A sample that is being taken cannot be called back: it frees. */
static void ended(void *arg)
{
    struct stats *stats = arg;
    stats->call = NULL;
    loop_timer_freep(&stats->timer);
    if (!stats->is_sampling)
        stats_free(stats);
}

static bool is_known(struct tasks *tasks, const char *task_id, struct err *err)
{
    struct task_status status;
    return tasks_inspect(tasks, task_id, &status, err);
}

static void on_usage(void *arg, const struct task_usage *usage, const struct err *err)
{
    struct stats *stats = arg;
    stats->is_sampling = false;
    if (stats->call == NULL) {
        stats_free(stats);
        return;
    }
    if (err == NULL) {
        CLEANUP(buf_fini) struct buf message = { 0 };
        reply_put_usage(&message, stats->task_id, usage, wall_now(), stats->core_mhz);
        if (rpc_call_is_ready(stats->call))
            rpc_call_send(stats->call, buf_view(&message));
    } else if (!is_known(stats->tasks, stats->task_id, &(struct err){ 0 })) {
        rpc_call_end(stats->call, &(struct rpc_status){ RPC_OK, "", { 0 } });
        stats_free(stats);
    }
}

static void sample(struct stats *stats)
{
    if (stats->is_sampling || !rpc_call_is_ready(stats->call))
        return;
    stats->is_sampling = true;
    tasks_usage(stats->tasks, stats->task_id, on_usage, stats);
}

/* The next tick counts from the last one, not from now, so that the rate holds; a machine that
 * slept does not catch up. */
static void on_tick(void *arg)
{
    struct stats *stats = arg;
    struct boot now = boot_now();
    stats->due = boot_add_ms(stats->due, stats->interval_ms);
    if (stats->due.ns <= now.ns)
        stats->due = boot_add_ms(now, stats->interval_ms);
    loop_timer_arm(stats->timer, stats->due);
    sample(stats);
}

void stats_begin(const struct stats_spec *spec)
{
    struct err err;
    if (!is_known(spec->tasks, spec->task_id, &err)) {
        status_end(spec->call, &err, STATUS_OTHER);
        return;
    }
    struct stats *stats = mem_new(struct stats);
    stats->tasks = spec->tasks;
    stats->call = spec->call;
    stats->task_id = str_copy(spec->task_id);
    stats->core_mhz = spec->core_mhz;
    stats->interval_ms = spec->interval_ms == 0 ? STATS_INTERVAL_MS : spec->interval_ms;
    if (stats->interval_ms < STATS_INTERVAL_MIN_MS)
        stats->interval_ms = STATS_INTERVAL_MIN_MS;
    stats->timer = loop_timer_new(spec->loop, on_tick, stats);
    stats->due = boot_add_ms(boot_now(), stats->interval_ms);
    loop_timer_arm(stats->timer, stats->due);
    rpc_call_hold(stats->call, &(struct rpc_hold){ ended, NULL, stats });
    sample(stats);
}
