/* vars.h - what ${...} may name in a job, and the text with the names replaced.
 *
 * The references Nomad knows: NOMAD_*, env, meta and node. Anything else inside ${...} (functions,
 * operators, attr, names nobody set) is an error with its place, never an empty text. Pure. */
#pragma once
#include <stddef.h>

#include "common/base/buf.h"
#include "common/hcl/hcl.h"

struct var {
    char *name; /* "env.PATH", "meta.k", "node.unique.name" */
    char *value;
};
struct vars { /* owns; zeroed is empty */
    struct var *items;
    size_t count;
};

/** Sets `<room>.<name>`; a later value replaces. `room` is "env", "meta" or "node". */
void vars_set(struct vars *vars, const char *room, const char *name, const char *value);
/** The value of `<room>.<name>`, lent; NULL when not set. */
const char *vars_find(const struct vars *vars, const char *room, const char *name);
/** Releases all; zeroed memory is fine; `vars` is empty and usable afterwards. */
void vars_fini(struct vars *vars);

/** Appends the text of a string node, references replaced. Errors: INVALID at the node's place,
 *  naming the reference. */
MUST_USE bool vars_expand(const struct vars *vars, const struct hcl *tree,
                          const struct hcl_node *text, struct buf *out, struct err *err);

/** As vars_expand, but a reference that Nomad would replace stays as written: for template data,
 *  which Nomad does not interpolate. Other references are errors all the same. */
MUST_USE bool vars_keep(const struct hcl *tree, const struct hcl_node *text, struct buf *out,
                        struct err *err);
