/* guard.h - nothing of a simulated node outlives agent-dev, however it ends.
 *
 * All processes of the nodes live in one cgroup v2 tree, agent-dev-<pid>/node-N. A second process,
 * `agent-dev guard`, waits for the end of the first one on a pipe and then kills what is left and
 * removes run and temporary files. Where cgroup v2 is not to be had, processes are found by the
 * files they hold open below <data>/nodes. What even the guard could not do is done at the next
 * start. All calls but guard_kill block. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/fd.h"

struct guard_plan {        /* borrowed; "" for none */
    const char *cgroup;    /* absolute directory of the tree */
    const char *nodes_dir; /* processes that hold files below it are ours */
    const char *run_dir;   /* removed at the end */
    const char *data_dir;  /* removed at the end */
};

/** Starts the guard of this process; the life line is `*out`: closing it (our death does) sets the
 *  guard off. Errors: SYSTEM. */
MUST_USE bool guard_start(const struct guard_plan *plan, struct fd *out, struct err *err);

/** The guard's own program: words are those guard_start passes. Returns its exit code. */
int guard_main(const char *const *words);

/** Kills what is left of the nodes and removes the tree and their tasks' v1 cgroups; counts the
 * processes killed by file into
 *  `*killed` (may be NULL). Errors: UNAVAILABLE something does not die; DENIED, SYSTEM. */
MUST_USE bool guard_clean(const struct guard_plan *plan, size_t *killed, struct err *err);

struct loop;
/** Kills every process of the cgroup at one instant, now; on_done comes once on the loop when none
 *  is left (err NULL) or one will not die. Not blocking. */
void guard_kill(struct loop *loop, const char *cgroup,
                void (*on_done)(void *arg, int64_t spent_ms, const struct err *err), void *arg);

/** Cleans up after dead agent-devs: trees below `parent` ("" none) and run directories beside
 *  `run_dir`. Best effort. Returns how many it found. */
size_t guard_sweep(const char *parent, const char *run_dir);
