#include "driver/host/usage.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/base/fd.h"
#include "common/base/file.h"
#include "common/base/own.h"

static char root[] = "/tmp/usage-XXXXXX";
static struct err err;

static void put(const char *path, const char *text)
{
    char *full = str_format("%s%s", root, path);
    char *dir = str_copy_n(full, (size_t)(strrchr(full, '/') - full));
    cr_assert(dir_make(dir, 0755, &err));
    cr_assert(file_publish(-100, full, view_str(text), 0644, FILE_REPLACE, &err), "%s", err.msg);
    free(dir);
    free(full);
}

static void setup(void) { cr_assert_not_null(mkdtemp(root)); }

static void teardown(void) { cr_assert(dir_remove_tree(root, &err)); }

TestSuite(usage, .init = setup, .fini = teardown);

#define STAT(pid, name, parent, ticks, pages)                                                     \
    pid " (" name ") S " parent " 1 1 0 -1 0 0 0 0 0 " ticks " " ticks " 0 0 20 0 1 0 5 9 " pages \
        " 1\n"

Test(usage, sums_the_process_and_its_descendants_only)
{
    put("/proc/30/stat", STAT("30", "a", "1", "100", "10"));
    put("/proc/30/task/30/children", "");
    put("/proc/30/task/35/children", "31 ");
    put("/proc/31/stat", STAT("31", "evil ) S 1 (", "30", "100", "10"));
    put("/proc/31/task/31/children", "28 29 ");
    put("/proc/29/stat", STAT("29", "c", "31", "100", "10"));
    put("/proc/32/stat", STAT("32", "other", "1", "100", "10"));
    struct usage_raw raw;
    cr_assert(usage_read(root, &(struct usage_place){ "", "", "", "", 30 }, &raw, &err), "%s",
              err.msg);
    cr_assert_eq(raw.rss_bytes, 30 * sysconf(_SC_PAGESIZE));
    cr_assert_eq(raw.user_ns, 300 * (1000000000 / sysconf(_SC_CLK_TCK)));
    cr_assert_not(raw.has_cgroup_cpu || raw.has_cgroup_memory);
}

Test(usage, what_is_not_in_the_tasks_tree_is_not_even_read)
{
    struct usage_raw raw;
    put("/proc/30/stat", STAT("30", "a", "1", "100", "10"));
    put("/proc/40/stat", STAT("40", "unlisted", "30", "100", "10"));
    cr_assert(usage_read(root, &(struct usage_place){ "", "", "", "", 30 }, &raw, &err));
    cr_assert_eq(raw.rss_bytes, 10 * sysconf(_SC_PAGESIZE));
}

Test(usage, a_wide_tree_is_summed_whole)
{
    CLEANUP(buf_fini) struct buf children = { 0 };
    put("/proc/30/stat", STAT("30", "a", "1", "100", "10"));
    for (int pid = 1000; pid < 1300; pid++) {
        CLEANUP(str_freep) char *path = str_format("/proc/%d/stat", pid);
        put(path, STAT("1", "b", "30", "1", "1"));
        buf_put_fmt(&children, "%d ", pid);
    }
    put("/proc/30/task/30/children", buf_borrow_str(&children));
    struct usage_raw raw;
    cr_assert(usage_read(root, &(struct usage_place){ "", "", "", "", 30 }, &raw, &err));
    cr_assert_eq(raw.rss_bytes, 310 * sysconf(_SC_PAGESIZE));
}

Test(usage, a_process_that_is_gone_is_not_found)
{
    struct usage_raw raw;
    put("/proc/32/stat", STAT("32", "other", "1", "100", "10"));
    put("/proc/33/stat", "33 (torn");
    cr_assert_not(usage_read(root, &(struct usage_place){ "", "", "", "", 30 }, &raw, &err));
    cr_assert_eq(err.kind, ERR_NOT_FOUND);
}

Test(usage, takes_from_the_cgroup_what_the_kernel_counts_there)
{
    char *cgroup = str_format("%s/cg", root);
    put("/cg/cpu.stat", "usage_usec 30\nuser_usec 10\nsystem_usec 20\nnr_throttled 3\n"
                        "throttled_usec 4\n");
    put("/cg/memory.stat", "anon 4096\nfile 8192\n");
    put("/cg/memory.current", "12288\n");
    struct usage_raw raw;
    cr_assert(usage_read(root, &(struct usage_place){ cgroup, "", "", "", 30 }, &raw, &err), "%s",
              err.msg);
    cr_assert_eq(raw.user_ns, 10000);
    cr_assert_eq(raw.system_ns, 20000);
    cr_assert_eq(raw.throttled_periods, 3);
    cr_assert_eq(raw.throttled_ns, 4000);
    cr_assert_eq(raw.rss_bytes, 4096);
    cr_assert_eq(raw.cache_bytes, 8192);
    cr_assert_eq(raw.usage_bytes, 12288);
    free(cgroup);
}

