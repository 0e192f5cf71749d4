/* launch.h - starts the helper of one exec, and clears up after one that died.
 *
 * Blocking: on workers only. */
#pragma once
#include "common/base/fd.h"
#include "common/proc/spawn.h"

enum exec_mode {
    EXEC_PIPES,    /* input, output and errors apart */
    EXEC_TTY,      /* all three are one terminal */
    EXEC_ONE_PIPE, /* no input; output and errors in one pipe, in the order they were written */
};

#define EXEC_CGROUP_PREFIX "exec-" /* of the names of execs' cgroups below an agent's */

struct exec_launch_in { /* borrows */
    int spec;           /* sealed exec spec (common/shimwire/exec_spec.h) */
    const char *shim;   /* the helper's program */
    enum exec_mode mode;
    uint32_t uid; /* owner of the terminal */
};

struct exec_launch_out { /* owns; ours do not block */
    struct proc helper;  /* our child: to be reaped */
    struct fd control;   /* to it: hang up to kill; says EXEC_ENDED */
    struct fd in;        /* FD_NONE for EXEC_ONE_PIPE */
    struct fd out, err;  /* err FD_NONE but for EXEC_PIPES */
};

/** Errors: NOT_FOUND, DENIED the helper's program; SYSTEM no descriptors, terminal or processes. On
 *  failure nothing is left. */
MUST_USE bool exec_launch(const struct exec_launch_in *in, struct exec_launch_out *out,
                          struct err *err);

/** Kills what is in the exec's cgroup and removes it; absent is fine. Errors: UNAVAILABLE not empty
 *  in time; DENIED, SYSTEM. */
MUST_USE bool exec_clear(const char *cgroup, struct err *err);

/** As exec_clear for all execs below the agent's cgroup ("": none): those of a driver that died
 *  together with their helpers. Returns how many could not be cleared. */
unsigned exec_sweep(const char *agent_cgroup);
