/* cgroup.h - one cgroup v2 directory: create, place, freeze, kill, read, remove.
 *
 * Works on unified and hybrid hosts; needs no controller (freezing and killing are in the core of
 * v2). Used by the shim, so nothing here allocates. Nothing waits: writes start a change, and
 * cgroup_events says when it has happened; the events descriptor becomes POLLPRI-readable. Without
 * the right to write every call is DENIED, never a silent success. Kernel doc: cgroup-v2. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/err.h"
#include "common/base/fd.h"
#include "common/cgroup/mount.h" /* CGROUP_PATH_MAX */

struct cgroup { /* owns; CGROUP_NONE is empty */
    struct fd dir;
    struct fd events; /* cgroup.events: poll for POLLPRI */
    bool made;        /* by us: we remove it */
    char path[CGROUP_PATH_MAX];
};
#define CGROUP_NONE ((struct cgroup){ .dir = FD_NONE, .events = FD_NONE })

/** Opens `path`, making the last component (and missing parents) if absent. Errors: INVALID not on
 *  a cgroup v2 file system, or too long; DENIED; NOT_FOUND absent and `make` is false; SYSTEM. */
MUST_USE bool cgroup_open(const char *path, bool make, struct cgroup *out, struct err *err);

/** True when open. */
static inline bool cgroup_is_open(const struct cgroup *cg) { return fd_is_open(cg->dir); }

/** Closes; the directory stays. */
void cgroup_fini(struct cgroup *cg);

/** Begins to freeze or thaw everything below. Errors: DENIED, SYSTEM. */
MUST_USE bool cgroup_freeze(const struct cgroup *cg, bool on, struct err *err);

struct cgroup_events {
    bool populated; /* a live process below; zombies do not count */
    bool frozen;    /* all below are frozen */
};
/** The present state; also re-arms the poll. Errors: SYSTEM. */
MUST_USE bool cgroup_events(const struct cgroup *cg, struct cgroup_events *out, struct err *err);

/** Waits (blocking; not for the shim or a loop) until `populated 0`, killing again every 100 ms:
 *  what moved itself in after the first kill dies too. Errors: UNAVAILABLE not empty after
 *  `max_ms`; DENIED, SYSTEM. */
MUST_USE bool cgroup_kill_wait(const struct cgroup *cg, int64_t max_ms, struct err *err);

/** SIGKILL for every process below, frozen ones too; once. cgroup.kill, or on kernels before 5.14
 *  one by one. Errors: DENIED, SYSTEM. */
MUST_USE bool cgroup_kill(const struct cgroup *cg, struct err *err);

/** Processes killed for memory so far; 0 without a memory controller. */
uint64_t cgroup_oom_kills(const struct cgroup *cg);

/** Calls `each` with every pid directly in it (not below); stops when it returns false. Errors:
 *  SYSTEM. */
MUST_USE bool cgroup_each_pid(const struct cgroup *cg, bool (*each)(void *arg, pid_t pid),
                              void *arg, struct err *err);

/** Removes the directory and empty ones below it, however deep. Absent is fine. Errors:
 *  CONFLICT still populated (try again later); DENIED, SYSTEM. */
MUST_USE bool cgroup_remove(const char *path, struct err *err);

/** The same, as cgroup_remove_tree_soon. Errors: UNAVAILABLE still populated; DENIED, SYSTEM. */
MUST_USE bool cgroup_remove_soon(const char *path, struct err *err);
