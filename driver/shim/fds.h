/* fds.h - the shim's descriptors: what the spec lists goes to a fixed number, the rest is closed.
 *
 * Fixed, so that the last resort (panic.h) finds the cgroup without any state. Called once, before
 * anything else is open. */
#pragma once
#include "common/base/err.h"
#include "common/base/fd.h"
#include "common/shimwire/spec.h"

enum shim_fd_number {
    SHIM_FD_LOCK = 40, /* above what a test runner has open */
    SHIM_FD_CONTROL,
    SHIM_FD_STDIN,
    SHIM_FD_STDOUT,
    SHIM_FD_STDERR,
    SHIM_FD_CONFIG,
    SHIM_FD_CGROUP, /* directory of the agent's cgroup */
    SHIM_FD_KEEPER, /* pidfd of the keeper */
    SHIM_FD_LIFELINE,
    SHIM_FD_LOG_DIR, /* these three in a row: a scribe keeps nothing else */
    SHIM_FD_LOG_OUT, /* read ends of the log pipes */
    SHIM_FD_LOG_ERR
};

struct shim_fds { /* owns; FD_NONE where the spec has none */
    struct fd lock, control, in, out, err, config, log_dir;
};

/** Moves what `spec` lists to its number, makes 0, 1 and 2 /dev/null and closes everything else.
 *  Errors: SYSTEM, naming the field. */
MUST_USE bool shim_fds_take(const struct shim_spec *spec, struct shim_fds *out, struct err *err);

/** Moves `*fd` to `number` (enum shim_fd_number), close-on-exec. Errors: SYSTEM. */
MUST_USE bool shim_fd_move(struct fd *fd, int number, struct err *err);
