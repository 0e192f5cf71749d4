/* take.h - one checkpoint from beginning to end: scan, cut, seal, describe.
 *
 * The part of checkpoint.h that works: from one basis to the next. Blocks, bounded by the request's
 * deadline. Never changes its basis; the caller puts the new one in its place once the record names
 * it. */
#pragma once
#include "sidecar/image/catalog.h"
#include "sidecar/checkpoint/checkpoint.h"
#include "sidecar/image/pack_set.h"

/* A checkpoint that another one builds on. */
struct basis {
    struct pack_id id; /* none: nothing was ever committed */
    uint64_t epoch;
    int64_t wall_ms;
    enum cut_kind cut;
    struct catalog catalog;
    struct chunk_ref *tree_refs; /* chunks of the tree and of the lists above it */
    uint64_t *tree_quick;        /* their fingerprints; NULL: not known */
    size_t tree_ref_count;
    struct pack_id *packs; /* that it needs, ascending */
    size_t pack_count;
    struct pack_set live; /* the same packs with the bytes needed from each */
};

/** Releases; zeroed memory is fine. */
void basis_fini(struct basis *basis);

/** Fills `live` from catalog and tree_refs. */
void basis_count(struct basis *basis);

struct take_spec {
    const struct checkpoint_spec *spec; /* checked; exclude and root are strings of our own */
    const struct checkpoint_request *request;
    const struct basis *before;
    const struct quick_seed *seed;
};

/** Fills `out` (zeroed) with the new basis and `result`. When nothing changed, result->is_changed
 * is false and `out` is the old checkpoint with fresher knowledge of this machine. Errors: those of
 *  checkpoint_take. The caller holds the agent's keys. */
MUST_USE bool take_run(const struct take_spec *spec, struct basis *out,
                       struct checkpoint_result *result, struct err *err);
