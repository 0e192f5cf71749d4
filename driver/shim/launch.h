/* launch.h - starts the shim's two children from its spec.
 *
 * The sidecar is started before the keeper's namespace is entered, the agent inside it and straight
 * in its cgroup. Both die with the shim. Nothing is allocated: the agent's environment is put
 * together in storage of the caller. */
#pragma once
#include <sched.h>

#include "common/proc/spawn.h"
#include "common/shimwire/spec.h"
#include "driver/isolation/plan.h"
#include "driver/shim/fds.h"
#include "driver/shim/tree.h"

#define SHIM_ENV_TEXT 96

struct shim_env { /* what execve gets; points into the spec and into itself */
    const char *list[SHIM_SPEC_SLOTS + 3];
    char epoch[SHIM_ENV_TEXT], restored[SHIM_ENV_TEXT];
};

/** The agent's environment exactly as in the spec, and with a gate (NULL: none) AGENT_EPOCH and
 *  AGENT_RESTORED from it, in place of any that are there. */
void shim_env_build(struct shim_env *env, const char *const *envp, const struct shim_msg *gate);

/** Cores as the kernel writes them, "0,2-3". False: not such a text, or a core above 1023. */
bool shim_cores_parse(const char *text, cpu_set_t *out);

struct shim_launch {
    const struct shim_spec *spec;
    const struct shim_fds *fds;
    struct isolation_plan plan;
    int nice;                /* the shim's own before it raised itself */
    bool enters_cgroup_late; /* the agent; see proc_progress */
};

/** Starts the sidecar with `channel` as its descriptor 3. Errors: SYSTEM. */
MUST_USE bool shim_launch_sidecar(const struct shim_launch *launch, int channel, struct proc *out,
                                  struct err *err);

/** Starts the agent; from then on all our children are born in the keeper's namespace. Errors:
 *  SYSTEM. */
MUST_USE bool shim_launch_agent(const struct shim_launch *launch, const struct shim_tree *tree,
                                const struct shim_env *env, struct proc *out, struct err *err);

/** "execute \"/bin/x\": No such file or directory" for a failure of the agent's child. */
void shim_launch_explain(const struct shim_launch *launch, const struct proc_failure *why,
                         char out[SHIM_TEXT_MAX + 1]);
