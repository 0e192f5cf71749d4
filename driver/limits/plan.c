#include "driver/limits/plan.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/own.h"

struct planning {
    const struct limits_want *want;
    const struct limits_host *host;
    struct limits_plan *plan;
};

static int version_of(const struct planning *p, enum cgroup_controller controller)
{
    if (p->host->v2 & CGROUP_BIT(controller))
        return 2;
    return p->host->v1 & CGROUP_BIT(controller) ? 1 : 0;
}

void limits_plan_miss(struct limits_plan *plan, const char *key)
{
    for (size_t i = 0; i < plan->missing_count; i++)
        if (strcmp(plan->missing[i], key) == 0)
            return;
    assert(plan->missing_count < LIMITS_MISSING_MAX);
    plan->missing[plan->missing_count++] = key;
}

/* One wish about one controller: how to write it in v1 and in v2. */
struct wish {
    enum limits_who who;
    enum cgroup_controller controller;
    enum limits_need need;
    const char *key;
    const char *v1_file, *v2_file; /* NULL: that version has no such thing */
};

/* The write to fill in, or NULL: there is no such controller, `*out_version` 0, or no file. */
static struct limits_write *begin(struct planning *p, const struct wish *wish, int *out_version)
{
    const int version = version_of(p, wish->controller);
    const char *file = version == 2 ? wish->v2_file : version == 1 ? wish->v1_file : NULL;
    *out_version = file ? version : 0;
    if (!file)
        return NULL;
    assert(p->plan->write_count < LIMITS_WRITES_MAX);
    struct limits_write *write = &p->plan->writes[p->plan->write_count++];
    *write = (struct limits_write){ .who = wish->who,
                                    .controller = wish->controller,
                                    .need = wish->need,
                                    .key = wish->key,
                                    .ways = { { .file = file } } };
    const unsigned bit = CGROUP_BIT(wish->controller);
    if (version == 2)
        p->plan->v2 |= bit;
    else if (wish->who == LIMITS_SIDECAR)
        p->plan->sidecar_v1 |= bit;
    else
        p->plan->agent_v1 |= bit;
    return write;
}

static bool cannot(const struct planning *p, const struct wish *wish, struct err *err)
{
    if (wish->need == LIMITS_HINT)
        return true;
    const char *name = cgroup_controller_name(wish->controller, 2);
    if (wish->need == LIMITS_ASKED)
        return err_set(
            err, ERR_INVALID, "task config: %s: cannot be had here, cgroup controller \"%s\" %s",
            wish->key, name,
            version_of(p, wish->controller) ? "of this version has no such limit" : "is missing");
    if (p->want->is_strict)
        return err_set(err, ERR_INVALID,
                       "task: resources.%s: cannot be enforced here (require_limits), cgroup "
                       "controller \"%s\" is missing",
                       wish->key, name);
    limits_plan_miss(p->plan, wish->key);
    return true;
}

static bool put(struct planning *p, const struct wish *wish, int64_t value, struct err *err)
{
    int version = 0;
    struct limits_write *write = begin(p, wish, &version);
    if (!write)
        return cannot(p, wish, err);
    (void)snprintf(write->ways[0].value, sizeof(write->ways[0].value), "%" PRId64, value);
    return true;
}

/* "No limit" has another name in each version. */
static bool put_or_none(struct planning *p, const struct wish *wish, int64_t value, struct err *err)
{
    int version = 0;
    if (value > 0)
        return put(p, wish, value, err);
    struct limits_write *write = begin(p, wish, &version);
    if (!write)
        return cannot(p, wish, err);
    (void)snprintf(write->ways[0].value, sizeof(write->ways[0].value), "%s",
                   version == 2 ? "max" : "-1");
    return true;
}

static bool plan_swap(struct planning *p, struct err *err)
{
    const struct limits_want *want = p->want;
    const int version = version_of(p, CGROUP_MEMORY);
    const struct wish swap = { LIMITS_AGENT,
                               CGROUP_MEMORY,
                               want->is_swap_asked ? LIMITS_ASKED : LIMITS_HINT,
                               "memory_swap_mb",
                               "memory.memsw.limit_in_bytes",
                               "memory.swap.max" };
    int64_t value = want->swap;
    if (version == 1) /* counts both together; without a hard limit there is nothing to add to */
        value = want->memory_hard > INT64_MAX - value ? INT64_MAX : value + want->memory_hard;
    if ((version != 1 || want->memory_hard > 0) && !put(p, &swap, value, err))
        return false;
    const struct wish swappiness = { LIMITS_AGENT,
                                     CGROUP_MEMORY,
                                     want->swappiness >= 0 ? LIMITS_ASKED : LIMITS_HINT,
                                     "memory_swappiness",
                                     "memory.swappiness",
                                     NULL };
    if (want->swappiness >= 0)
        return put(p, &swappiness, want->swappiness, err);
    return (want->is_swap_asked && want->swap > 0) || put(p, &swappiness, 0, err);
}

