/* agent_hcl.h - the configuration text of a task's sidecar, written from the job's config.
 *
 * The same language as `agent-sidecar run -config`. Every value is quoted so that the parser gives
 * back the same bytes. Pure. */
#pragma once
#include "common/base/buf.h"

struct task_config;

struct agent_hcl {
    const char *name;  /* of the agent: the identity of its state */
    const char *store; /* default when the job names none */
    const char *key_file;
    const char *state_path; /* absolute */
    const char *api_path;
    const char *node, *alloc_id, *region; /* region may be "" */
    const struct task_config *config;
};

/** Appends the text. `in->config->has_state` or `has_lease` is true (asserted). */
void agent_hcl_put(const struct agent_hcl *in, struct buf *out);

/** Appends `text` as a quoted HCL string: backslash, quote, control characters and the template
 *  openers are escaped. */
void agent_hcl_put_quoted(struct buf *out, const char *text);
