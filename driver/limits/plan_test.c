#include "driver/limits/plan.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define MIB 1048576
#define ALL                                                                           \
    (CGROUP_BIT(CGROUP_MEMORY) | CGROUP_BIT(CGROUP_CPU) | CGROUP_BIT(CGROUP_CPUSET) | \
     CGROUP_BIT(CGROUP_PIDS) | CGROUP_BIT(CGROUP_IO))

static const struct limits_host v1 = { ALL, 0 }, v2 = { 0, ALL }, none = { 0, 0 };
static struct limits_plan plan;
static struct err err;

static struct limits_want wish(void)
{
    return (struct limits_want){ .cores = "", .swappiness = -1 };
}

/* The whole plan as one text: "who file=value" and a space for each. */
static const char *text_of(void)
{
    static char text[1024];
    static const char *const whose[] = { "agent", "sidecar", "task" };
    size_t len = 0;
    text[0] = '\0';
    for (size_t i = 0; i < plan.write_count; i++) {
        const struct limits_write *w = &plan.writes[i];
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s %s=%s", i ? "; " : "",
                                whose[w->who], w->ways[0].file,
                                w->long_value ? w->long_value : w->ways[0].value);
        if (w->ways[1].file)
            len += (size_t)snprintf(text + len, sizeof(text) - len, " or %s=%s", w->ways[1].file,
                                    w->ways[1].value);
    }
    return text;
}

static void expect(const struct limits_want *want, const struct limits_host *host, const char *text)
{
    cr_assert(limits_plan_make(want, host, &plan, &err), "%s", err.msg);
    cr_expect_str_eq(text_of(), text);
}

Test(plan, memory_is_hard_then_swap)
{
    struct limits_want want = wish();
    want.has_memory = true;
    want.memory_hard = 64 * MIB;
    expect(&want, &v1,
           "agent memory.limit_in_bytes=67108864; agent memory.memsw.limit_in_bytes=67108864; "
           "agent memory.swappiness=0");
    expect(&want, &v2, "agent memory.max=67108864; agent memory.swap.max=0");
    cr_expect_eq(plan.v2, CGROUP_BIT(CGROUP_MEMORY));
    cr_expect_eq(plan.agent_v1, 0);
}

Test(plan, memory_max_makes_a_soft_limit_too)
{
    struct limits_want want = wish();
    want.has_memory = true;
    want.memory_hard = 128 * MIB;
    want.memory_soft = 64 * MIB;
    expect(&want, &v1,
           "agent memory.limit_in_bytes=134217728; agent memory.soft_limit_in_bytes=67108864; "
           "agent memory.memsw.limit_in_bytes=134217728; agent memory.swappiness=0");
    expect(&want, &v2,
           "agent memory.max=134217728; agent memory.low=67108864; task memory.low=67108864; "
           "agent memory.swap.max=0");
}

Test(plan, no_hard_limit_is_written_as_none)
{
    struct limits_want want = wish();
    want.has_memory = true;
    want.memory_soft = 64 * MIB;
    expect(&want, &v1,
           "agent memory.limit_in_bytes=-1; agent memory.soft_limit_in_bytes=67108864; "
           "agent memory.swappiness=0");
    expect(&want, &v2,
           "agent memory.max=max; agent memory.low=67108864; task memory.low=67108864; "
           "agent memory.swap.max=0");
}

Test(plan, swap_that_was_asked_for)
{
    struct limits_want want = wish();
    want.has_memory = want.is_swap_asked = true;
    want.memory_hard = 64 * MIB;
    want.swap = 16 * MIB;
    expect(&want, &v1,
           "agent memory.limit_in_bytes=67108864; agent memory.memsw.limit_in_bytes=83886080");
    expect(&want, &v2, "agent memory.max=67108864; agent memory.swap.max=16777216");
    want.swappiness = 40;
    expect(&want, &v1,
           "agent memory.limit_in_bytes=67108864; agent memory.memsw.limit_in_bytes=83886080; "
           "agent memory.swappiness=40");
    cr_assert_not(limits_plan_make(&want, &v2, &plan, &err));
    cr_expect(strstr(err.msg, "memory_swappiness"), "%s", err.msg);
    cr_expect(strstr(err.msg, "version"), "%s", err.msg);
}