Test(usage, without_a_memory_controller_the_processes_are_summed)
{
    char *cgroup = str_format("%s/cg", root);
    put("/cg/cpu.stat", "user_usec 10\nsystem_usec 20\n");
    put("/proc/30/stat", STAT("30", "a", "1", "100", "10"));
    struct usage_raw raw;
    cr_assert(usage_read(root, &(struct usage_place){ cgroup, "", "", "", 30 }, &raw, &err), "%s",
              err.msg);
    cr_assert(raw.has_cgroup_cpu && !raw.has_cgroup_memory);
    cr_assert_eq(raw.user_ns, 10000);
    cr_assert_eq(raw.rss_bytes, 10 * sysconf(_SC_PAGESIZE));
    free(cgroup);
}

Test(usage, who_is_in_a_cgroup_below_the_tasks_is_counted)
{
    char *cgroup = str_format("%s/cg", root);
    put("/cg/cgroup.procs", "30\n");
    put("/cg/exec-1/cgroup.procs", "31\n");
    put("/cg/exec-1/deep/cgroup.procs", "32\n");
    put("/proc/30/stat", STAT("30", "a", "1", "100", "10"));
    put("/proc/31/stat", STAT("31", "b", "2", "100", "10"));
    put("/proc/32/stat", STAT("32", "c", "2", "100", "10"));
    put("/proc/33/stat", STAT("33", "not in it", "30", "100", "10"));
    struct usage_raw raw;
    cr_assert(usage_read(root, &(struct usage_place){ cgroup, "", "", "", 30 }, &raw, &err), "%s",
              err.msg);
    cr_assert_eq(raw.rss_bytes, 30 * sysconf(_SC_PAGESIZE));
    free(cgroup);
}

/* One of very many: nothing of them has to last. */
static void put_cgroup(const char *path)
{
    CLEANUP(str_freep) char *dir = str_format("%s%s", root, path);
    CLEANUP(str_freep) char *procs = str_format("%s/cgroup.procs", dir);
    cr_assert_eq(mkdir(dir, 0755), 0, "%s", dir);
    CLEANUP(fd_closep) struct fd file = { open(procs, O_CREAT | O_WRONLY | O_CLOEXEC, 0644) };
    cr_assert_eq(write(file.raw, "30\n", 3), 3);
}

Test(usage, cgroups_without_end_are_counted_up_to_a_bound)
{
    char *cgroup = str_format("%s/cg", root), path[128] = "/cg";
    put("/cg/cgroup.procs", "");
    for (int i = 0; i < 1100; i++) {
        (void)snprintf(path, sizeof(path), "/cg/w%d", i);
        put_cgroup(path);
    }
    put("/proc/30/stat", STAT("30", "a", "1", "100", "1"));
    struct usage_raw raw;
    cr_assert(usage_read(root, &(struct usage_place){ cgroup, "", "", "", 30 }, &raw, &err));
    cr_assert_eq(raw.rss_bytes, 1024 * sysconf(_SC_PAGESIZE));
    cr_assert(dir_remove_tree(cgroup, &err));
    put("/cg/cgroup.procs", "30\n");
    for (int i = 0; i < 40; i++) {
        const size_t at = strlen("/cg") + strlen("/d") * (size_t)i;
        (void)snprintf(path + at, sizeof(path) - at, "/d");
        put_cgroup(path);
    }
    cr_assert(usage_read(root, &(struct usage_place){ cgroup, "", "", "", 30 }, &raw, &err));
    cr_assert_eq(raw.rss_bytes, 17 * sysconf(_SC_PAGESIZE));
    free(cgroup);
}

Test(usage, rates_are_percent_of_one_core)
{
    const struct usage_raw before = { .at = { 0 }, .user_ns = 100, .system_ns = 0 };
    const struct usage_raw now = { .at = { 1000000000 },
                                   .user_ns = 500000100,
                                   .system_ns = 250000000 };
    struct usage got = usage_rate(&before, &now);
    cr_assert_float_eq(got.user_percent, 50.0, 0.01);
    cr_assert_float_eq(got.percent, 75.0, 0.01);
    got = usage_rate(&now, &before);
    cr_assert_float_eq(got.percent, 0.0, 0.01);
    got = usage_rate(&now, &now);
    cr_assert_float_eq(got.percent, 0.0, 0.01);
}

static int64_t cpu_ns(void)
{
    struct timespec spent;
    cr_assert_eq(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &spent), 0);
    return spent.tv_sec * 1000000000L + spent.tv_nsec;
}

