#include "driver/host/usage.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/dir.h"
#include "common/base/fd.h"
#include "common/base/file.h"
#include "common/base/own.h"
#include "common/cgroup/tree.h"
#include "common/proc/identity.h"

#define PROCESS_MAX 65536                     /* of a task; what comes after is not counted */
#define CGROUPS_MAX 1024                      /* of a task, the same; an exec has one */
#define DEPTH_MAX   16                        /* two descriptors for each step down */
#define FILE_MAX    ((size_t)PROCESS_MAX * 8) /* "children" holds a number and a space for each */

struct process {
    int64_t user_ns, system_ns, rss_bytes;
};

struct processes {
    pid_t *pids;
    size_t count, cgroups;
};

static bool read_at(const char *dir, const char *name, struct buf *out)
{
    struct err ignored = { 0 };
    char *path = str_format("%s/%s", dir, name);
    const bool ok = file_read(AT_FDCWD, path, FILE_MAX, out, &ignored);
    free(path);
    return ok;
}

static int64_t single(const char *dir, const char *name)
{
    CLEANUP(buf_fini) struct buf text = { 0 };
    return read_at(dir, name, &text) ? strtoll(buf_borrow_str(&text), NULL, 10) : 0;
}

static bool has_file(const char *dir, const char *name, int64_t *out)
{
    CLEANUP(buf_fini) struct buf text = { 0 };
    const bool is_there = read_at(dir, name, &text);
    *out = is_there ? strtoll(buf_borrow_str(&text), NULL, 10) : 0;
    return is_there;
}

static void read_v2(const char *dir, struct usage_raw *out)
{
    CLEANUP(buf_fini) struct buf cpu = { 0 };
    CLEANUP(buf_fini) struct buf memory = { 0 };
    if (read_at(dir, "cpu.stat", &cpu)) {
        const char *text = buf_borrow_str(&cpu);
        out->has_cgroup_cpu = true;
        out->user_ns = cgroup_keyed(text, "user_usec", 0) * 1000;
        out->system_ns = cgroup_keyed(text, "system_usec", 0) * 1000;
        out->has_throttling = strstr(text, "nr_throttled") != NULL; /* with the controller only */
        out->throttled_periods = cgroup_keyed(text, "nr_throttled", 0);
        out->throttled_ns = cgroup_keyed(text, "throttled_usec", 0) * 1000;
    }
    if (read_at(dir, "memory.stat", &memory)) {
        const char *text = buf_borrow_str(&memory);
        out->has_cgroup_memory = true;
        out->rss_bytes = cgroup_keyed(text, "anon", 0);
        out->cache_bytes = cgroup_keyed(text, "file", 0);
        out->has_kernel = strstr(text, "\nkernel ") != NULL;
        out->kernel_bytes = cgroup_keyed(text, "kernel", 0);
        out->usage_bytes = single(dir, "memory.current");
        out->swap_bytes = single(dir, "memory.swap.current");
        out->has_max = has_file(dir, "memory.peak", &out->max_bytes);
    }
}

static void read_v1_memory(const char *dir, struct usage_raw *out)
{
    CLEANUP(buf_fini) struct buf memory = { 0 };
    if (out->has_cgroup_memory || !read_at(dir, "memory.stat", &memory))
        return;
    const char *text = buf_borrow_str(&memory);
    out->has_cgroup_memory = true;
    out->rss_bytes = cgroup_keyed(text, "total_rss", 0);
    out->cache_bytes = cgroup_keyed(text, "total_cache", 0);
    out->swap_bytes = cgroup_keyed(text, "total_swap", 0);
    out->usage_bytes = single(dir, "memory.usage_in_bytes");
    out->has_max = has_file(dir, "memory.max_usage_in_bytes", &out->max_bytes);
    out->has_kernel = has_file(dir, "memory.kmem.usage_in_bytes", &out->kernel_bytes);
    out->has_kernel_max = has_file(dir, "memory.kmem.max_usage_in_bytes", &out->kernel_max_bytes);
}

static void read_v1_cpu(const struct usage_place *place, struct usage_raw *out)
{
    CLEANUP(buf_fini) struct buf cpu = { 0 };
    if (!out->has_cgroup_cpu && place->cpuacct[0] != '\0' &&
        has_file(place->cpuacct, "cpuacct.usage_user", &out->user_ns)) {
        out->has_cgroup_cpu = true;
        out->system_ns = single(place->cpuacct, "cpuacct.usage_sys");
    }
    if (out->has_throttling || place->cpu[0] == '\0' || !read_at(place->cpu, "cpu.stat", &cpu))
        return;
    out->has_throttling = true;
    out->throttled_periods = cgroup_keyed(buf_borrow_str(&cpu), "nr_throttled", 0);
    out->throttled_ns = cgroup_keyed(buf_borrow_str(&cpu), "throttled_time", 0);
}

