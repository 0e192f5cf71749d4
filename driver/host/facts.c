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

#define KEY(id, key, doc) "driver.agent." key,
static const char *const keys[HOST_ATTR_COUNT] = { HOST_ATTRS(KEY) };
#define DOC(id, key, doc) doc,
static const char *const docs[HOST_ATTR_COUNT] = { HOST_ATTRS(DOC) };

static void tell(struct host_facts *facts, enum host_attr_id id, const char *fmt, ...) PRINTF(3, 4);
static void tell(struct host_facts *facts, enum host_attr_id id, const char *fmt, ...)
{
    struct host_attr *attr = &facts->attrs[id];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(attr->value, sizeof(attr->value), fmt, args);
    va_end(args);
}

static void tell_if(struct host_facts *facts, enum host_attr_id id, bool is_so)
{
    tell(facts, id, "%s", is_so ? "true" : "");
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
        enum host_attr_id id;
    } rows[] = {
        { CGROUP_MEMORY, HOST_ATTR_CGROUP_MEMORY }, { CGROUP_CPU, HOST_ATTR_CGROUP_CPU },
        { CGROUP_CPUSET, HOST_ATTR_CGROUP_CPUSET }, { CGROUP_PIDS, HOST_ATTR_CGROUP_PIDS },
        { CGROUP_IO, HOST_ATTR_CGROUP_IO },
    };
    struct cgroup_layout layout;
    cgroup_layout_read(root, &layout);
    for (size_t i = 0; i < COUNT(rows); i++)
        tell(out, rows[i].id, "%s", version_of(&layout, rows[i].controller));
}

void host_facts_read(const char *root, struct host_facts *out)
{
    *out = (struct host_facts){ .cores = count_cores(root), .core_mhz = core_mhz(root) };
    struct utsname kernel;
    struct isolation_kernel can;
    isolation_kernel_read(&can);
    for (size_t i = 0; i < HOST_ATTR_COUNT; i++)
        out->attrs[i].key = keys[i];
    const bool has_cgroup = find_cgroup(out) && access(out->cgroup_dir, W_OK) == 0;
    tell(out, HOST_ATTR_VERSION, "%s", AGENT_VERSION);
    tell(out, HOST_ATTR_KERNEL, "%s", uname(&kernel) == 0 ? kernel.release : "");
    tell_if(out, HOST_ATTR_CGROUP_V2, has_cgroup);
    tell_if(out, HOST_ATTR_PID_NAMESPACES, has_pid_namespaces(root));
    tell_if(out, HOST_ATTR_ROOT, geteuid() == 0);
    tell_if(out, HOST_ATTR_NAMESPACES, can.is_root);
    tell_if(out, HOST_ATTR_MOUNTS, can.can_mount);
    tell_if(out, HOST_ATTR_SECCOMP, can.can_filter);
    tell(out, HOST_ATTR_LANDLOCK, "%.0u", can.landlock_abi);
    tell(out, HOST_ATTR_CORES, "%" PRId64, out->cores);
    add_controllers(root, out);
}

void host_facts_tell(struct host_facts *facts, enum host_attr_id id, const char *value)
{
    tell(facts, id, "%s", value);
}

void host_facts_put_doc(struct buf *out)
{
    buf_put_str(out,
                "## Attributes of a node\n\n"
                "For `constraint` and `affinity` in a job: `${attr.driver.agent.landlock}`. What "
                "a node does not have is not set.\n\n"
                "| attribute | value |\n|---|---|\n");
    for (size_t i = 0; i < HOST_ATTR_COUNT; i++)
        buf_put_fmt(out, "| `%s` | %s |\n", keys[i], docs[i]);
}
