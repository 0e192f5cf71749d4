/* plan.h - what surrounds the agent, as data: decided by the driver, applied by the shim's child.
 *
 * A value that travels as bytes inside the shim's spec. What a plan asks for and cannot be had is
 * an error, never silently less. Who the agent runs as and where is in the spec itself. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"

#define ISOLATION_BYTES 16 /* version, mounts, flags, nice, oom_score_adj, 8 zero */

enum isolation_mounts {
    ISOLATION_MOUNTS_AUTO =
        0, /* own namespace where a PID namespace is in force; else the host's */
    ISOLATION_MOUNTS_HOST = 1, /* the shim's own mounts, /proc of the host */
    ISOLATION_MOUNTS_OWN = 2   /* own namespace or the start fails */
};

struct isolation_plan {
    enum isolation_mounts mounts; /* own: the agent's mounts stay inside, fresh /proc */
    bool no_new_privs;
    bool core_dumps;       /* false: RLIMIT_CORE 0 */
    int32_t oom_score_adj; /* of the agent; 0 or more: or what it has already, if that is higher */
    int32_t nice;          /* -20 ... 19, or ISOLATION_NICE_KEEP: what the shim was started with */
};
#define ISOLATION_NICE_KEEP 127

/** The plan of a spec that has none: mounts AUTO, no_new_privs, no cores, oom score 0. */
struct isolation_plan isolation_default(void);

/** The plan's bytes. */
void isolation_encode(const struct isolation_plan *plan, uint8_t out[ISOLATION_BYTES]);

/** Empty bytes are isolation_default(). Errors: CORRUPT. */
MUST_USE bool isolation_decode(struct view bytes, struct isolation_plan *out, struct err *err);
