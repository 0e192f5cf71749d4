/* stats.h - one TaskStats stream: a sample at once, then one each interval, until somebody ends it.
 *
 * At most one sample and one message are on their way: ticks of a slow disk or a slow reader
 * coalesce. A task that has ended has no samples, and its stream stays open and silent until the
 * task is destroyed: an agent that saw the end would open it again. */
#pragma once
#include "driver/rpc/server.h"

struct loop;
struct tasks;

#define STATS_INTERVAL_MS     1000 /* when the agent names none */
#define STATS_INTERVAL_MIN_MS 100

struct stats_spec {
    struct loop *loop;
    struct tasks *tasks;
    struct rpc_call *call; /* in its handler */
    const char *task_id;   /* copied */
    int64_t interval_ms;
    int64_t core_mhz; /* for ticks */
};

/** Keeps the call, or ends it NOT_FOUND when the task is not known. Loop thread. */
void stats_begin(const struct stats_spec *spec);
