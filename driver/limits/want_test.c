#include "driver/limits/want.h"

#include <criterion/criterion.h>
#include <string.h>

#include "driver/nomad/plugin_config.h"
#include "driver/nomad/task_spec.h"

#define MIB 1048576

static struct plugin_config node;
static struct task_spec job;
static struct err err;

static void setup(void)
{
    err = (struct err){ 0 };
    node = (struct plugin_config){ 0 };
    job = (struct task_spec){ .config = { .memory_swap_mb = -1, .memory_swappiness = -1 } };
}

TestSuite(want, .init = setup);

static struct limits_want make(void)
{
    struct limits_want got;
    cr_assert(limits_want_make(&job, &node, 4, &got, &err), "%s", err.msg);
    return got;
}

static void refuse(const char *part)
{
    struct limits_want got;
    cr_assert_not(limits_want_make(&job, &node, 4, &got, &err));
    cr_expect_eq(err.kind, ERR_INVALID);
    cr_expect(strstr(err.msg, part), "%s", err.msg);
}

Test(want, memory_and_memory_max_make_soft_and_hard)
{
    static const struct {
        int64_t mb, max_mb, hard, soft;
        bool has;
    } rows[] = {
        { 64, 0, 64 * MIB, 0, true },
        { 64, 128, 128 * MIB, 64 * MIB, true },
        { 64, -1, 0, 64 * MIB, true },
        { 0, 0, 0, 0, false },
        { 0, -1, 0, 0, true },
        { 0, 32, 32 * MIB, 0, true },
        { INT64_MAX, 0, INT64_MAX, 0, true },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        job.resources.memory_mb = rows[i].mb;
        job.resources.memory_max_mb = rows[i].max_mb;
        const struct limits_want got = make();
        cr_expect_eq(got.memory_hard, rows[i].hard, "row %zu: %lld", i, (long long)got.memory_hard);
        cr_expect_eq(got.memory_soft, rows[i].soft, "row %zu", i);
        cr_expect_eq(got.has_memory, rows[i].has, "row %zu", i);
    }
}

Test(want, swap_is_asked_for_or_not)
{
    job.resources.memory_mb = 64;
    cr_expect_not(make().is_swap_asked);
    job.config.memory_swap_mb = 0;
    cr_expect(make().is_swap_asked);
    cr_expect_eq(make().swap, 0);
    job.config.memory_swap_mb = 16;
    cr_expect_eq(make().swap, 16 * MIB);
    job.resources.memory_max_mb = -1;
    refuse("memory_swap_mb");
}

Test(want, a_quota_is_the_part_of_the_node)
{
    static const struct {
        double part;
        int64_t us;
    } rows[] = { { 0.25, LIMITS_PERIOD_US },
                 { 0.5, 2 * LIMITS_PERIOD_US },
                 { 0.000001, 1000 },
                 { 7.0, 4 * LIMITS_PERIOD_US } };
    cr_expect_eq(make().cpu_quota_us, 0, "only when asked for");
    job.config.cpu_hard_limit = true;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        job.resources.percent_ticks = rows[i].part;
        cr_expect_eq(make().cpu_quota_us, rows[i].us, "row %zu", i);
    }
    job.resources.percent_ticks = 0;
    refuse("cpu_hard_limit");
    job.resources.percent_ticks = -__builtin_nan("");
    refuse("cpu_hard_limit");
}

Test(want, the_nodes_pids_limit_is_default_and_ceiling)
{
    node.pids_limit = 100;
    cr_expect_eq(make().pids, 100);
    job.config.pids_limit = 50;
    cr_expect_eq(make().pids, 50);
    job.config.pids_limit = 101;
    refuse("pids_limit");
    node.pids_limit = 0;
    cr_expect_eq(make().pids, 101);
}

Test(want, the_rest_is_passed_on)
{
    char cores[] = "0,2-3";
    node.require_limits = true;
    node.sidecar_memory_mb = 3;
    job.resources.cpu_shares = 500;
    job.resources.cpuset_cpus = cores;
    job.config.io_weight = 7;
    job.config.memory_swappiness = 9;
    const struct limits_want got = make();
    cr_expect(got.is_strict);
    cr_expect_eq(got.sidecar, 3 * MIB);
    cr_expect_eq(got.cpu_shares, 500);
    cr_expect_str_eq(got.cores, cores);
    cr_expect_eq(got.io_weight, 7);
    cr_expect_eq(got.swappiness, 9);
}