Test(plan, shares_and_weights)
{
    static const struct {
        int64_t shares;
        const char *v1, *v2;
    } rows[] = {
        { 1, "task cpu.shares=2", "task cpu.weight=1" },
        { 100, "task cpu.shares=100", "task cpu.weight=4" },
        { 1024, "task cpu.shares=1024", "task cpu.weight=39" },
        { 262144, "task cpu.shares=262144", "task cpu.weight=10000" },
        { 900000, "task cpu.shares=900000", "task cpu.weight=10000" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct limits_want want = wish();
        want.cpu_shares = rows[i].shares;
        expect(&want, &v1, rows[i].v1);
        expect(&want, &v2, rows[i].v2);
    }
}

Test(plan, the_other_limits)
{
    struct limits_want want = wish();
    want.cpu_quota_us = 25000;
    want.cores = "0,2-3";
    want.pids = 50;
    want.io_weight = 200;
    want.sidecar = 8 * MIB;
    expect(&want, &v1,
           "agent cpu.cfs_quota_us=25000; task cpuset.cpus=0,2-3; task blkio.weight=20 or "
           "blkio.bfq.weight=20; agent pids.max=50; sidecar memory.limit_in_bytes=8388608");
    cr_expect_eq(plan.sidecar_v1, CGROUP_BIT(CGROUP_MEMORY));
    cr_expect_eq(plan.agent_v1, ALL & ~CGROUP_BIT(CGROUP_MEMORY));
    expect(&want, &v2,
           "agent cpu.max=25000 100000; task cpuset.cpus=0,2-3; task io.weight=200 or "
           "io.bfq.weight=20; agent pids.max=50; sidecar memory.max=8388608");
    want.io_weight = 1;
    cr_assert(limits_plan_make(&want, &v1, &plan, &err));
    cr_expect(strstr(text_of(), "blkio.weight=10 or blkio.bfq.weight=1"), "%s", text_of());
}

Test(plan, plain_resources_without_controllers_are_noted)
{
    struct limits_want want = wish();
    want.has_memory = true;
    want.memory_hard = 64 * MIB;
    want.memory_soft = 32 * MIB;
    want.cpu_shares = 100;
    want.cores = "1";
    want.sidecar = MIB;
    expect(&want, &none, "");
    cr_assert_eq(plan.missing_count, 2);
    cr_expect_str_eq(plan.missing[0], "memory");
    cr_expect_str_eq(plan.missing[1], "cpu");
    cr_expect_str_eq(plan.affinity, "1");
}

Test(plan, with_require_limits_they_are_errors_that_name_the_key)
{
    for (int which = 0; which < 3; which++) {
        static const char *const names[] = { "resources.memory", "resources.cpu",
                                             "resources.cores" };
        struct limits_want want = wish();
        want.is_strict = true;
        want.has_memory = which == 0;
        want.memory_hard = which == 0;
        want.cpu_shares = which == 1;
        want.cores = which == 2 ? "0" : "";
        cr_assert_not(limits_plan_make(&want, &none, &plan, &err), "row %d", which);
        cr_expect_eq(err.kind, ERR_INVALID);
        cr_expect(strstr(err.msg, names[which]), "%s", err.msg);
        cr_expect(strstr(err.msg, "require_limits"), "%s", err.msg);
    }
}

Test(plan, keys_of_the_job_without_controllers_are_errors_that_name_the_key)
{
    static const char *const names[] = { "memory_swap_mb", "memory_swappiness", "cpu_hard_limit",
                                         "pids_limit", "io_weight" };
    for (int which = 0; which < 5; which++) {
        struct limits_want want = wish();
        want.is_swap_asked = which == 0;
        want.swappiness = which == 1 ? 0 : -1;
        want.cpu_quota_us = which == 2 ? 1000 : 0;
        want.pids = which == 3;
        want.io_weight = which == 4;
        cr_assert_not(limits_plan_make(&want, &none, &plan, &err), "row %d", which);
        cr_expect_eq(err.kind, ERR_INVALID);
        cr_expect(strstr(err.msg, names[which]), "%s", err.msg);
        cr_expect(strstr(err.msg, "is missing"), "%s", err.msg);
    }
}
