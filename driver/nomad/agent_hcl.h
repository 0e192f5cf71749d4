/* agent_hcl.h - the configuration text of a task's sidecar, written from the job's config.
 *
 * The same language and key names as `agent-sidecar run -config`; every value is a quoted literal,
 * so that the parser gives the same bytes back and nothing in a job is interpolated again. Pure. */
#pragma once
#include "common/base/buf.h"
#include "common/base/err.h"

struct task_config;

struct agent_hcl {
    const char *name;        /* of the agent: the identity of its state */
    const char *store;       /* for a state that names none; NULL: none */
    const char *lease_store; /* for a lease that names none; NULL: the state's store */
    int64_t lease_ttl_ms;    /* for a lease that has none */
    const char *key_file;
    const char *state_path; /* absolute */
    const char *api_path;
    const char *node, *alloc_id, *region;
    const struct task_config *config; /* has_state is true (asserted) */
};

/** Appends the text. Errors: INVALID no store named by the job nor by the plugin, a margin that
 *  does not fit the ttl, a value that is not UTF-8. */
MUST_USE bool agent_hcl_put(const struct agent_hcl *in, struct buf *out, struct err *err);
