/* layout.h - which cgroup controllers this machine has, in which version, and where.
 *
 * A controller is in v2 or in one v1 hierarchy, never in both; hybrid hosts have v2 without
 * controllers beside v1. Reads below a root directory, so that a test owns the machine. Allocates
 * nothing, cannot fail: what cannot be read is absent. Kernel doc: cgroup-v1, cgroup-v2. */
#pragma once
#include <stdbool.h>
#include <sys/types.h>

#include "common/base/buf.h"
#include "common/cgroup/mount.h"

#define CGROUP_CONTROLLERS(X) /* controller, its name in v1, in v2 ("" absent) */ \
    X(MEMORY, "memory", "memory")                                                 \
    X(CPU, "cpu", "cpu")                                                          \
    X(CPUACCT, "cpuacct", "")                                                     \
    X(CPUSET, "cpuset", "cpuset")                                                 \
    X(PIDS, "pids", "pids")                                                       \
    X(IO, "blkio", "io")                                                          \
    X(FREEZER, "freezer", "")

#define CGROUP_CONTROLLER_ENUM(controller, v1, v2) CGROUP_##controller,
enum cgroup_controller { CGROUP_CONTROLLERS(CGROUP_CONTROLLER_ENUM) CGROUP_CONTROLLER_COUNT };

#define CGROUP_BIT(controller) (1U << (controller))

struct cgroup_layout {
    char unified[CGROUP_PATH_MAX]; /* where v2 is mounted; "" not */
    unsigned unified_has;          /* CGROUP_BIT of each controller that v2 offers at its root */
    char v1[CGROUP_CONTROLLER_COUNT][CGROUP_PATH_MAX]; /* where mounted in v1; "" not */
};

/** This machine's. `root` is "" in production. */
void cgroup_layout_read(const char *root, struct cgroup_layout *out);

/** 1, 2, or 0 for a controller that is nowhere. */
int cgroup_layout_version(const struct cgroup_layout *layout, enum cgroup_controller controller);

/** One line of mountinfo into `out`: the first mount that shows a whole hierarchy counts. */
void cgroup_layout_add(struct cgroup_layout *out, struct view mountinfo_line);

/** The controllers in <dir>/<file> ("cgroup.controllers", "cgroup.subtree_control") as bits; 0 when
 *  it cannot be read. */
unsigned cgroup_controllers_in(const char *dir, const char *file);

/** The name of a controller in v1 or v2; "" where that version has none. Static. */
const char *cgroup_controller_name(enum cgroup_controller controller, int version);

/** The v1 directory that process `pid` is in; "" when it cannot be told. */
void cgroup_layout_find(const struct cgroup_layout *layout, pid_t pid,
                        enum cgroup_controller controller, char out[CGROUP_PATH_MAX]);
