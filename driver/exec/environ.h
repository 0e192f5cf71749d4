/* environ.h - the environment of a task's processes: Nomad's, and what we add for the agent's API.
 *
 * The same for the agent itself (birth.h) and for what is executed in its task later. Values may be
 * secrets: the list points to where they are already, nothing of Nomad's is copied. Pure. */
#pragma once
#include <stdint.h>

#include "common/base/buf.h"

struct environ_in {        /* borrows */
    const struct buf *env; /* "NAME=value\0" for each (task_spec.h) */
    size_t env_count;
    const char *agent_name; /* NULL or "": the task has no sidecar, and gets none of ours */
    const char *api_path, *state_path;
    uint64_t epoch;   /* 0: not known yet; the shim adds it for the agent */
    const char *term; /* set when Nomad's has no TERM; NULL */
};

struct environ {       /* owns the array and our own texts; zeroed is empty */
    const char **list; /* NULL-terminated */
    char *made[5];
    size_t made_count;
};

/** Fills the list; `in` must outlive it. What Nomad's environment has under our names is left out:
 *  an agent that was given another AGENT_API would talk to somebody else's sidecar. */
void environ_fill(const struct environ_in *in, struct environ *out);
/** Zeroed memory is fine. */
void environ_fini(struct environ *list);

/** The value of `name` in Nomad's environment, lent, or NULL. */
const char *environ_value(const struct buf *env, size_t count, const char *name);
