/* plan.h - a start, thought through: everything a job names, found and checked on this machine.
 *
 * Made before anything is touched, so that a wrong job costs nothing. Blocking: on workers only. */
#pragma once
#include "common/base/buf.h"
#include "driver/limits/want.h"
#include "driver/task/paths.h"
#include "driver/surround/resolve.h"
#include "driver/surround/surround.h"

#define PLAN_LIBEXEC "/usr/libexec/nomad-driver-agent" /* where our helpers are installed */

struct machine;
struct plugin_config;
struct task_spec;

struct plan_in { /* borrows */
    const struct task_spec *spec;
    const struct plugin_config *config;
    const struct machine *machine;
    const struct task_paths *paths;
};

struct task_plan { /* owns; zeroed is empty */
    struct user_ids user;
    char *command, *task_dir;
    char *shim;
    char *sidecar;             /* NULL: the job has no state, the agent runs without one */
    char *state_path;          /* with a sidecar */
    char *agent_name;          /* with a sidecar */
    struct buf agent_hcl;      /* with a sidecar: its configuration */
    struct surround surround;  /* what is around the agent, and where it starts */
    char *cgroup_dir;          /* where the agent will be born; not made yet; "" none */
    struct limits_want limits; /* borrows from the job's spec */
};

/** Errors: those of resolve.h and surround.h, each naming the key; INVALID a state without any
 *  store, a limit above the node's. */
MUST_USE bool task_plan_make(const struct plan_in *in, struct task_plan *out, struct err *err);
/** The paths of the helpers that a node of this configuration uses. The caller owns both. Errors:
 *  NOT_FOUND, DENIED; `*out_shim` set: it is the sidecar's. */
MUST_USE bool helpers_find(const struct plugin_config *config, char **out_shim, char **out_sidecar,
                           struct err *err);
/** Zeroed memory is fine. */
void task_plan_fini(struct task_plan *plan);
