/* alloc.h - a job on one simulated node, as the driver is told of it.
 *
 * What Nomad's client would compute before StartTask: the task's environment, what ${...} may name,
 * and the TaskConfig message. Pure; the directories are made by dirs.h. */
#pragma once
#include "common/base/buf.h"
#include "driver/hclspec/vars.h"

struct job;

#define ALLOC_ID_BYTES 37 /* a UUID's text and a NUL */

/** A random UUID's text. */
void alloc_make_id(char out[ALLOC_ID_BYTES]);

struct alloc_place { /* all borrowed */
    unsigned node;
    const char *node_name, *node_id, *alloc_id;
    const char *alloc_dir; /* absolute */
    bool is_image; /* the driver builds the file system: container paths in the environment */
    const char *const *meta, *const *env; /* "K=V" of the command line, end with NULL */
};

/** The environment (`env.*`), meta and node variables. Errors: INVALID in the job's env or meta,
 *  with the place. */
MUST_USE bool alloc_vars(const struct job *job, const struct alloc_place *place, struct vars *out,
                         struct err *err);

/** Appends the bytes of the TaskConfig message. `msgpack` is the encoded config block. */
void alloc_put_task(const struct job *job, const struct alloc_place *place, const struct vars *vars,
                    const char *task_id, struct view msgpack, struct buf *out);

/** Where a template goes: a path relative to `alloc_dir`, always below the task's or the shared
 *  directory. The caller owns it. Errors: INVALID at the destination's place. */
MUST_USE bool alloc_destination(const struct job *job, const struct alloc_place *place,
                                const struct vars *vars, const struct hcl_node *destination,
                                char **out, struct err *err);

/** Everything that can be known of a job without starting anything: variables, templates, the
 *  config under this release's own schema, and the values in it. Errors: INVALID with the place. */
MUST_USE bool alloc_check(const struct job *job, const char *const *meta, const char *const *env,
                          struct err *err);
