/* surround.h - everything around an agent, from the job and the machine: the isolation plan's
 * bytes.
 *
 * Finds the canonical paths that the decision (driver/isolation/draft.h) needs, and checks what the
 * job names against the node's configuration (policy.h). Blocking: on workers only. */
#pragma once
#include <sys/resource.h>

#include "common/base/buf.h"
#include "driver/surround/resolve.h"

struct isolation_kernel;
struct plugin_config;
struct task_spec;

struct surround_in { /* borrows */
    const struct task_spec *spec;
    const struct plugin_config *config;
    const struct isolation_kernel *kernel; /* what can be had here */
    struct rlimit files; /* descriptors of an agent whose job names none; 0, 0: the shim's */
    const struct user_ids *user;
    const char *command, *task_dir;
    const char *state_path; /* or NULL */
    const char *api;        /* the sidecar's socket, in the plugin's run_dir; with a state */
};

struct surround {     /* owns; zeroed is empty */
    struct buf plan;  /* bytes for the shim's spec */
    char *work_dir;   /* absolute */
    char missing[96]; /* protections that this machine lacks, for people; "" none */
};

/** Errors: INVALID, NOT_FOUND, DENIED naming the job's key; SYSTEM. */
MUST_USE bool surround_make(const struct surround_in *in, struct surround *out, struct err *err);
/** Zeroed memory is fine. */
void surround_fini(struct surround *surround);
