/* usage.h - what a task consumes: from its cgroup when the kernel counts there, else its processes.
 *
 * Two raw readings make a rate. Reading takes a file or two for each process and thread of the task
 * and nothing of what else the node runs: call it on a worker. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/err.h"
#include "common/base/time.h"

struct usage_place {    /* borrows; who is measured */
    const char *v2;     /* its cgroup, absolute; "" none */
    const char *memory; /* its v1 cgroups, of itself alone; "" none */
    const char *cpu, *cpuacct;
    pid_t pid; /* its main process */
};

struct usage_raw {
    struct mono at;
    int64_t user_ns, system_ns;
    int64_t rss_bytes, swap_bytes, cache_bytes, usage_bytes;
    int64_t max_bytes, kernel_bytes, kernel_max_bytes;
    int64_t throttled_periods, throttled_ns;
    bool has_cgroup_cpu, has_cgroup_memory; /* false: summed over processes */
    bool has_throttling, has_max, has_kernel, has_kernel_max;
};

struct usage {
    double percent, user_percent, system_percent; /* 100 is one full core */
    struct usage_raw raw;
};

/** Reads the cgroups of `place` and, for what they do not count, the processes in its v2 cgroup and
 *  those below (1024, 16 deep: what a task or an exec makes there) or else its process and all
 * descendants (one that is born or ends meanwhile may be left out). `root` is "" in production.
 * Errors: NOT_FOUND no such process and no such cgroup; SYSTEM. */
MUST_USE bool usage_read(const char *root, const struct usage_place *place, struct usage_raw *out,
                         struct err *err);

/** The child of `parent` whose name is `name`, as the kernel has it (15 bytes); 0 none. */
pid_t usage_child(const char *root, pid_t parent, const char *name);

/** Both together; a value is measured when it is for one of them. */
struct usage usage_sum(const struct usage *a, const struct usage *b);

/** Rates between two readings; zero when they are not in order or lie less than 1 ms apart. */
struct usage usage_rate(const struct usage_raw *before, const struct usage_raw *now);
