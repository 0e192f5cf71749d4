/* spec.h - everything a shim needs to know, as bytes in a sealed memfd at its descriptor 3.
 *
 * Written by the driver, or by `agent-sidecar run`; read once by the shim. The reader allocates
 * nothing: strings stay where they are (each has its NUL), pointers to them go into storage that
 * the caller owns. May hold secrets (the agent's environment). Format: proto/shim.md, section 2. */
#pragma once
#include "common/base/fd.h"
#include "common/shimwire/msg.h"
#include "common/shimwire/parts.h"

#define SHIM_SPEC_FD         3
#define SHIM_SPEC_ENTERS_MAX 32 /* of each child */
#define SHIM_SIDECAR_FD      3  /* in the sidecar: its channel to the shim (SOCK_SEQPACKET) */
#define SHIM_SIDECAR_CONFIG  4  /* in the sidecar: its configuration, from offset 0 */

#define SHIM_STANDALONE 1 /* flag: no driver; the shim's exit code is exit_record_status() */

struct shim_program {
    const char *const *argv; /* NULL-terminated; argv[0] is an absolute path */
    const char *const *envp; /* NULL-terminated; nothing is added but AGENT_EPOCH, AGENT_RESTORED */
};

struct shim_spec {
    uint8_t nonce[SHIM_NONCE_BYTES];
    uint32_t flags;
    const char *task_id, *task_name; /* for messages */
    struct shim_program agent;
    struct shim_program sidecar; /* argv NULL: none, and the agent starts at once, without a gate */
    const char *cwd;             /* the agent's; absolute */
    uint32_t uid, gid;           /* the agent's */
    const uint32_t *groups;      /* supplementary, group_count of them */
    size_t group_count;
    /* Descriptors the shim inherits, by number there; -1: none. */
    int32_t lock_fd;    /* flock'd launch lock; kept for life */
    int32_t control_fd; /* connected SOCK_SEQPACKET to the starting driver: its first connection */
    int32_t stdin_fd;   /* the agent's; -1: /dev/null */
    int32_t stdout_fd;  /* the agent's */
    int32_t stderr_fd;  /* the agent's and the sidecar's */
    int32_t config_fd;  /* the sidecar's configuration, given to it as descriptor 4 */
    int32_t log_dir_fd; /* the shim writes the logs there itself, as <task_name>.stdout.0 and so on;
                           stdout_fd and stderr_fd are -1 then */
    uint32_t log_max_files, log_max_mb; /* a stream; with log_dir_fd above 0 */
    /* Paths, absolute; "": none. */
    const char *record_path; /* the exit record is published here */
    const char *socket_path; /* the control socket is made here (<= 107 bytes) */
    const char *api_path;    /* removed at the end; told to the sidecar */
    const char
        *cgroup_dir; /* cgroup v2 directory for the agent: made if absent, removed at the end */
    const char *memory_dir; /* cgroup that counts the agent's memory, v1 or v2: its OOM kills */
    const char *cores;      /* "0,2-3": the agent's affinity; "": as the shim's */
    /* Files of cgroups (v1 tasks, v2 cgroup.procs) into which the children write themselves before
     * they execute. */
    const char *const *agent_enters;   /* NULL-terminated; NULL none */
    const char *const *sidecar_enters; /* NULL-terminated; NULL none */
    struct view isolation;             /* plan bytes of driver/isolation; empty: its defaults */
    int32_t stop_signal;      /* default of STOP, and what SIGTERM to the shim itself means */
    uint32_t stop_timeout_ms; /* for agent and sidecar together */
    uint32_t reserve_ms;      /* of it, kept for the sidecar's final checkpoint */
    int32_t oom_score_adj;    /* the shim's own and the sidecar's */
};

/** A spec with every descriptor -1, every path "", signal SIGTERM, 5 s, nothing else. */
void shim_spec_init(struct shim_spec *spec);

/** Appends the spec's bytes to `out`. Errors: INVALID, naming the field: no argv, a relative path,
 *  a path or a list longer than the limits above. */
MUST_USE bool shim_spec_encode(const struct shim_spec *spec, struct buf *out, struct err *err);

/** `out` and `store` point into `bytes`, which must outlive them. Errors: CORRUPT. */
MUST_USE bool shim_spec_decode(struct view bytes, struct shim_spec_store *store,
                               struct shim_spec *out, struct err *err);

/** The spec as a sealed memfd, to be passed as descriptor 3. Errors: INVALID, SYSTEM. */
MUST_USE bool shim_spec_seal(const struct shim_spec *spec, struct fd *out, struct err *err);
