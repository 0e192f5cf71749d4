#include "driver/limits/apply.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/fd.h"
#include "common/base/file.h"
#include "common/base/own.h"

#define DIR_MODE   0755
#define MAKE_TRIES 10 /* another task's end may take the empty parent away in between */
#define CPUS_MAX   4096
/* What a child writes "0" into, to enter. In v1 `tasks`: it moves the one thread that asks, and
 * that is all a child has yet. `cgroup.procs` moves a process, for which the kernel stops every
 * fork and exit of the machine and waits for a grace period: 5 to 20 ms in one start of seven. */
#define ENTER_V1 "tasks"
#define ENTER_V2 "cgroup.procs"

struct applying {
    const struct limits_site *site;
    struct limits_plan plan;
    struct limits_applied *out;
};

static char *parent_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return str_copy_n(path, slash ? (size_t)(slash - path) : 0);
}

static bool is_writable(const char *path) { return access(path, W_OK) == 0; }

void limits_host_find(const struct limits_site *site, struct limits_host *out)
{
    const struct cgroup_layout *layout = site->place.layout;
    *out = (struct limits_host){ 0 };
    for (unsigned c = 0; c < CGROUP_CONTROLLER_COUNT; c++)
        if (c != CGROUP_CPUSET && layout->v1[c][0] != '\0' && is_writable(layout->v1[c]))
            out->v1 |= CGROUP_BIT(c);
    if (limits_is_reserved(site->cpuset) && is_writable(site->cpuset))
        out->v1 |= CGROUP_BIT(CGROUP_CPUSET);
    if (site->place.agent_v2[0] == '\0')
        return;
    CLEANUP(str_freep) char *parent = parent_of(site->place.agent_v2);
    out->v2 = cgroup_controllers_in(parent, "cgroup.controllers");
    out->v1 &= ~out->v2;
}

/* Enabling is refused while the parent holds processes itself: then only what is enabled counts. */
static unsigned enable_v2(const struct limits_site *site, unsigned wanted)
{
    CLEANUP(str_freep) char *parent = parent_of(site->place.agent_v2);
    const unsigned enabled = cgroup_controllers_in(parent, "cgroup.subtree_control");
    CLEANUP(str_freep) char *path = str_format("%s/cgroup.subtree_control", parent);
    for (unsigned c = 0; c < CGROUP_CONTROLLER_COUNT; c++) {
        if (!(wanted & ~enabled & CGROUP_BIT(c)))
            continue;
        CLEANUP(fd_closep) struct fd file = { open(path, O_WRONLY | O_CLOEXEC) };
        CLEANUP(str_freep) char *text = str_format("+%s", cgroup_controller_name(c, 2));
        struct err ignored = { 0 };
        if (!fd_is_open(file) || !fd_write_all(file.raw, text, strlen(text), &ignored))
            continue; /* one by one: a missing one does not take the others along */
    }
    return cgroup_controllers_in(parent, "cgroup.subtree_control");
}

static bool make_dir(const char *path, struct err *err)
{
    CLEANUP(str_freep) char *parent = parent_of(path);
    for (int i = 0; i < MAKE_TRIES; i++) {
        if (mkdir(path, DIR_MODE) == 0 || errno == EEXIST)
            return true;
        if (errno != ENOENT)
            break;
        if (mkdir(parent, DIR_MODE) < 0 && errno != EEXIST)
            break;
    }
    return err_sys(err, errno, "make cgroup \"%s\"", path);
}

static bool is_not_here(int code)
{
    return code == ENOENT || code == EACCES || code == EPERM || code == EROFS;
}

/* 0, or why not. */
static int write_value(const char *dir, const char *file, const char *value)
{
    CLEANUP(str_freep) char *path = str_format("%s/%s", dir, file);
    CLEANUP(fd_closep) struct fd out = { open(path, O_WRONLY | O_CLOEXEC) };
    if (!fd_is_open(out))
        return errno;
    return write(out.raw, value, strlen(value)) < 0 ? errno : 0;
}

/* The directory for a write: NULL when this task has none of that kind. The caller owns it. */
static char *dir_for(const struct limits_site *site, const struct limits_write *write, bool is_v2)
{
    const char *agent = site->place.agent_v2;
    char *path = NULL;
    if (!is_v2 && write->controller == CGROUP_CPUSET)
        return str_copy(site->cpuset);
    if (!is_v2) {
        const enum limits_who who = write->who == LIMITS_SIDECAR ? LIMITS_SIDECAR : LIMITS_AGENT;
        (void)limits_v1_dir(&site->place, who, write->controller, &path);
        return path;
    }
    if (write->who == LIMITS_SIDECAR)
        return limits_sidecar_v2(agent);
    /* Nomad's scope holds the agent's in one of a plain name. */
    const char *name = strrchr(agent, '/');
    if (write->who == LIMITS_TASK && name && strcmp(name, "/agent") == 0)
        return parent_of(agent);
    return str_copy(agent);
}

