/* birth.h - the moment of no return in a start: cgroup, launch record, sealed spec, spawned shim.
 *
 * The record is durable before the shim exists. Blocking: on workers only.
 * Tested by driver/task/life_test.c. */
#pragma once
#include "common/base/fd.h"
#include "common/proc/spawn.h"
#include "common/shimwire/launch.h"
#include "driver/task/paths.h"

struct plugin_config;
struct task_plan;
struct task_spec;

struct birth_in { /* borrows */
    const struct task_spec *spec;
    const struct plugin_config *config;
    const struct task_paths *paths;
    const struct task_plan *plan;
    const char *boot_id;
    int lock_fd;
    int stdout_fd; /* the log collector's, or with birth_has_own_logs the directory of logs */
    int stderr_fd; /* -1 then */
};

struct birth_out {        /* owns */
    struct launch launch; /* also set on failure: what to undo */
    struct proc shim;     /* our child: to be reaped */
    struct fd control;    /* connected to it */
    char *unlimited;      /* limits that are not enforced here, for people; NULL all are */
};

/** True when the shim of this task writes its log files. */
bool birth_has_own_logs(const struct plugin_config *config, const struct task_spec *spec);

/** Makes the cgroups with their limits, publishes the record and spawns. On failure `out` holds no
 * process, and `out->launch.cgroup_dir` what remains to be removed. Errors: INVALID the spec is too
 * large, or a limit cannot be had, naming its key; NOT_FOUND, DENIED the shim; SYSTEM, UNAVAILABLE
 * no memory, descriptors or space. */
MUST_USE bool birth(const struct birth_in *in, struct birth_out *out, struct err *err);
