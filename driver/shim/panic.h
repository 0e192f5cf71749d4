/* panic.h - the last resort: freeze and kill the agent, then abort.
 *
 * Uses nothing but the fixed descriptor numbers of fds.h, so it works whatever state the shim is
 * in. A failed assert comes here: the room brings its own __assert_fail. */
#pragma once

/** Freezes and kills the cgroup, kills the keeper; then aborts. */
_Noreturn void shim_panic(void);

/** The part of shim_panic before it aborts. */
void shim_panic_kill(void);
