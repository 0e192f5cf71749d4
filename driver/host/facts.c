#include "driver/host/facts.h"

#include <ctype.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/file.h"
#include "common/base/own.h"
#include "common/cgroup/cgroup.h"
#include "common/cgroup/layout.h"
#include "driver/isolation/kernel.h"

#define PROC_FILE_MAX     ((size_t)4 << 20) /* /proc/cpuinfo of 1,000 cores is about 1.5 MB */
#define CAP_SYS_ADMIN_BIT 21                /* capability.h, without its header */

static bool read_below(const char *root, const char *path, struct buf *out)
{
    struct err ignored = { 0 };
    char *full = str_format("%s%s", root, path);
    const bool ok = file_read(AT_FDCWD, full, PROC_FILE_MAX, out, &ignored);
    free(full);
    return ok;
}

static void attr_add(struct host_facts *facts, const char *key, const char *fmt, ...) PRINTF(3, 4);
static void attr_add(struct host_facts *facts, const char *key, const char *fmt, ...)
{
    struct host_attr *attr = &facts->attrs[facts->attr_count++];
    va_list args;
    attr->key = key;
    va_start(args, fmt);
    (void)vsnprintf(attr->value, sizeof(attr->value), fmt, args);
    va_end(args);
}

/* The text after "name<blanks>:" on the first line that starts so, or NULL. */
static const char *line_value(const char *text, const char *name)
{
    const size_t len = strlen(name);
    for (const char *at = text; at; at = strchr(at, '\n')) {
        at += *at == '\n';
        if (strncmp(at, name, len) != 0)
            continue;
        const char *rest = at + len;
        while (*rest == ' ' || *rest == '\t')
            rest++;
        if (*rest == ':')
            return rest + 1;
    }
    return NULL;
}

static int64_t count_cores(const char *root)
{
    CLEANUP(buf_fini) struct buf stat = { 0 };
    int64_t cores = 0;
    if (!read_below(root, "/proc/stat", &stat))
        return 1;
    for (const char *at = buf_borrow_str(&stat); at; at = strchr(at, '\n')) {
        at += *at == '\n';
        cores += strncmp(at, "cpu", 3) == 0 && isdigit((unsigned char)at[3]);
    }
    return cores ? cores : 1;
}

/* What Nomad itself takes for a core: base, else highest, else the present speed. */
static int64_t core_mhz(const char *root)
{
    static const char *const khz_files[] = {
        "/sys/devices/system/cpu/cpu0/cpufreq/base_frequency",
        "/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq",
    };
    for (size_t i = 0; i < COUNT(khz_files); i++) {
        CLEANUP(buf_fini) struct buf text = { 0 };
        if (!read_below(root, khz_files[i], &text))
            continue;
        const long long khz = strtoll(buf_borrow_str(&text), NULL, 10);
        if (khz > 0)
            return khz / 1000;
    }
    CLEANUP(buf_fini) struct buf info = { 0 };
    if (!read_below(root, "/proc/cpuinfo", &info))
        return 0;
    const char *mhz = line_value(buf_borrow_str(&info), "cpu MHz");
    return mhz ? strtoll(mhz, NULL, 10) : 0;
}

static bool has_sys_admin(const char *root)
{
    CLEANUP(buf_fini) struct buf status = { 0 };
    if (!read_below(root, "/proc/self/status", &status))
        return false;
    const char *caps = line_value(buf_borrow_str(&status), "CapEff");
    return caps && (strtoull(caps, NULL, 16) >> CAP_SYS_ADMIN_BIT & 1);
}

static bool has_pid_namespaces(const char *root)
{
    char *ns = str_format("%s/proc/self/ns/pid_for_children", root);
    const bool is_there = access(ns, F_OK) == 0;
    free(ns);
    return is_there && has_sys_admin(root);
}

static bool find_cgroup(struct host_facts *facts)
{
    struct err ignored = { 0 };
    char own[CGROUP_PATH_MAX];
    if (!cgroup_own(own, &ignored) || strlen(own) >= sizeof(facts->cgroup_dir))
        return false;
    memcpy(facts->cgroup_dir, own, strlen(own) + 1);
    return true;
}

/* Only root may write in v1; v2 may have been delegated. */
static const char *version_of(const struct cgroup_layout *layout, enum cgroup_controller controller)
{
    const int version = cgroup_layout_version(layout, controller);
    if (version == 2)
        return access(layout->unified, W_OK) == 0 ? "v2" : "";
    return version == 1 && access(layout->v1[controller], W_OK) == 0 ? "v1" : "";
}

static void add_controllers(const char *root, struct host_facts *out)
{
    static const struct {
        enum cgroup_controller controller;
        const char *key;
    } rows[] = {
        { CGROUP_MEMORY, "driver.agent.cgroup.memory" },
        { CGROUP_CPU, "driver.agent.cgroup.cpu" },
        { CGROUP_CPUSET, "driver.agent.cgroup.cpuset" },
        { CGROUP_PIDS, "driver.agent.cgroup.pids" },
        { CGROUP_IO, "driver.agent.cgroup.io" },
    };
    struct cgroup_layout layout;
    cgroup_layout_read(root, &layout);
    for (size_t i = 0; i < COUNT(rows); i++)
        attr_add(out, rows[i].key, "%s", version_of(&layout, rows[i].controller));
}

void host_facts_read(const char *root, struct host_facts *out)
{
    *out = (struct host_facts){ .cores = count_cores(root), .core_mhz = core_mhz(root) };
    struct utsname kernel;
    struct isolation_kernel can;
    isolation_kernel_read(&can);
    const bool has_cgroup = find_cgroup(out) && access(out->cgroup_dir, W_OK) == 0;
    attr_add(out, "driver.agent.kernel", "%s", uname(&kernel) == 0 ? kernel.release : "");
    attr_add(out, "driver.agent.cgroup_v2", "%s", has_cgroup ? "true" : "");
    attr_add(out, "driver.agent.pid_namespaces", "%s", has_pid_namespaces(root) ? "true" : "");
    attr_add(out, "driver.agent.root", "%s", geteuid() == 0 ? "true" : "");
    attr_add(out, "driver.agent.mounts", "%s", can.can_mount ? "true" : "");
    attr_add(out, "driver.agent.seccomp", "%s", can.can_filter ? "true" : "");
    attr_add(out, "driver.agent.landlock", "%.0u", can.landlock_abi);
    attr_add(out, "driver.agent.cores", "%" PRId64, out->cores);
    add_controllers(root, out);
}