static bool plan_memory(struct planning *p, struct err *err)
{
    const struct limits_want *want = p->want;
    const struct wish hard = { LIMITS_AGENT, CGROUP_MEMORY,           LIMITS_PLAIN,
                               "memory",     "memory.limit_in_bytes", "memory.max" };
    const struct wish soft = {
        LIMITS_AGENT, CGROUP_MEMORY, LIMITS_PLAIN, "memory", "memory.soft_limit_in_bytes",
        "memory.low"
    };
    struct wish above = soft; /* protection reaches no further than that of all above it */
    above.who = LIMITS_TASK;
    above.need = LIMITS_HINT;
    above.v1_file = NULL;
    if (want->has_memory && !put_or_none(p, &hard, want->memory_hard, err))
        return false;
    if (want->memory_soft > 0 &&
        (!put(p, &soft, want->memory_soft, err) || !put(p, &above, want->memory_soft, err)))
        return false;
    return !(want->has_memory || want->is_swap_asked || want->swappiness >= 0) || plan_swap(p, err);
}

/* Shares 2...262144 of v1 onto weights 1...10000 of v2, as container runtimes agreed. */
static int64_t weight_of_shares(int64_t shares)
{
    const int64_t lowest = 2, highest = 262144;
    shares = shares < lowest ? lowest : shares > highest ? highest : shares;
    return 1 + (shares - lowest) * 9999 / (highest - lowest);
}

static bool plan_cpu(struct planning *p, struct err *err)
{
    const struct limits_want *want = p->want;
    const struct wish shares = { LIMITS_TASK, CGROUP_CPU,   LIMITS_PLAIN,
                                 "cpu",       "cpu.shares", "cpu.weight" };
    const struct wish quota = { LIMITS_AGENT,     CGROUP_CPU,         LIMITS_ASKED,
                                "cpu_hard_limit", "cpu.cfs_quota_us", "cpu.max" };
    if (want->cpu_shares > 0) {
        const bool is_v2 = version_of(p, CGROUP_CPU) == 2;
        const int64_t value = want->cpu_shares < 2 ? 2 : want->cpu_shares;
        if (!put(p, &shares, is_v2 ? weight_of_shares(value) : value, err))
            return false;
    }
    if (want->cpu_quota_us == 0)
        return true;
    const size_t index = p->plan->write_count;
    if (!put(p, &quota, want->cpu_quota_us, err))
        return false;
    struct limits_write *write = &p->plan->writes[index];
    if (version_of(p, CGROUP_CPU) == 2)
        (void)snprintf(write->ways[0].value, sizeof(write->ways[0].value), "%" PRId64 " %d",
                       want->cpu_quota_us, LIMITS_PERIOD_US);
    return true;
}

static bool plan_cores(struct planning *p, struct err *err)
{
    const struct wish cores = { LIMITS_TASK, CGROUP_CPUSET, LIMITS_PLAIN,
                                "cores",     "cpuset.cpus", "cpuset.cpus" };
    int version = 0;
    if (p->want->cores[0] == '\0')
        return true;
    struct limits_write *write = begin(p, &cores, &version);
    if (write) {
        write->long_value = p->want->cores; /* hundreds of bytes on a large machine */
        return true;
    }
    if (p->want->is_strict)
        return cannot(p, &cores, err);
    p->plan->affinity = p->want->cores;
    return true;
}

static bool plan_io(struct planning *p, struct err *err)
{
    const struct wish weight = { LIMITS_TASK, CGROUP_IO,      LIMITS_ASKED,
                                 "io_weight", "blkio.weight", "io.weight" };
    int version = 0;
    if (p->want->io_weight == 0)
        return true;
    struct limits_write *write = begin(p, &weight, &version);
    if (!write)
        return cannot(p, &weight, err);
    /* BFQ has a file of its own and, like v1, weights up to 1000. */
    const int64_t wide = p->want->io_weight;
    const int64_t narrow = 1 + (wide - 1) * 999 / 9999;
    const int64_t oldest = narrow < 10 ? 10 : narrow;
    write->ways[1].file = version == 2 ? "io.bfq.weight" : "blkio.bfq.weight";
    (void)snprintf(write->ways[0].value, sizeof(write->ways[0].value), "%" PRId64,
                   version == 2 ? wide : oldest);
    (void)snprintf(write->ways[1].value, sizeof(write->ways[1].value), "%" PRId64, narrow);
    return true;
}

static bool plan_rest(struct planning *p, struct err *err)
{
    const struct wish pids = { LIMITS_AGENT, CGROUP_PIDS, LIMITS_ASKED,
                               "pids_limit", "pids.max",  "pids.max" };
    const struct wish sidecar = { LIMITS_SIDECAR,      CGROUP_MEMORY,           LIMITS_HINT,
                                  "sidecar_memory_mb", "memory.limit_in_bytes", "memory.max" };
    return (p->want->pids == 0 || put(p, &pids, p->want->pids, err)) &&
           (p->want->sidecar == 0 || put(p, &sidecar, p->want->sidecar, err));
}

bool limits_plan_make(const struct limits_want *want, const struct limits_host *host,
                      struct limits_plan *out, struct err *err)
{
    *out = (struct limits_plan){ .affinity = "" };
    struct planning p = { want, host, out };
    return plan_memory(&p, err) && plan_cpu(&p, err) && plan_cores(&p, err) && plan_io(&p, err) &&
           plan_rest(&p, err);
}