Test(usage, a_busy_process_of_this_machine_is_seen)
{
    struct usage_raw before, now;
    cr_assert(usage_read("", &(struct usage_place){ "", "", "", "", getpid() }, &before, &err),
              "%s", err.msg);
    cr_assert_gt(before.rss_bytes, 0);
    volatile uint64_t sink = 0;
    /* In CPU time: how much of a busy machine we get is not for this test to say. */
    const int64_t start_ns = cpu_ns();
    while (cpu_ns() - start_ns < 100 * NS_PER_MS)
        sink++;
    cr_assert(usage_read("", &(struct usage_place){ "", "", "", "", getpid() }, &now, &err));
    int64_t seen_ns = now.user_ns + now.system_ns - before.user_ns - before.system_ns;
    cr_assert_geq(seen_ns, 60 * NS_PER_MS); /* two readings in ticks of 10 ms, of two kinds */
    cr_assert_gt(usage_rate(&before, &now).percent, 0.0);
}

Test(usage, takes_from_version_1_what_the_kernel_counts_there)
{
    CLEANUP(str_freep) char *memory = str_format("%s/memory", root);
    CLEANUP(str_freep) char *cpu = str_format("%s/cpu", root);
    const struct usage_place place = { "", memory, cpu, cpu, 30 };
    struct usage_raw raw;
    put("/memory/memory.stat", "cache 1\nrss 2\ntotal_cache 8192\ntotal_rss 4096\n"
                               "total_swap 100\n");
    put("/memory/memory.usage_in_bytes", "12288\n");
    put("/memory/memory.max_usage_in_bytes", "20480\n");
    put("/memory/memory.kmem.usage_in_bytes", "77\n");
    put("/cpu/cpu.stat", "nr_periods 9\nnr_throttled 3\nthrottled_time 4000\n");
    put("/cpu/cpuacct.usage_user", "10000\n");
    put("/cpu/cpuacct.usage_sys", "20000\n");
    cr_assert(usage_read(root, &place, &raw, &err), "%s", err.msg);
    cr_expect_eq(raw.rss_bytes, 4096);
    cr_expect_eq(raw.cache_bytes, 8192);
    cr_expect_eq(raw.swap_bytes, 100);
    cr_expect_eq(raw.usage_bytes, 12288);
    cr_expect(raw.has_max && raw.max_bytes == 20480);
    cr_expect(raw.has_kernel && raw.kernel_bytes == 77);
    cr_expect_not(raw.has_kernel_max);
    cr_expect(raw.has_throttling && raw.throttled_periods == 3 && raw.throttled_ns == 4000);
    cr_expect(raw.has_cgroup_cpu && raw.user_ns == 10000 && raw.system_ns == 20000);
}

Test(usage, throttling_is_measured_only_where_the_controller_is)
{
    CLEANUP(str_freep) char *v2 = str_format("%s/cg", root);
    CLEANUP(str_freep) char *cpu = str_format("%s/cpu", root);
    const struct usage_place place = { v2, "", cpu, "", 30 };
    struct usage_raw raw;
    put("/cg/cpu.stat", "usage_usec 30\nuser_usec 10\nsystem_usec 20\n");
    cr_assert(usage_read(root, &place, &raw, &err), "%s", err.msg);
    cr_expect(raw.has_cgroup_cpu && !raw.has_throttling);
    put("/cpu/cpu.stat", "nr_throttled 3\nthrottled_time 4000\n");
    cr_assert(usage_read(root, &place, &raw, &err), "%s", err.msg);
    cr_expect(raw.has_throttling && raw.throttled_ns == 4000 && raw.user_ns == 10000);
}

Test(usage, a_child_is_found_by_name)
{
    put("/proc/30/task/30/children", "31 32 33 ");
    put("/proc/31/comm", "agent-keeper\n");
    put("/proc/32/comm", "agent-sidecar-x\n");
    put("/proc/33/comm", "agent-sidecar\n");
    cr_expect_eq(usage_child(root, 30, "agent-sidecar"), 33);
    cr_expect_eq(usage_child(root, 30, "other"), 0);
    cr_expect_eq(usage_child(root, 99, "other"), 0);
}

Test(usage, a_sum_has_what_either_measures)
{
    const struct usage a = { .percent = 10,
                             .raw = { .rss_bytes = 5, .has_max = true, .max_bytes = 7 } };
    const struct usage b = {
        .percent = 1, .raw = { .rss_bytes = 6, .has_throttling = true, .throttled_periods = 2 }
    };
    const struct usage sum = usage_sum(&a, &b);
    cr_assert_float_eq(sum.percent, 11, 1e-9);
    cr_expect_eq(sum.raw.rss_bytes, 11);
    cr_expect(sum.raw.has_max && sum.raw.max_bytes == 7);
    cr_expect(sum.raw.has_throttling && sum.raw.throttled_periods == 2);
    cr_expect_not(sum.raw.has_kernel);
}
