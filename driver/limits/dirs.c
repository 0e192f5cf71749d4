#include "driver/limits/dirs.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/base/own.h"
#include "common/base/time.h"
#include "common/cgroup/tree.h"

#define OWN_PARENT "nomad-driver-agent" /* in v1, where Nomad has no parent */
#define PAUSE_MS   10

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

/* One round over all that are there. A directory that cannot be read is not an empty one. */
static bool clear_all(const struct limits_place *place, bool *out_is_empty, struct err *err)
{
    CLEANUP(str_freep) char *sidecar = limits_sidecar_v2(place->agent_v2);
    bool is_empty = true;
    *out_is_empty = true;
    if (sidecar[0] != '\0' && !cgroup_clear(sidecar, out_is_empty, err))
        return false;
    for (unsigned who = LIMITS_AGENT; who <= LIMITS_SIDECAR; who++)
        for (unsigned c = 0; c < CGROUP_CONTROLLER_COUNT; c++) {
            CLEANUP(str_freep) char *dir = own_dir(place, who, c);
            if (place->layout->v1[c][0] != '\0' && !cgroup_clear(dir, &is_empty, err))
                return false;
            *out_is_empty = is_empty && *out_is_empty;
        }
    return true;
}

bool limits_dirs_empty(const struct limits_place *place, int64_t max_ms, struct err *err)
{
    const struct boot begun = boot_now();
    for (bool is_empty = false;;) {
        if (!clear_all(place, &is_empty, err))
            return false;
        if (is_empty)
            return true;
        if (boot_diff_ms(boot_now(), begun) >= max_ms)
            return err_set(err, ERR_UNAVAILABLE, "empty the task's cgroups: somebody lives on");
        pause_ms(PAUSE_MS);
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
    if (sidecar[0] != '\0' && !cgroup_remove_tree_soon(sidecar, err))
        return false;
    for (unsigned who = LIMITS_AGENT; who <= LIMITS_SIDECAR; who++)
        for (unsigned c = 0; c < CGROUP_CONTROLLER_COUNT; c++) {
            CLEANUP(str_freep) char *dir = own_dir(place, who, c);
            if (place->layout->v1[c][0] != '\0' && !cgroup_remove_tree_soon(dir, err))
                return false;
        }
    remove_parents(place->layout);
    return true;
}
