/* pack_out.h - a pack on its way into the store: what is appended leaves at once.
 *
 * Holds one small buffer and the current block of the index, never the pack. Nothing exists in the
 * store before the first chunk, nothing is visible before the finish. One owner, one thread. */
#pragma once
#include "common/base/deadline.h"
#include "sidecar/checkpoint/history.h"
#include "sidecar/image/pack.h"

struct pack_out;

/** For pack `id` of `source` (borrowed until free); calls on the store end at `until`. */
struct pack_out *pack_out_new(const struct checkpoint_source *source, struct pack_id id,
                              struct deadline until);
/** Abandons what was not finished. NULL is fine. */
void pack_out_free(struct pack_out *pack);
static inline void pack_out_freep(struct pack_out **pack)
{
    pack_out_free(*pack);
    *pack = NULL;
}

/** Appends a sealed chunk and fills the place in `ref`, whose id and lengths are set. Errors: those
 *  of the store. */
MUST_USE bool pack_out_chunk(struct pack_out *pack, enum pack_kind kind, struct view sealed,
                             struct chunk_ref *ref, struct err *err);

/** Appends index, manifest and footer and makes the pack durable. Errors: those of the store. */
MUST_USE bool pack_out_finish(struct pack_out *pack, const struct manifest *manifest,
                              struct err *err);

/** Bytes of chunks so far, sealed. */
uint64_t pack_out_bytes(const struct pack_out *pack);