static bool refuse(struct applying *a, const struct limits_write *write, const char *value,
                   int code, bool is_strict, struct err *err)
{
    if (write->need == LIMITS_HINT)
        return true;
    if (write->need == LIMITS_PLAIN && !is_strict && is_not_here(code)) {
        limits_plan_miss(&a->plan, write->key);
        return true;
    }
    (void)err_set(err, ERR_INVALID, "task: limit %s: the kernel refuses \"%s\" for %s: %s",
                  write->key, value, write->ways[0].file, strerror(code));
    err->os_errno = code;
    return false;
}

static bool write_one(struct applying *a, const struct limits_write *write, bool is_strict,
                      struct err *err)
{
    const bool is_v2 = (a->plan.v2 & CGROUP_BIT(write->controller)) != 0;
    CLEANUP(str_freep) char *dir = dir_for(a->site, write, is_v2);
    const char *value = write->long_value ? write->long_value : write->ways[0].value;
    int code = dir[0] ? write_value(dir, write->ways[0].file, value) : ENOENT;
    if (code == ENOENT && dir[0] && write->ways[1].file) {
        value = write->ways[1].value;
        code = write_value(dir, write->ways[1].file, value);
    }
    return code == 0 || refuse(a, write, value, code, is_strict, err);
}

static bool add_enter(char **list, const char *dir, const char *file)
{
    for (size_t i = 0; i < LIMITS_ENTERS_MAX; i++)
        if (!list[i]) {
            list[i] = str_format("%s/%s", dir, file);
            return true;
        }
    return false;
}

static bool is_listed(char *const *list, const char *dir)
{
    for (size_t i = 0; list[i]; i++)
        if (strncmp(list[i], dir, strlen(dir)) == 0 &&
            strcmp(list[i] + strlen(dir), "/" ENTER_V1) == 0)
            return true;
    return false; /* "cpu" and "cpuacct" may be one hierarchy */
}

static bool make_v1(struct applying *a, enum limits_who who, unsigned controllers, struct err *err)
{
    char **list = who == LIMITS_AGENT ? a->out->agent : a->out->sidecar;
    for (unsigned c = 0; c < CGROUP_CONTROLLER_COUNT; c++) {
        if (!(controllers & CGROUP_BIT(c)) || c == CGROUP_CPUSET)
            continue;
        CLEANUP(str_freep) char *dir = NULL;
        if (limits_v1_dir(&a->site->place, who, c, &dir) && !make_dir(dir, err))
            return false;
        if (!is_listed(list, dir))
            (void)add_enter(list, dir, ENTER_V1);
        if (c == CGROUP_MEMORY && who == LIMITS_AGENT)
            a->out->memory_dir = STEAL(dir);
    }
    return true;
}

/* A v1 cpuset that was just made has no memory nodes, and nobody can enter it: its parent's. */
static void fill_mems(const char *cpuset)
{
    CLEANUP(str_freep) char *parent = parent_of(cpuset);
    CLEANUP(str_freep) char *path = str_format("%s/cpuset.mems", parent);
    CLEANUP(str_freep) char *own = str_format("%s/cpuset.mems", cpuset);
    CLEANUP(buf_fini) struct buf mems = { 0 };
    CLEANUP(buf_fini) struct buf has = { 0 };
    struct err ignored = { 0 };
    if (file_read(AT_FDCWD, own, CPUS_MAX, &has, &ignored) && has.len <= 1 &&
        file_read(AT_FDCWD, path, CPUS_MAX, &mems, &ignored))
        (void)write_value(cpuset, "cpuset.mems", buf_borrow_str(&mems));
}

/* Entering a cpuset without cores or memory is refused by the kernel; Nomad fills its own. */
static bool is_enterable(const char *cpuset)
{
    static const char *const files[] = { "cpuset.cpus", "cpuset.mems" };
    for (size_t i = 0; i < COUNT(files); i++) {
        CLEANUP(str_freep) char *path = str_format("%s/%s", cpuset, files[i]);
        CLEANUP(buf_fini) struct buf text = { 0 };
        struct err ignored = { 0 };
        if (!file_read(AT_FDCWD, path, CPUS_MAX, &text, &ignored) || text.len <= 1)
            return false;
    }
    return true;
}

