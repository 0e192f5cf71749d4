/* chunk_index.h - finds a chunk by its id among refs that somebody else owns.
 *
 * A hash table of positions, four bytes each; the refs lie in an array that the caller passes each
 * time, so that it may grow and move. Lookups from several threads are fine while nobody adds. */
#pragma once
#include "sidecar/image/ref.h"

#define CHUNK_INDEX_NONE UINT32_MAX

struct chunk_index { /* zeroed is empty */
    uint32_t *slots;
    size_t slot_count, used;
};

/** Releases the table; zeroed memory is fine. */
void chunk_index_fini(struct chunk_index *index);

/** Adds position `at` of `refs` unless its id is there already. */
void chunk_index_add(struct chunk_index *index, const struct chunk_ref *refs, uint32_t at);

/** The position of the ref with this id, or CHUNK_INDEX_NONE. */
uint32_t chunk_index_find(const struct chunk_index *index, const struct chunk_ref *refs,
                          const uint8_t id[CRYPTO_HASH_BYTES]);
