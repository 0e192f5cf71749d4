/* inside.h - what is remembered of a task for those who come later: execs.
 *
 * From its launch record (who and where the agent is) and from Nomad (the environment, which is in
 * no record of ours). Compact: there is one for every task. */
#pragma once
#include "common/base/buf.h"
#include "common/shimwire/launch.h"

struct task_spec;

struct inside {    /* owns; zeroed is empty */
    bool is_known; /* false: the launch record is an older driver's */
    uint32_t uid, gid;
    uint32_t *groups;
    size_t group_count;
    char *cwd, *agent_name, *state_path; /* the last two "" without a sidecar */
    struct buf isolation;
    char *task_dir; /* NULL: Nomad has not told us, and the environment is not known either */
    struct buf env; /* may hold secrets: wiped */
    size_t env_count;
    char *shim; /* the program; NULL: not found */
};

/** From the launch record; replaces what was from an earlier one. */
void inside_take_launch(struct inside *inside, const struct launch_inside *from);
/** Takes the environment out of `spec`, and where the task's directory is. */
void inside_take_spec(struct inside *inside, struct task_spec *spec);
/** Wipes and releases; zeroed memory is fine. */
void inside_fini(struct inside *inside);
