/* draft.h - the decision: what a job wants, a node allows and a kernel can do, as one plan.
 *
 * Pure: every path it gets is canonical and was looked at by the caller
 * (driver/surround/surround.h). What is wanted by default and cannot be had is left out and named,
 * or refused when the job or the node requires it. The tables of what every agent sees are in
 * tables.def. */
#pragma once
#include "driver/isolation/kernel.h"
#include "driver/isolation/plan.h"

#define ISOLATION_MISSING_MAX 96

struct isolation_wish_mount {
    const char *source;
    const char *root, *target; /* as in struct isolation_mount */
    uint32_t flags;            /* ISOLATION_RDONLY, propagation, ISOLATION_IS_FILE, ... */
};

struct isolation_wish_path {
    const char *path;
    uint8_t access; /* enum isolation_access */
    bool is_file;
};

struct isolation_wish_device {
    const char *source; /* node of the host */
    const char *path;   /* where it shall be: below /dev */
    uint8_t access;
};

struct isolation_wish { /* borrows */
    struct isolation_kernel kernel;
    bool require; /* missing protections are errors */
    bool no_seccomp, no_landlock, no_mounts, new_privs, host_pid, host_ipc;
    uint32_t uid;
    uint64_t caps_bound; /* what root has, and nobody can have more */
    uint64_t caps_given; /* what another user has */
    int32_t nice, oom_score_adj;
    uint32_t umask;
    const struct isolation_limit *limits;
    size_t limit_count;
    const char *netns;                     /* or NULL */
    const char *resolv_at, *resolv;        /* file and its new content, or NULL */
    const char *hosts_at, *hosts;          /* the same */
    const char *task_dir, *shared_dir;     /* both inside hidden_dir */
    const char *hidden_dir;                /* everything else in it is hidden */
    const char *records_dir, *sockets_dir; /* the plugin's own */
    const char *api;                       /* the one socket there that is the agent's, or NULL */
    const char *command;
    const struct isolation_wish_path *paths; /* beside the usual ones */
    size_t path_count;
    const struct isolation_wish_mount *mounts; /* parents first */
    size_t mount_count;
    const struct isolation_wish_device *devices;
    size_t device_count;
};

struct isolation_draft { /* owns */
    struct isolation_plan plan;
    char **made; /* what the plan's texts point to */
    size_t made_count;
    struct buf filter;
    char missing[ISOLATION_MISSING_MAX]; /* "seccomp, Landlock"; "" nothing */
};

/** Errors: INVALID more mounts or paths than fit; DENIED what was asked for and cannot be had
 *  here, named. */
MUST_USE bool isolation_draft_make(const struct isolation_wish *wish, struct isolation_draft *out,
                                   struct err *err);
/** True when the absolute, canonical `path` holds or is in what every agent sees of the system, or
 *  what is made anew for each: nothing of a job is put there. */
bool isolation_is_taken(const char *path);
/** Zeroed memory is fine. */
void isolation_draft_fini(struct isolation_draft *draft);
