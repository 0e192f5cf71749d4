/* observe.h - what is counted: one table of counters and gauges, one struct of numbers.
 *
 * A leaf: rooms count into it, the API shows it. Owned by one thread, the loop's; workers hand
 * their numbers over with their results. No names are made at run time, nothing is allocated. */
#pragma once
#include <stddef.h>
#include <stdint.h>

/* Names follow Prometheus: counters end in _total, units are base units. */
#define OBSERVE_METRICS(X) /* member, type, name, help */                                         \
    X(epoch, GAUGE, "agent_epoch", "Epoch of the lease held, 0 without one")                      \
    X(checkpoints, COUNTER, "agent_checkpoints_total", "Checkpoints committed by this process")   \
    X(checkpoints_unchanged, COUNTER, "agent_checkpoints_unchanged_total",                        \
      "Scans that found nothing to commit")                                                       \
    X(checkpoints_failed, COUNTER, "agent_checkpoints_failed_total", "Checkpoints that failed")   \
    X(checkpoints_fuzzy, COUNTER, "agent_checkpoints_fuzzy_total",                                \
      "Checkpoints cut without a complete freeze")                                                \
    X(checkpoint_bytes, COUNTER, "agent_checkpoint_stored_bytes_total",                           \
      "Bytes put into the store")                                                                 \
    X(checkpoint_us, COUNTER, "agent_checkpoint_microseconds_total",                              \
      "Time from the start of a checkpoint to its commit")                                        \
    X(barriers, COUNTER, "agent_barriers_total", "Barriers answered with success")                \
    X(barriers_failed, COUNTER, "agent_barriers_failed_total", "Barriers answered with an error") \
    X(restores, COUNTER, "agent_restores_total", "Restores completed")                            \
    X(restore_us, GAUGE, "agent_restore_last_microseconds", "Duration of the last restore")       \
    X(freeze_us, GAUGE, "agent_freeze_last_microseconds", "How long the agent last stood still")  \
    X(freeze_failed, COUNTER, "agent_freezes_failed_total", "Freezes not confirmed in time")      \
    X(degraded, GAUGE, "agent_degraded", "1 while something is wrong that is handled")            \
    X(outages, COUNTER, "agent_outages_total", "Times the state became degraded")                 \
    X(api_requests, COUNTER, "agent_api_requests_total", "Requests to the local API")             \
    X(api_refused, COUNTER, "agent_api_refused_total", "Requests answered with 4xx or 5xx")

struct observe {
#define OBSERVE_MEMBER(member, type, name, help) int64_t member;
    OBSERVE_METRICS(OBSERVE_MEMBER)
#undef OBSERVE_MEMBER
};

enum observe_type { OBSERVE_COUNTER, OBSERVE_GAUGE };
struct observe_row {
    const char *name, *help; /* static */
    enum observe_type type;
    int64_t value;
};

/** How many rows there are. */
size_t observe_count(void);
/** Row `index` with its value now; `index` < observe_count() (asserted). */
struct observe_row observe_row(const struct observe *o, size_t index);