/* With what it has inherited from children that it waited for. */
static bool stat_parse(const char *text, struct process *out)
{
    enum { UTIME = 14, STIME = 15, CUTIME = 16, CSTIME = 17, RSS = 24 };
    const int64_t tick_ns = 1000000000 / sysconf(_SC_CLK_TCK);
    int64_t user, system, waited_user, waited_system, pages;
    if (!proc_stat_field(text, UTIME, &user) || !proc_stat_field(text, STIME, &system) ||
        !proc_stat_field(text, CUTIME, &waited_user) ||
        !proc_stat_field(text, CSTIME, &waited_system) || !proc_stat_field(text, RSS, &pages))
        return false;
    out->user_ns = (user + waited_user) * tick_ns;
    out->system_ns = (system + waited_system) * tick_ns;
    out->rss_bytes = pages * sysconf(_SC_PAGESIZE);
    return true;
}

static bool process_read(const char *root, pid_t pid, struct process *out)
{
    CLEANUP(buf_fini) struct buf text = { 0 };
    CLEANUP(str_freep) char *dir = str_format("%s/proc/%d", root, (int)pid);
    return read_at(dir, "stat", &text) && stat_parse(buf_borrow_str(&text), out);
}

static bool add_pid(void *arg, pid_t pid)
{
    struct processes *list = arg;
    if (list->count >= PROCESS_MAX)
        return false;
    if ((list->count & (list->count - 1)) == 0) /* a power of two, or none yet */
        list->pids = mem_resize(list->pids, list->count ? list->count * 2 : 1, sizeof(pid));
    list->pids[list->count++] = pid;
    return true;
}

/* The numbers in <dir>/children, which the kernel keeps for each thread. */
static void add_listed(const char *dir, struct processes *list)
{
    CLEANUP(buf_fini) struct buf text = { 0 };
    if (!read_at(dir, "children", &text))
        return;
    char *end = NULL;
    for (const char *at = buf_borrow_str(&text);; at = end) {
        const long pid = strtol(at, &end, 10);
        if (end == at || !add_pid(list, (pid_t)pid))
            return;
    }
}

static void add_children(const char *root, pid_t pid, struct processes *list)
{
    CLEANUP(str_freep) char *tasks = str_format("%s/proc/%d/task", root, (int)pid);
    CLEANUP(dir_closep) DIR *dir = opendir(tasks);
    if (!dir)
        return;
    for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        CLEANUP(str_freep) char *thread = str_format("%s/%s", tasks, entry->d_name);
        if (isdigit((unsigned char)entry->d_name[0]))
            add_listed(thread, list);
    }
}

static struct fd open_dir(int at, const char *name)
{
    return (struct fd){ openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW) };
}

static void add_below(struct processes *list, int cgroup, unsigned depth);

/* One that goes away meanwhile has nobody any more. */
static bool add_cgroup(struct processes *list, int cgroup, unsigned depth)
{
    if (!cgroup_walk_pids(cgroup, add_pid, list))
        return false;
    if (depth < DEPTH_MAX)
        add_below(list, cgroup, depth);
    return true;
}

static void add_below(struct processes *list, int cgroup, unsigned depth)
{
    CLEANUP(fd_closep) struct fd listed = open_dir(cgroup, ".");
    CLEANUP(dir_closep) DIR *dir = listed.raw < 0 ? NULL : fdopendir(listed.raw);
    if (!dir)
        return;
    (void)fd_take(&listed); /* the stream's now */
    for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
            continue;
        if (++list->cgroups > CGROUPS_MAX)
            return;
        CLEANUP(fd_closep) struct fd below = open_dir(cgroup, entry->d_name);
        if (below.raw >= 0)
            (void)add_cgroup(list, below.raw, depth + 1);
    }
}

static bool add_all(struct processes *list, const char *cgroup)
{
    if (cgroup[0] == '\0')
        return false;
    CLEANUP(fd_closep) struct fd dir = open_dir(AT_FDCWD, cgroup);
    return dir.raw >= 0 && add_cgroup(list, dir.raw, 0);
}

