/* keeper.h - the process whose death is everybody's: init of the agent's PID namespace.
 *
 * The kernel kills every process of a PID namespace when its init dies, atomically, wherever they
 * have put themselves. The keeper does nothing but be that init: it dies with the shim (parent
 * death signal, and a pipe that breaks), and it reaps what is orphaned inside. */
#pragma once
#include <sys/types.h>

#include "common/base/buf.h"
#include "common/base/fd.h"

struct keeper { /* KEEPER_NONE where namespaces are not allowed */
    pid_t pid;
    struct fd pidfd;
    struct fd lifeline; /* its other end breaks when we die */
};
#define KEEPER_NONE ((struct keeper){ 0, FD_NONE, FD_NONE })

/** Starts it; all signals must be blocked. `forget` is a mapping that it must not keep (the spec,
 * with the agent's environment). Errors: DENIED no right to make a PID namespace; SYSTEM.
 */
MUST_USE bool keeper_start(struct view forget, struct keeper *out, struct err *err);

/** From now on our children are born inside. Errors: SYSTEM. */
MUST_USE bool keeper_enter(const struct keeper *keeper, struct err *err);

/** SIGKILL; the namespace is empty when the keeper has been reaped. */
void keeper_kill(const struct keeper *keeper);

/** SIGKILL, and it is gone when this returns; the namespace must be empty. Nothing for NONE. */
void keeper_end(const struct keeper *keeper);
