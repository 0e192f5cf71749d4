#include "driver/limits/dirs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/own.h"
#include "common/base/time.h"
#include "common/cgroup/cgroup.h"

#define OWN_PARENT   "nomad-driver-agent" /* in v1, where Nomad has no parent */
#define PROCS_MAX    ((size_t)1 << 20)
#define PAUSE_MS     10
#define REMOVE_TRIES 20

static const char *const stems[] = { [LIMITS_AGENT] = "agent", [LIMITS_SIDECAR] = "sidecar" };

static bool is_there(const char *path) { return access(path, F_OK) == 0; }

/* What follows the cpuset mount and, with a slash before, precedes one of Nomad's own names. */
char *limits_nomad_parent(const struct cgroup_layout *layout, const char *cpuset_cgroup)
{
    static const char *const names[] = { "share", "shared", "reserve", "reserved" };
    const char *mount = layout->v1[CGROUP_CPUSET];
    const size_t len = strlen(mount);
    if (len == 0 || !cpuset_cgroup || strncmp(cpuset_cgroup, mount, len) != 0 ||
        cpuset_cgroup[len] != '/')
        return str_copy("");
    const char *begin = cpuset_cgroup + len + 1;
    for (const char *at = strchr(begin, '/'); at; at = strchr(at + 1, '/'))
        for (size_t i = 0; i < COUNT(names); i++) {
            const size_t name_len = strcspn(at + 1, "/");
            if (strlen(names[i]) == name_len && strncmp(at + 1, names[i], name_len) == 0)
                return str_copy_n(begin, (size_t)(at - begin));
        }
    return str_copy("");
}

bool limits_is_reserved(const char *cpuset_cgroup)
{
    return cpuset_cgroup &&
           (strstr(cpuset_cgroup, "/reserve/") || strstr(cpuset_cgroup, "/reserved/"));
}

char *limits_sidecar_v2(const char *agent_v2)
{
    const char *slash = strrchr(agent_v2, '/');
    const size_t stem_len = strlen(stems[LIMITS_AGENT]);
    if (!slash || strncmp(slash + 1, stems[LIMITS_AGENT], stem_len) != 0)
        return str_copy("");
    return str_format("%.*s/%s%s", (int)(slash - agent_v2), agent_v2, stems[LIMITS_SIDECAR],
                      slash + 1 + stem_len);
}

static char *own_dir(const struct limits_place *place, enum limits_who who,
                     enum cgroup_controller controller)
{
    return str_format("%s/" OWN_PARENT "/%s-%s", place->layout->v1[controller], stems[who],
                      place->key);
}

bool limits_v1_dir(const struct limits_place *place, enum limits_who who,
                   enum cgroup_controller controller, char **out)
{
    CLEANUP(str_freep)
    char *of_nomad = str_format("%s/%s/%s.%s", place->layout->v1[controller], place->nomad,
                                place->alloc_id, place->task_name);
    if (who == LIMITS_AGENT && place->nomad[0] != '\0' && is_there(of_nomad)) {
        *out = STEAL(of_nomad);
        return false;
    }
    *out = own_dir(place, who, controller);
    return true;
}

bool limits_is_own(const struct limits_place *place, enum limits_who who, const char *dir)
{
    const char *name = strrchr(dir, '/');
    CLEANUP(str_freep) char *ours = str_format("/%s-%s", stems[who], place->key);
    CLEANUP(str_freep) char *nomads = str_format("/%s.%s", place->alloc_id, place->task_name);
    return name && (strcmp(name, ours) == 0 || (who == LIMITS_AGENT && strcmp(name, nomads) == 0));
}

static void pause_ms(long ms)
{
    const struct timespec span = { .tv_nsec = ms * NS_PER_MS };
    (void)nanosleep(&span, NULL);
}

/* One round; true when nobody was there. The numbers were read a moment ago from the cgroup. */
static bool kill_round(const char *dir)
{
    CLEANUP(buf_fini) struct buf text = { 0 };
    struct err ignored = { 0 };
    CLEANUP(str_freep) char *path = str_format("%s/cgroup.procs", dir);
    if (!file_read(AT_FDCWD, path, PROCS_MAX, &text, &ignored))
        return true;
    bool is_empty = true;
    for (char *at = (char *)buf_borrow_str(&text), *end = at; *at; at = end + strspn(end, "\n")) {
        const long pid = strtol(at, &end, 10);
        if (end == at)
            break;
        if (pid <= 0)
            continue; /* of a PID namespace that we do not see */
        is_empty = false;
        (void)kill((pid_t)pid, SIGKILL);
    }
    return is_empty;
}

static bool kill_all(const struct limits_place *place)
{
    CLEANUP(str_freep) char *sidecar = limits_sidecar_v2(place->agent_v2);
    bool is_empty = sidecar[0] == '\0' || kill_round(sidecar);
    for (unsigned who = LIMITS_AGENT; who <= LIMITS_SIDECAR; who++)
        for (unsigned c = 0; c < CGROUP_CONTROLLER_COUNT; c++) {
            CLEANUP(str_freep) char *dir = own_dir(place, who, c);
            if (place->layout->v1[c][0] != '\0' && is_there(dir))
                is_empty = kill_round(dir) && is_empty;
        }
    return is_empty;
}

bool limits_dirs_empty(const struct limits_place *place, int64_t max_ms, struct err *err)
{
    const struct boot begun = boot_now();
    while (!kill_all(place)) {
        if (boot_diff_ms(boot_now(), begun) >= max_ms)
            return err_set(err, ERR_UNAVAILABLE, "empty the task's cgroups: somebody lives on");
        pause_ms(PAUSE_MS);
    }
    return true;
}

/* A process that was just killed holds its cgroup for a moment. */
static bool remove_one(const char *path, struct err *err)
{
    for (int i = 0;; i++) {
        if (rmdir(path) == 0 || errno == ENOENT)
            return true;
        if (errno == EBUSY && i < REMOVE_TRIES) {
            pause_ms(PAUSE_MS);
            continue;
        }
        if (errno == EBUSY)
            return err_set(err, ERR_CONFLICT, "remove cgroup \"%s\": still in use", path);
        if (errno == EACCES || errno == EPERM || errno == EROFS)
            return err_set(err, ERR_DENIED, "remove cgroup \"%s\": permission denied", path);
        return err_sys(err, errno, "remove cgroup \"%s\"", path);
    }
}

/* Empty only when no other task is limited there; whoever makes one there tries again. */
static void remove_parents(const struct cgroup_layout *layout)
{
    for (unsigned c = 0; c < CGROUP_CONTROLLER_COUNT; c++) {
        CLEANUP(str_freep) char *parent = str_format("%s/" OWN_PARENT, layout->v1[c]);
        if (layout->v1[c][0] != '\0')
            (void)rmdir(parent);
    }
}

bool limits_dirs_remove(const struct limits_place *place, struct err *err)
{
    CLEANUP(str_freep) char *sidecar = limits_sidecar_v2(place->agent_v2);
    if (sidecar[0] != '\0' && is_there(sidecar) && !remove_one(sidecar, err))
        return false;
    for (unsigned who = LIMITS_AGENT; who <= LIMITS_SIDECAR; who++)
        for (unsigned c = 0; c < CGROUP_CONTROLLER_COUNT; c++) {
            CLEANUP(str_freep) char *dir = own_dir(place, who, c);
            if (place->layout->v1[c][0] != '\0' && is_there(dir) && !remove_one(dir, err))
                return false;
        }
    remove_parents(place->layout);
    return true;
}
