/* tree.h - all processes of the agent as one thing: freeze it, kill it, know that it is gone.
 *
 * Up to three holds on it, as the machine allows: the keeper's PID namespace (complete, also when
 * the shim dies), a cgroup v2 (freeze, and kill what has left the namespace's reach), and being
 * the subreaper (then whatever is left becomes our child and is killed as such). */
#pragma once
#include <sys/types.h>

#include "common/cgroup/cgroup.h"
#include "driver/shim/keeper.h"

struct shim_spared { /* children of ours that are not the agent's; 0: none */
    pid_t sidecar, scribe;
};

struct shim_tree {
    struct keeper keeper;
    bool keeper_gone;
    struct cgroup cgroup;
};

/** Takes the keeper over; opens or makes `cgroup_dir` unless it is "". Errors: as cgroup_open. */
MUST_USE bool shim_tree_open(struct shim_tree *tree, const struct keeper *keeper,
                             const char *cgroup_dir, struct err *err);

/** SHIM_CONTAINED_* in force. */
uint8_t shim_tree_containment(const struct shim_tree *tree);

/** Starts a freeze or a thaw; nothing without a cgroup. A refusal shows as not frozen. */
void shim_tree_freeze(const struct shim_tree *tree, bool on);

/** True when everything is frozen now. */
bool shim_tree_is_frozen(const struct shim_tree *tree);

/** Freezes and kills all but the spared; may be called again. */
void shim_tree_kill(const struct shim_tree *tree, struct shim_spared spared);

/** True when nothing is left, provided that the main process has been reaped. */
bool shim_tree_is_empty(const struct shim_tree *tree, struct shim_spared spared);

/** Ends a keeper that never had an agent; thaws, and removes the cgroup if we made it. What cannot
 *  be removed stays for the driver. */
void shim_tree_close(struct shim_tree *tree);
