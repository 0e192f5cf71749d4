/* logs.h - the shim's own log collection: two pipes, and the scribe that empties them
 * (driver/logs).
 *
 * For tasks whose logs Nomad does not collect. The shim keeps the pipes' read ends and never reads
 * them, so that the death of a scribe loses nothing and the next one goes on.
 * Tested by tests/scenario/shim_logs_test.c. */
#pragma once
#include <sys/types.h>

#include "common/base/buf.h"
#include "common/shimwire/spec.h"
#include "driver/logs/rotation.h"
#include "driver/shim/fds.h"

#define SHIM_LOGS_DEATHS_MAX 100 /* of the scribes of one task */

struct shim_logs {      /* SHIM_LOGS_NONE: somebody else collects */
    struct fd out, err; /* read ends */
    struct fd pidfd;
    pid_t scribe; /* 0: none */
    unsigned deaths;
    int nice; /* the scribe's */
    uint64_t max_bytes;
    uint32_t max_files;
    char stems[2][ROTATION_STEM_MAX + 1];
};
#define SHIM_LOGS_NONE ((struct shim_logs){ .out = FD_NONE, .err = FD_NONE, .pidfd = FD_NONE })

/** Does nothing when the spec has no log directory. Else makes the pipes, whose write ends become
 *  `fds->out` and `fds->err`, and starts a scribe with niceness `nice`. Errors: SYSTEM. */
MUST_USE bool shim_logs_open(struct shim_logs *logs, const struct shim_spec *spec,
                             struct shim_fds *fds, int nice, struct view forget, struct err *err);

/** The scribe was reaped: starts another, outside of the agent's PID namespace. Our next children
 *  are born outside, too. Errors: SYSTEM; INVALID too many have died: then the pipes break. */
MUST_USE bool shim_logs_renew(struct shim_logs *logs, const struct shim_fds *fds, struct err *err);

/** Our write ends are closed: waits until the scribe has written all, at most `wait_ms`; then it is
 *  killed. It is reaped, too. */
void shim_logs_close(struct shim_logs *logs, int wait_ms);
