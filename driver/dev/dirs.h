/* dirs.h - the files of the simulated nodes: data, allocations, the link to the shared store.
 *
 * <data>/store            the shared store (or a directory of the user's)
 * <data>/agent.key        sealing key, the same on all nodes
 * <data>/nodes/N/store    symbolic link to the store; a partition points it at nothing
 * <data>/nodes/N/alloc    allocations; /state records of the driver; /plugin.log its stderr
 * <run>/N                 sockets: a short path, because a socket's path may have 107 bytes */
#pragma once
#include "common/base/buf.h"
#include "common/base/fd.h"

struct job;
struct alloc_place;
struct vars;

struct dirs { /* owns; absolute paths; DIRS_NONE is empty */
    char *data, *store, *run;
    struct fd lock;    /* of the data directory, for life */
    bool is_temporary; /* data is removed at the end */
};
#define DIRS_NONE ((struct dirs){ .lock = FD_NONE })

/** Makes the data directory (`data` NULL: a new one in TMPDIR), the store (`store` NULL: in the
 * data directory) and the run directory. Errors: INVALID the run directory's path is too long;
 * SYSTEM.
 */
MUST_USE bool dirs_make(const char *data, const char *store, struct dirs *out, struct err *err);
/** Removes the run directory, and the data directory when it is temporary, and releases the paths;
 *  DIRS_NONE is fine. What cannot be removed stays. */
void dirs_remove(struct dirs *dirs);

struct node_dirs { /* owns; absolute paths */
    char *root, *alloc, *state, *run, *store, *log;
};

/** Makes an empty node: what an earlier run left is removed, the link leads to the store. Errors:
 *  SYSTEM. */
MUST_USE bool node_dirs_make(const struct dirs *dirs, unsigned node, struct node_dirs *out,
                             struct err *err);
/** Releases the paths; zeroed memory is fine. The files stay. */
void node_dirs_fini(struct node_dirs *dirs);

/** Points the node's link at nothing, in one step. Errors: SYSTEM. */
MUST_USE bool node_dirs_cut(const struct node_dirs *dirs, struct err *err);

/** Makes the allocation's directories as Nomad does and writes the job's templates. Errors: SYSTEM;
 *  INVALID a template, with its place. */
MUST_USE bool alloc_dirs_make(const struct job *job, const struct alloc_place *place,
                              const struct vars *vars, struct err *err);
