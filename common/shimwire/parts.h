/* parts.h - the pieces that both specs (spec.h, exec_spec.h) are made of: strings, lists, groups.
 *
 * A string is its length, its bytes and a NUL that is not counted, so a reader can lend it as it
 * lies; a list is a count and as many strings. Reading allocates nothing: pointers go into storage
 * of the caller. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"

#define SHIM_SPEC_BYTES_MAX \
    ((size_t)2 << 20)             /* the kernel's own limit for argv + envp is about this */
#define SHIM_SPEC_SLOTS      8192 /* all pointers of all lists, NULLs included */
#define SHIM_SPEC_GROUPS_MAX 64
#define SHIM_SPEC_PLAN_MAX   16384 /* bytes of an isolation plan: ISOLATION_BYTES_MAX */

struct shim_spec_store { /* where a decoded spec keeps its pointers */
    const char *slots[SHIM_SPEC_SLOTS];
    uint32_t groups[SHIM_SPEC_GROUPS_MAX];
    size_t used; /* slots */
};

/** Entries of a NULL-terminated list; NULL is empty. */
size_t parts_count(const char *const *list);

/** Each appends. */
void parts_put_text(struct buf *out, const char *text);
void parts_put_list(struct buf *out, const char *const *list);
void parts_put_groups(struct buf *out, const uint32_t *groups, size_t count);

/** Each takes from the front, lending what lies there, or fails with CORRUPT, naming `name`. A list
 *  of none is one NULL. */
MUST_USE bool parts_take_text(struct cursor *c, const char *name, const char **out,
                              struct err *err);
MUST_USE bool parts_take_list(struct cursor *c, const char *name, struct shim_spec_store *store,
                              const char *const **out, struct err *err);
MUST_USE bool parts_take_groups(struct cursor *c, struct shim_spec_store *store,
                                const uint32_t **out, size_t *out_count, struct err *err);
