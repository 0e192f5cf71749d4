/* exec_spec.h - one exec into a running task, as bytes in a sealed memfd at descriptor 3.
 *
 * Written by the driver, read once by the helper that it starts for this exec: the shim's program
 * in its second role (driver/enter). Which of the two roles is asked for, the magic says. May hold
 * secrets (the task's environment). The reader allocates nothing. Format: proto/shim.md. */
#pragma once
#include "common/base/fd.h"
#include "common/shimwire/parts.h"

/* In the helper. 0, 1 and 2 are /dev/null. */
enum exec_fd_number {
    EXEC_FD_SPEC = 3,
    EXEC_FD_CONTROL, /* SOCK_SEQPACKET to the driver: it hangs up to kill, and is told EXEC_ENDED */
    EXEC_FD_STDIN,   /* the command's 0, 1, 2 */
    EXEC_FD_STDOUT,
    EXEC_FD_STDERR
};

#define EXEC_TERMINAL 1 /* flag: the three are one terminal, which becomes the controlling one */

struct exec_spec {
    uint32_t flags;
    uint32_t agent_pid; /* whose namespaces; believed only with these two */
    uint64_t agent_start_ticks;
    const char *boot_id;
    uint32_t uid, gid;
    const uint32_t *groups; /* supplementary, group_count of them */
    size_t group_count;
    const char *cwd;              /* absolute, as the task sees it */
    const char *cgroup_dir;       /* the agent's, absolute; "": it has none */
    const char *cgroup_name;      /* of the exec's own, made in it and removed at the end */
    struct view isolation;        /* plan bytes of driver/isolation; empty: its defaults */
    const char *const *programs;  /* absolute; the first that exists is executed */
    const char *const *arguments; /* those after argv[0]; NULL-terminated as the others */
    const char *const *envp;      /* all of it */
};

/** True when the sealed memfd `fd` says that it is one of these; its offset is not moved. */
bool exec_spec_is_in(int fd);

/** Appends the spec's bytes. Errors: INVALID, naming the field: no program, a path that is not
 *  absolute, a name with a slash, more than the limits of parts.h. */
MUST_USE bool exec_spec_encode(const struct exec_spec *spec, struct buf *out, struct err *err);

/** `out` and `store` point into `bytes`, which must outlive them. Errors: CORRUPT. */
MUST_USE bool exec_spec_decode(struct view bytes, struct shim_spec_store *store,
                               struct exec_spec *out, struct err *err);

/** The spec as a sealed memfd, to be passed as EXEC_FD_SPEC. Errors: INVALID, SYSTEM. */
MUST_USE bool exec_spec_seal(const struct exec_spec *spec, struct fd *out, struct err *err);
