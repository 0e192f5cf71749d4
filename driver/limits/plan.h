/* plan.h - limits as data: which value goes into which file of whose cgroup.
 *
 * The decision what a host that lacks a controller means for a task is made here, before anything
 * is touched. Pure. DESIGN.md, Policy. */
#pragma once
#include <stddef.h>

#include "common/cgroup/layout.h"
#include "driver/limits/want.h"

enum limits_who { LIMITS_AGENT, LIMITS_SIDECAR, LIMITS_TASK, LIMITS_WHO_COUNT };
enum limits_need { LIMITS_HINT, LIMITS_PLAIN, LIMITS_ASKED };

struct limits_host { /* CGROUP_BITs of controllers that can be had for this task */
    unsigned v1, v2;
};

#define LIMITS_WRITES_MAX  24
#define LIMITS_MISSING_MAX 8

struct limits_write {
    enum limits_who who;
    enum cgroup_controller controller;
    enum limits_need need;
    const char *key; /* as the user knows it, "memory", "pids_limit"; static */
    struct {
        const char *file; /* static; NULL no such way */
        char value[48];
    } ways[2];              /* the second where the file of the first is not there */
    const char *long_value; /* of the first, borrowed from the wish; NULL: its `value` */
};

struct limits_plan {
    struct limits_write writes[LIMITS_WRITES_MAX]; /* in this order */
    size_t write_count;
    const char *missing[LIMITS_MISSING_MAX]; /* keys of PLAIN limits that this host cannot give */
    size_t missing_count;
    const char *affinity; /* cores as an affinity, for want of a cpuset; "" none; borrowed */
    unsigned agent_v1;    /* CGROUP_BITs of v1 controllers for which the agent has a cgroup */
    unsigned sidecar_v1;
    unsigned v2; /* controllers to be enabled for the task's v2 cgroups */
};

/** Errors: INVALID naming the key: a limit that was asked for and cannot be had. */
MUST_USE bool limits_plan_make(const struct limits_want *want, const struct limits_host *host,
                               struct limits_plan *out, struct err *err);

/** Notes a PLAIN limit that turned out not to be had; a key is noted once. */
void limits_plan_miss(struct limits_plan *plan, const char *key);
