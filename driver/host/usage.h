/* usage.h - what a task consumes: from its cgroup when the kernel counts there, else its processes.
 *
 * Two raw readings make a rate. Reading walks files and may take milliseconds with many processes:
 * call it on a worker. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/err.h"
#include "common/base/time.h"

struct usage_raw {
    struct mono at;
    int64_t user_ns, system_ns;
    int64_t rss_bytes, swap_bytes, cache_bytes, usage_bytes;
    int64_t throttled_periods, throttled_ns;
    bool has_cgroup_cpu, has_cgroup_memory; /* false: summed over processes */
};

struct usage {
    double percent, user_percent, system_percent; /* 100 is one full core */
    struct usage_raw raw;
};

/** Reads cgroup directory `cgroup` (absolute; "" for none) and, for what it does not count, the
 *  processes in it or else `pid` and its descendants. `root` is "" in production.
 *  Errors: NOT_FOUND no such process and no such cgroup; SYSTEM. */
MUST_USE bool usage_read(const char *root, const char *cgroup, pid_t pid, struct usage_raw *out,
                         struct err *err);

/** Rates between two readings; zero when they are not in order or lie less than 1 ms apart. */
struct usage usage_rate(const struct usage_raw *before, const struct usage_raw *now);