static void enter_cpuset(struct applying *a)
{
    const char *mount = a->site->place.layout->v1[CGROUP_CPUSET];
    const char *cpuset = a->site->cpuset;
    if (mount[0] != '\0' && strncmp(cpuset, mount, strlen(mount)) == 0 && is_enterable(cpuset))
        (void)add_enter(a->out->agent, cpuset, ENTER_V1);
}

/* The sidecar has a v2 cgroup wherever the agent has one: it is counted there. */
static void make_sidecar_v2(struct applying *a)
{
    CLEANUP(str_freep) char *dir = limits_sidecar_v2(a->site->place.agent_v2);
    struct err ignored = { 0 };
    if (a->site->has_sidecar && dir[0] != '\0' && make_dir(dir, &ignored))
        (void)add_enter(a->out->sidecar, dir, ENTER_V2);
}

/* Nomad's freezer of the task, and CPU time where no v2 cgroup counts it. */
static unsigned extra_v1(const struct applying *a, const struct limits_host *host)
{
    unsigned extra = 0;
    CLEANUP(str_freep) char *freezer = NULL;
    if (a->site->place.layout->v1[CGROUP_FREEZER][0] != '\0' &&
        !limits_v1_dir(&a->site->place, LIMITS_AGENT, CGROUP_FREEZER, &freezer))
        extra |= CGROUP_BIT(CGROUP_FREEZER);
    if (a->site->place.agent_v2[0] == '\0')
        extra |= host->v1 & CGROUP_BIT(CGROUP_CPUACCT);
    return extra;
}

static void note_results(struct applying *a)
{
    CLEANUP(buf_fini) struct buf missing = { 0 };
    if (!a->out->memory_dir && (a->plan.v2 & CGROUP_BIT(CGROUP_MEMORY)))
        a->out->memory_dir = str_copy(a->site->place.agent_v2);
    if (a->plan.affinity[0] != '\0')
        a->out->affinity = str_copy(a->plan.affinity);
    for (size_t i = 0; i < a->plan.missing_count; i++)
        buf_put_fmt(&missing, "%s%s", i ? ", " : "", a->plan.missing[i]);
    if (missing.len > 0)
        a->out->missing = str_copy(buf_borrow_str(&missing));
}

static bool apply(struct applying *a, const struct limits_want *want, struct err *err)
{
    struct limits_host host;
    limits_host_find(a->site, &host);
    if (!limits_plan_make(want, &host, &a->plan, err))
        return false;
    if (a->plan.v2 && (enable_v2(a->site, a->plan.v2) & a->plan.v2) != a->plan.v2) {
        CLEANUP(str_freep) char *parent = parent_of(a->site->place.agent_v2);
        host.v2 &= cgroup_controllers_in(parent, "cgroup.subtree_control");
        if (!limits_plan_make(want, &host, &a->plan, err))
            return false;
    }
    make_sidecar_v2(a);
    if (!make_v1(a, LIMITS_AGENT, a->plan.agent_v1 | extra_v1(a, &host), err) ||
        (a->site->has_sidecar && !make_v1(a, LIMITS_SIDECAR, a->plan.sidecar_v1, err)))
        return false;
    if (a->plan.agent_v1 & CGROUP_BIT(CGROUP_CPUSET))
        fill_mems(a->site->cpuset);
    for (size_t i = 0; i < a->plan.write_count; i++)
        if ((a->plan.writes[i].who != LIMITS_SIDECAR || a->site->has_sidecar) &&
            !write_one(a, &a->plan.writes[i], want->is_strict, err))
            return false;
    enter_cpuset(a);
    note_results(a);
    return true;
}

bool limits_apply(const struct limits_site *site, const struct limits_want *want,
                  struct limits_applied *out, struct err *err)
{
    struct applying a = { .site = site, .out = out };
    struct limits_want wanted = *want;
    *out = (struct limits_applied){ 0 };
    if (!site->has_sidecar)
        wanted.sidecar = 0;
    if (apply(&a, &wanted, err))
        return true;
    struct err inner = { 0 };
    limits_applied_fini(out);
    if (limits_dirs_remove(&site->place, &inner))
        return false;
    return err_wrap(err, "not all undone (%s)", inner.msg);
}

void limits_applied_fini(struct limits_applied *applied)
{
    for (size_t i = 0; i <= LIMITS_ENTERS_MAX; i++) {
        free(applied->agent[i]);
        free(applied->sidecar[i]);
    }
    free(applied->memory_dir);
    free(applied->affinity);
    free(applied->missing);
    *applied = (struct limits_applied){ 0 };
}
