#include "driver/host/usage.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/file.h"
#include "common/base/own.h"
#include "common/cgroup/cgroup.h"

#define FILE_MAX    ((size_t)64 << 10)
#define PROCESS_MAX 65536 /* of a machine; what comes after is not counted */

struct process {
    pid_t pid, parent;
    bool is_ours;
    int64_t user_ns, system_ns, rss_bytes;
};
struct processes {
    struct process *all;
    size_t count;
};

static bool read_at(const char *dir, const char *name, struct buf *out)
{
    struct err ignored = { 0 };
    char *path = str_format("%s/%s", dir, name);
    const bool ok = file_read(AT_FDCWD, path, FILE_MAX, out, &ignored);
    free(path);
    return ok;
}

/* The number after "name " at the start of a line of a flat keyed cgroup file; 0 without. */
static int64_t keyed(const char *text, const char *name)
{
    const size_t len = strlen(name);
    for (const char *at = text; at; at = strchr(at, '\n')) {
        at += *at == '\n';
        if (strncmp(at, name, len) == 0 && at[len] == ' ')
            return strtoll(at + len + 1, NULL, 10);
    }
    return 0;
}

static int64_t single(const char *dir, const char *name)
{
    CLEANUP(buf_fini) struct buf text = { 0 };
    return read_at(dir, name, &text) ? strtoll(buf_borrow_str(&text), NULL, 10) : 0;
}

static void read_cgroup(const char *dir, struct usage_raw *out)
{
    CLEANUP(buf_fini) struct buf cpu = { 0 };
    CLEANUP(buf_fini) struct buf memory = { 0 };
    if (read_at(dir, "cpu.stat", &cpu)) {
        const char *text = buf_borrow_str(&cpu);
        out->has_cgroup_cpu = true;
        out->user_ns = keyed(text, "user_usec") * 1000;
        out->system_ns = keyed(text, "system_usec") * 1000;
        out->throttled_periods = keyed(text, "nr_throttled");
        out->throttled_ns = keyed(text, "throttled_usec") * 1000;
    }
    if (read_at(dir, "memory.stat", &memory)) {
        const char *text = buf_borrow_str(&memory);
        out->has_cgroup_memory = true;
        out->rss_bytes = keyed(text, "anon");
        out->cache_bytes = keyed(text, "file");
        out->usage_bytes = single(dir, "memory.current");
        out->swap_bytes = single(dir, "memory.swap.current");
    }
}

/* /proc/<pid>/stat after the name, whose brackets may hold anything: state ppid ... utime(14)
 * stime(15) cutime cstime ... rss(24). */
static bool stat_parse(const char *text, struct process *out)
{
    enum { PPID = 4, UTIME = 14, STIME = 15, CUTIME = 16, CSTIME = 17, RSS = 24 };
    const char *at = strrchr(text, ')');
    if (!at)
        return false;
    int64_t field[RSS + 1] = { 0 };
    at++;
    for (int i = 3; i <= RSS; i++) {
        while (*at == ' ')
            at++;
        if (*at == '\0')
            return false;
        field[i] = i == 3 ? 0 : strtoll(at, NULL, 10);
        while (*at && *at != ' ')
            at++;
    }
    const int64_t tick_ns = 1000000000 / sysconf(_SC_CLK_TCK);
    out->parent = (pid_t)field[PPID];
    out->user_ns = (field[UTIME] + field[CUTIME]) * tick_ns;
    out->system_ns = (field[STIME] + field[CSTIME]) * tick_ns;
    out->rss_bytes = field[RSS] * sysconf(_SC_PAGESIZE);
    return true;
}

static bool process_read(const char *root, const char *pid, struct process *out)
{
    CLEANUP(buf_fini) struct buf text = { 0 };
    char *dir = str_format("%s/proc/%s", root, pid);
    const bool ok = read_at(dir, "stat", &text) && stat_parse(buf_borrow_str(&text), out);
    free(dir);
    out->pid = (pid_t)strtol(pid, NULL, 10);
    return ok;
}

static void processes_read(const char *root, struct processes *out)
{
    char *path = str_format("%s/proc", root);
    DIR *dir = opendir(path);
    free(path);
    if (!dir)
        return;
    for (struct dirent *entry = readdir(dir); entry && out->count < PROCESS_MAX;
         entry = readdir(dir)) {
        struct process one = { 0 };
        if (!isdigit((unsigned char)entry->d_name[0]) || !process_read(root, entry->d_name, &one))
            continue;
        out->all = mem_resize(out->all, out->count + 1, sizeof(one));
        out->all[out->count++] = one;
    }
    (void)closedir(dir);
}

static bool is_ours(const struct processes *list, pid_t pid)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->all[i].pid == pid)
            return list->all[i].is_ours;
    return false;
}

/* The root and all below it; repeated, because /proc is not in the order of birth for ever. */
static void mark_tree(struct processes *list, pid_t root)
{
    bool is_changed = true;
    for (size_t i = 0; i < list->count; i++)
        list->all[i].is_ours = list->all[i].pid == root;
    while (is_changed) {
        is_changed = false;
        for (size_t i = 0; i < list->count; i++) {
            struct process *one = &list->all[i];
            if (one->is_ours || !is_ours(list, one->parent))
                continue;
            one->is_ours = true;
            is_changed = true;
        }
    }
}

static bool mark_pid(void *arg, pid_t pid)
{
    struct processes *list = arg;
    for (size_t i = 0; i < list->count; i++)
        if (list->all[i].pid == pid)
            list->all[i].is_ours = true;
    return true;
}

static bool mark_cgroup(struct processes *list, const char *cgroup)
{
    struct err ignored = { 0 };
    struct cgroup cg = CGROUP_NONE;
    if (cgroup[0] == '\0' || !cgroup_open(cgroup, false, &cg, &ignored))
        return false;
    const bool ok = cgroup_each_pid(&cg, mark_pid, list, &ignored);
    cgroup_fini(&cg);
    return ok;
}

static bool read_processes(const char *root, const char *cgroup, pid_t pid, struct usage_raw *out)
{
    struct processes list = { 0 };
    struct usage_raw sum = { 0 };
    bool is_found = false;
    processes_read(root, &list);
    if (!mark_cgroup(&list, cgroup))
        mark_tree(&list, pid);
    for (size_t i = 0; i < list.count; i++) {
        if (!list.all[i].is_ours)
            continue;
        is_found = true;
        sum.user_ns += list.all[i].user_ns;
        sum.system_ns += list.all[i].system_ns;
        sum.rss_bytes += list.all[i].rss_bytes;
    }
    free(list.all);
    if (!out->has_cgroup_cpu) {
        out->user_ns = sum.user_ns;
        out->system_ns = sum.system_ns;
    }
    if (!out->has_cgroup_memory)
        out->rss_bytes = sum.rss_bytes;
    return is_found;
}

bool usage_read(const char *root, const char *cgroup, pid_t pid, struct usage_raw *out,
                struct err *err)
{
    *out = (struct usage_raw){ .at = mono_now() };
    if (cgroup[0] != '\0')
        read_cgroup(cgroup, out);
    if (out->has_cgroup_cpu && out->has_cgroup_memory)
        return true;
    if (read_processes(root, cgroup, pid, out) || out->has_cgroup_cpu)
        return true;
    return err_set(err, ERR_NOT_FOUND, "measure process %d: it is gone", (int)pid);
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
