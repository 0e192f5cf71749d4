/* stats.h - one TaskStats stream: a sample at once, then one each interval, until somebody ends it.
 *
 * At most one sample and one message are on their way: ticks of a slow disk or a slow reader
 * coalesce. When the task has ended the stream ends well. */
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

/** Keeps the call. Loop thread. */
void stats_begin(const struct stats_spec *spec);
