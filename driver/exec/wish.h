/* wish.h - what is to be executed and where, put together as the helper's spec.
 *
 * The command gets what the agent has: user, plan, directory and environment as they were at its
 * start; its namespaces and cgroups as they are. Reads nothing but random bytes. */
#pragma once
#include <sys/types.h>

#include "driver/exec/inside.h"
#include "driver/exec/launch.h"

struct exec_wish {           /* borrows */
    const char *const *argv; /* NULL-terminated, not empty */
    enum exec_mode mode;
};

struct exec_target { /* a running task; borrows */
    const struct inside *inside;
    pid_t agent_pid;
    uint64_t agent_start_ticks, epoch;
    const char *boot_id;
    const char *api_path;
    const char *cgroup_dir; /* the agent's; "" none */
};

/** The sealed spec, and the path of the cgroup that the helper will make ("" none; the caller's).
 *  `argv[0]` is looked for as a task's command is: absolute, or in the task's local/, its
 * directory, its PATH; by the helper, as the task sees its files. Errors: INVALID too long; SYSTEM.
 */
MUST_USE bool exec_wish_seal(const struct exec_wish *wish, const struct exec_target *target,
                             struct fd *out_spec, char **out_cgroup, struct err *err);
