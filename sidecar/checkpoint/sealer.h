/* sealer.h - turns plain chunks into refs: known ones by name, new ones sealed into the pack.
 *
 * Hashing, compressing and sealing run on a crew; the pack gets them in the order in which they
 * were put, so equal input makes equal packs. Memory is bounded by a fixed number of chunks. The
 * caller keeps the agent's keys held (agent_keys_hold) during its life. */
#pragma once
#include "sidecar/image/catalog.h"
#include "sidecar/checkpoint/pack_out.h"
#include "sidecar/image/pack_set.h"

/* What need not be stored again. All borrowed. */
struct sealer_known {
    const struct chunk_ref *data; /* chunks of files in the checkpoint before */
    size_t data_count;
    const struct chunk_ref *tree; /* chunks of its tree and of the lists above */
    const uint64_t *tree_quick;   /* their fingerprints, or NULL */
    size_t tree_count;
    const struct pack_set *live;  /* packs that the checkpoint before needs: others may be gone */
    const struct pack_set *leave; /* packs whose chunks are to be stored again; or NULL */
};

struct sealer_spec {
    const struct checkpoint_source *source;
    struct pack_out *pack; /* borrowed */
    struct pack_id id;     /* of the pack */
    struct sealer_known known;
    const struct quick_seed *seed;
    unsigned threads; /* started when there is enough to do; 0: everything inside sealer_put */
};

struct sealer;
/** Threads start with the first dozen chunks, not here. */
struct sealer *sealer_new(const struct sealer_spec *spec);
/** Ends what is under way without storing it. NULL is fine. */
void sealer_free(struct sealer *sealer);
static inline void sealer_freep(struct sealer **sealer)
{
    sealer_free(*sealer);
    *sealer = NULL;
}

/* Where a finished ref goes: `at` is what was given with the chunk. */
typedef void sealer_place_fn(void *arg, size_t at, const struct chunk_ref *ref, uint64_t quick);

/** Chunks put from now on are of this kind and go there. Everything before must be flushed. */
void sealer_aim(struct sealer *sealer, enum pack_kind kind, sealer_place_fn *place, void *arg);

/** Takes a copy of one chunk (1 to CHUNK_MAX bytes); its ref is placed now or later. Errors: those
 *  of the store, of this chunk or an earlier one. */
MUST_USE bool sealer_put(struct sealer *sealer, struct view plain, size_t at, struct err *err);

/** Returns when every chunk is in the pack's way to the store and its ref is placed. */
MUST_USE bool sealer_flush(struct sealer *sealer, struct err *err);
