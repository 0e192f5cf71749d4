/* plan.h - what surrounds the agent, as data: decided by the driver, applied by the shim's child.
 *
 * A value that travels as bytes inside the shim's spec (DESIGN.md). What a plan asks for and cannot
 * be had is an error, never silently less. Who the agent runs as and where is in the spec itself.
 * Decoding allocates nothing: texts lie where they were, each with its NUL. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"

#define ISOLATION_BYTES_MAX    (16 << 10)
#define ISOLATION_MOUNTS_MAX   160
#define ISOLATION_RULES_MAX    96
#define ISOLATION_LIMITS_MAX   16   /* as many as the kernel knows */
#define ISOLATION_FILTER_MAX   1024 /* instructions; the kernel takes 4096 */
#define ISOLATION_TEXT_MAX     4095
#define ISOLATION_NICE_KEEP    127
#define ISOLATION_UMASK_KEEP   0xffff
#define ISOLATION_CAPS_ALL     ((1ULL << 41) - 1) /* CAP_CHECKPOINT_RESTORE is 40 */
#define ISOLATION_LIMIT_NUMBER 15                 /* RLIMIT_RTTIME */

enum isolation_mounts {
    ISOLATION_MOUNTS_AUTO =
        0, /* own namespace where a PID namespace is in force; else the host's */
    ISOLATION_MOUNTS_HOST = 1, /* the shim's own mounts, /proc of the host */
    ISOLATION_MOUNTS_OWN = 2   /* own namespace or the start fails */
};

enum isolation_flag {
    ISOLATION_NO_NEW_PRIVS = 1,
    ISOLATION_CORE_DUMPS = 2, /* else RLIMIT_CORE 0 */
    ISOLATION_HOST_PID = 4,   /* no PID namespace: the shim makes no keeper */
    ISOLATION_OWN_IPC = 8,
    ISOLATION_OWN_UTS = 16,
    ISOLATION_OWN_CGROUP = 32,
    ISOLATION_HIDE_PIDS = 64, /* hidepid=invisible on the fresh /proc */
    ISOLATION_CAPS = 128,     /* the capability sets below are set; else untouched */
    ISOLATION_FLAGS_ALL = 255
};

enum isolation_mount_kind {
    ISOLATION_BIND = 0,      /* `source` of the host */
    ISOLATION_COVER = 1,     /* an empty directory, read-only once all is in place */
    ISOLATION_MASK_FILE = 2, /* /dev/null over a file */
    ISOLATION_FILE = 3,      /* a read-only file with the bytes of `source` */
    ISOLATION_LINK = 4,      /* a symbolic link to `source`, inside a cover */
    ISOLATION_TMPFS = 5,     /* an empty tmpfs, 1777; `source` is its size option */
    ISOLATION_MOUNT_KINDS
};

enum isolation_mount_flag {
    ISOLATION_RDONLY = 1,
    ISOLATION_NOSUID = 2,
    ISOLATION_NODEV = 4,
    ISOLATION_NOEXEC = 8,
    ISOLATION_RECURSIVE = 16, /* with what is mounted below the source */
    ISOLATION_OPTIONAL = 32,  /* without source or target: left out */
    ISOLATION_MAKE = 64,      /* the target is made when it is absent */
    ISOLATION_IS_FILE = 128,  /* ... as a file */
    ISOLATION_IN_PLACE = 256, /* the source is looked up after /proc was mounted */
    ISOLATION_PRIVATE = 512,  /* propagation; neither of the two: slave */
    ISOLATION_SHARED = 1024,
    ISOLATION_SYSTEM = 2048, /* the source is the machine's own: links in it are nobody's trick */
    ISOLATION_MOUNT_FLAGS_ALL = 4095
};

struct isolation_mount {
    enum isolation_mount_kind kind;
    uint32_t flags;
    const char *source;
    const char *root;   /* canonical; the target never leaves it */
    const char *target; /* relative to `root`, no symbolic links; "" is `root` itself */
};

enum isolation_access { /* for Landlock; see landlock.h */
                        ISOLATION_READ = 1,
                        ISOLATION_WRITE = 2,
                        ISOLATION_DEVICE = 4, /* ioctl */
                        ISOLATION_EXECUTE = 8,
                        ISOLATION_FOLLOW = 16, /* the path may be a symbolic link: a system's own */
                        ISOLATION_UPDATE = 32, /* existing files may be written */
                        ISOLATION_ACCESS_ALL = 63
};

struct isolation_rule {
    uint8_t access; /* enum isolation_access */
    const char *path;
};

struct isolation_limit {
    uint8_t number; /* RLIMIT_* */
    uint64_t soft, hard;
};

struct isolation_plan {
    enum isolation_mounts mounts; /* own: the agent's mounts stay inside, fresh /proc */
    uint32_t flags;               /* enum isolation_flag */
    int32_t oom_score_adj; /* of the agent; 0 or more: or what it has already, if that is higher */
    int32_t nice;          /* -20 ... 19, or ISOLATION_NICE_KEEP: what the shim was started with */
    uint32_t umask;        /* or ISOLATION_UMASK_KEEP */
    uint64_t caps_bound;   /* no more than these, ever; what root has */
    uint64_t caps_given;   /* what another user has: permitted, effective, inherited at exec */
    const char *netns;     /* path of a network namespace to enter; "" none */
    uint32_t landlock_abi; /* 0: no Landlock */
    struct isolation_limit limits[ISOLATION_LIMITS_MAX];
    size_t limit_count;
    struct isolation_mount mount[ISOLATION_MOUNTS_MAX]; /* in this order */
    size_t mount_count;
    struct isolation_rule rules[ISOLATION_RULES_MAX];
    size_t rule_count;
    struct view filter; /* seccomp: instructions of 8 bytes; empty none */
};

/** The plan of a spec that has none: mounts AUTO, no_new_privs, no cores, oom score 0, nothing
 *  more. */
void isolation_default(struct isolation_plan *out);

/** Appends the plan's bytes. */
void isolation_encode(const struct isolation_plan *plan, struct buf *out);

/** Empty bytes are isolation_default(); version 1 is understood. `out` borrows from `bytes`.
 *  Errors: CORRUPT. */
MUST_USE bool isolation_decode(struct view bytes, struct isolation_plan *out, struct err *err);
