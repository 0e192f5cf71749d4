/* tree.h - all processes of one exec as one thing: made, killed, known to be gone.
 *
 * With a cgroup of the exec's own below the agent's. Without one what is our child or in the
 * command's session. Blocking, for the helper only. */
#pragma once
#include <sys/types.h>

#include "common/cgroup/cgroup.h"

struct enter_tree {
    struct cgroup agent; /* to know of kills for memory; CGROUP_NONE without one */
    struct cgroup own;
    uint64_t oom_kills_before;
};

/** Makes `name` in the agent's cgroup `dir` ("": the agent has none, and neither has the exec).
 *  Errors: NOT_FOUND the agent's cgroup is gone; DENIED, SYSTEM. */
MUST_USE bool enter_tree_open(struct enter_tree *tree, const char *dir, const char *name,
                              struct err *err);

/** Kills everything, and waits until it is gone; `command` is our child, not reaped yet (0: none).
 *  Errors: UNAVAILABLE something is left after 5 s; SYSTEM. */
MUST_USE bool enter_tree_empty(struct enter_tree *tree, pid_t command, struct err *err);

/** True when the kernel has killed for memory in the agent's cgroup since enter_tree_open. */
bool enter_tree_has_oom(const struct enter_tree *tree);

/** Removes the exec's cgroup. What cannot be removed goes with the agent's. */
void enter_tree_close(struct enter_tree *tree);
