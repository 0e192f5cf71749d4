/* dirs.h - the cgroup directories of a task: their names, and away with ours.
 *
 * Ours are found from the launch record, the key and the mount table alone (L5), so that any later
 * driver can. Blocking, a few system calls: on workers only. DESIGN.md, Who is limited. */
#pragma once
#include "common/cgroup/layout.h"
#include "driver/limits/plan.h"

struct limits_place { /* borrows; whose directories */
    const struct cgroup_layout *layout;
    const char *agent_v2; /* the agent's v2 cgroup; "" none */
    const char *nomad;    /* Nomad's parent in v1, such as "nomad"; "" none or not known */
    const char *alloc_id, *task_name, *key;
};

/** Nomad's parent in v1 from the directory that it prepared for cpusets: "nomad" from
 *  ".../cpuset/nomad/share"; "" when it is none such. The caller owns the text. */
char *limits_nomad_parent(const struct cgroup_layout *layout, const char *cpuset_cgroup);

/** True for a cpuset directory of the task alone, in which cores may be written. */
bool limits_is_reserved(const char *cpuset_cgroup);

/** The sidecar's v2 cgroup beside the agent's: ".../sidecar-k" for ".../agent-k"; "" for "". The
 *  caller owns the text. */
char *limits_sidecar_v2(const char *agent_v2);

/** Where a v1 cgroup is or is to be made; Nomad's own where it has made one. The caller owns
 *  `*out`. True when it is ours. */
bool limits_v1_dir(const struct limits_place *place, enum limits_who who,
                   enum cgroup_controller controller, char **out);

/** True when v1 directory `dir` is one that limits_v1_dir gives for `who`, and so theirs alone. */
bool limits_is_own(const struct limits_place *place, enum limits_who who, const char *dir);

/** Kills whoever is left in them or below, and removes what was made below; not in the agent's v2
 *  cgroup, which the caller has emptied. Errors: UNAVAILABLE somebody is there after `max_ms`;
 *  DENIED, SYSTEM one cannot be looked into, which is not the same as empty. */
MUST_USE bool limits_dirs_empty(const struct limits_place *place, int64_t max_ms, struct err *err);

/** Removes those that are ours with all below them, but for the agent's v2 cgroup. Absent is fine.
 *  Errors: UNAVAILABLE still in use; DENIED, SYSTEM. */
MUST_USE bool limits_dirs_remove(const struct limits_place *place, struct err *err);
