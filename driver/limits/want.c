#include "driver/limits/want.h"

#include <inttypes.h>

#include "driver/nomad/plugin_config.h"
#include "driver/nomad/task_spec.h"

#define MIB            ((int64_t)1 << 20)
#define MIB_MAX        (INT64_MAX / MIB)
#define QUOTA_FLOOR_US 1000 /* the kernel refuses less */

static int64_t bytes_of(int64_t mib) { return mib > MIB_MAX ? INT64_MAX : mib * MIB; }

static void want_memory(const struct task_resources *r, struct limits_want *out)
{
    out->has_memory = r->memory_mb > 0 || r->memory_max_mb != 0;
    if (r->memory_max_mb == 0) {
        out->memory_hard = bytes_of(r->memory_mb > 0 ? r->memory_mb : 0);
        return;
    }
    out->memory_hard = r->memory_max_mb > 0 ? bytes_of(r->memory_max_mb) : 0;
    out->memory_soft = r->memory_mb > 0 ? bytes_of(r->memory_mb) : 0;
}

static bool want_swap(const struct task_config *config, struct limits_want *out, struct err *err)
{
    out->is_swap_asked = config->memory_swap_mb >= 0;
    out->swap = out->is_swap_asked ? bytes_of(config->memory_swap_mb) : 0;
    out->swappiness = config->memory_swappiness;
    return !out->is_swap_asked || out->memory_hard > 0 ||
           err_set(err, ERR_INVALID,
                   "task config: memory_swap_mb: needs a hard limit of memory (memory_max is -1)");
}

static int64_t quota_of(double part_of_node, int64_t cores)
{
    if (!(part_of_node > 0)) /* not told, or not a number */
        return 0;
    const double part = part_of_node < 1 ? part_of_node : 1;
    const double us = part * (double)cores * LIMITS_PERIOD_US;
    return us < QUOTA_FLOOR_US ? QUOTA_FLOOR_US : (int64_t)us;
}

static bool want_pids(const struct task_config *job, const struct plugin_config *node,
                      struct limits_want *out, struct err *err)
{
    out->pids = job->pids_limit > 0 ? job->pids_limit : node->pids_limit;
    return node->pids_limit == 0 || out->pids <= node->pids_limit ||
           err_set(err, ERR_INVALID,
                   "task config: pids_limit: %" PRId64 " is more than the %" PRId64
                   " that this node allows",
                   out->pids, node->pids_limit);
}

bool limits_want_make(const struct task_spec *spec, const struct plugin_config *config,
                      int64_t cores, struct limits_want *out, struct err *err)
{
    const struct task_resources *r = &spec->resources;
    *out = (struct limits_want){ .cpu_shares = r->cpu_shares > 0 ? r->cpu_shares : 0,
                                 .cores = r->cpuset_cpus ? r->cpuset_cpus : "",
                                 .io_weight = spec->config.io_weight,
                                 .sidecar = bytes_of(config->sidecar_memory_mb),
                                 .is_strict = config->require_limits };
    want_memory(r, out);
    if (spec->config.cpu_hard_limit) {
        out->cpu_quota_us = quota_of(r->percent_ticks, cores);
        if (out->cpu_quota_us == 0)
            return err_set(err, ERR_INVALID,
                           "task config: cpu_hard_limit: Nomad did not say the task's part of "
                           "the node");
    }
    return want_swap(&spec->config, out, err) && want_pids(&spec->config, config, out, err);
}
