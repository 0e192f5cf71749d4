/* apply.h - makes a task's cgroups and writes its limits into them.
 *
 * The agent's v2 cgroup is there already (its maker knows why not, where it is not). Blocking: on
 * workers only. DESIGN.md. */
#pragma once
#include "driver/limits/dirs.h"
#include "driver/limits/plan.h"

#define LIMITS_ENTERS_MAX 16

struct limits_site { /* borrows */
    struct limits_place place;
    const char *cpuset; /* Nomad's v1 cpuset directory; "" none */
    bool has_sidecar;
};

struct limits_applied {                   /* owns; zeroed is empty */
    char *agent[LIMITS_ENTERS_MAX + 1];   /* files in which the agent enrols itself; ends NULL */
    char *sidecar[LIMITS_ENTERS_MAX + 1]; /* the same for the sidecar */
    char *memory_dir;                     /* where the agent's memory is counted; NULL nowhere */
    char *affinity;                       /* cores, for want of a cpuset; NULL none */
    char *missing;                        /* "memory, cpu": not enforced here; NULL all are */
};

/** Which controllers can be had for this task: mounted and ours to write, and in v2 enabled in the
 *  parent of its cgroup or to be enabled there. */
void limits_host_find(const struct limits_site *site, struct limits_host *out);

/** Plans, makes, writes. On failure what it made is gone. Errors: INVALID, naming the key: a limit
 *  that was asked for cannot be had, or the kernel refuses its value; SYSTEM. */
MUST_USE bool limits_apply(const struct limits_site *site, const struct limits_want *want,
                           struct limits_applied *out, struct err *err);

/** Zeroed memory is fine. */
void limits_applied_fini(struct limits_applied *applied);