/* Reads nothing of processes that are not the task's: a node has thousands, and many tasks. */
static bool read_processes(const char *root, const char *cgroup, pid_t pid, struct usage_raw *out)
{
    struct processes list = { 0 };
    struct process one, sum = { 0 };
    bool is_found = false;
    const bool is_tree = !add_all(&list, cgroup);
    if (is_tree)
        (void)add_pid(&list, pid);
    for (size_t i = 0; i < list.count; i++) {
        if (!process_read(root, list.pids[i], &one))
            continue;
        is_found = true;
        sum.user_ns += one.user_ns;
        sum.system_ns += one.system_ns;
        sum.rss_bytes += one.rss_bytes;
        if (is_tree)
            add_children(root, list.pids[i], &list);
    }
    free(list.pids);
    if (!out->has_cgroup_cpu) {
        out->user_ns = sum.user_ns;
        out->system_ns = sum.system_ns;
    }
    if (!out->has_cgroup_memory)
        out->rss_bytes = sum.rss_bytes;
    return is_found;
}

bool usage_read(const char *root, const struct usage_place *place, struct usage_raw *out,
                struct err *err)
{
    *out = (struct usage_raw){ .at = mono_now() };
    if (place->v2[0] != '\0')
        read_v2(place->v2, out);
    if (place->memory[0] != '\0')
        read_v1_memory(place->memory, out);
    read_v1_cpu(place, out);
    if (out->has_cgroup_cpu && out->has_cgroup_memory)
        return true;
    if (read_processes(root, place->v2, place->pid, out) || out->has_cgroup_cpu)
        return true;
    return err_set(err, ERR_NOT_FOUND, "measure process %d: it is gone", (int)place->pid);
}

static bool is_named(const char *root, pid_t pid, const char *name)
{
    CLEANUP(buf_fini) struct buf comm = { 0 };
    CLEANUP(str_freep) char *dir = str_format("%s/proc/%d", root, (int)pid);
    const size_t len = strlen(name);
    if (!read_at(dir, "comm", &comm))
        return false;
    const char *text = buf_borrow_str(&comm);
    return strncmp(text, name, len) == 0 && (text[len] == '\n' || text[len] == '\0');
}

pid_t usage_child(const char *root, pid_t parent, const char *name)
{
    struct processes list = { 0 };
    pid_t found = 0;
    add_children(root, parent, &list);
    for (size_t i = 0; i < list.count && found == 0; i++)
        if (is_named(root, list.pids[i], name))
            found = list.pids[i];
    free(list.pids);
    return found;
}

struct usage usage_sum(const struct usage *a, const struct usage *b)
{
    const struct usage_raw *x = &a->raw, *y = &b->raw;
    return (struct usage){
        .percent = a->percent + b->percent,
        .user_percent = a->user_percent + b->user_percent,
        .system_percent = a->system_percent + b->system_percent,
        .raw = { .at = x->at,
                 .user_ns = x->user_ns + y->user_ns,
                 .system_ns = x->system_ns + y->system_ns,
                 .rss_bytes = x->rss_bytes + y->rss_bytes,
                 .swap_bytes = x->swap_bytes + y->swap_bytes,
                 .cache_bytes = x->cache_bytes + y->cache_bytes,
                 .usage_bytes = x->usage_bytes + y->usage_bytes,
                 .max_bytes = x->max_bytes + y->max_bytes,
                 .kernel_bytes = x->kernel_bytes + y->kernel_bytes,
                 .kernel_max_bytes = x->kernel_max_bytes + y->kernel_max_bytes,
                 .throttled_periods = x->throttled_periods + y->throttled_periods,
                 .throttled_ns = x->throttled_ns + y->throttled_ns,
                 .has_cgroup_cpu = x->has_cgroup_cpu || y->has_cgroup_cpu,
                 .has_cgroup_memory = x->has_cgroup_memory || y->has_cgroup_memory,
                 .has_throttling = x->has_throttling || y->has_throttling,
                 .has_max = x->has_max || y->has_max,
                 .has_kernel = x->has_kernel || y->has_kernel,
                 .has_kernel_max = x->has_kernel_max || y->has_kernel_max },
    };
}

static double rate(int64_t before_ns, int64_t now_ns, double span_us)
{
    return now_ns > before_ns ? (double)(now_ns - before_ns) / 1000.0 / span_us * 100.0 : 0.0;
}

struct usage usage_rate(const struct usage_raw *before, const struct usage_raw *now)
{
    struct usage got = { .raw = *now };
    const int64_t span_us = mono_diff_us(now->at, before->at);
    if (span_us < 1000)
        return got;
    got.user_percent = rate(before->user_ns, now->user_ns, (double)span_us);
    got.system_percent = rate(before->system_ns, now->system_ns, (double)span_us);
    got.percent = got.user_percent + got.system_percent;
    return got;
}
