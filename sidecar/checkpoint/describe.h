/* describe.h - a catalog as a tree in the pack: chunks, lists of chunks, root hash.
 *
 * Streams: the encoded tree is never whole in memory. The sealer is aimed here and flushed. */
#pragma once
#include "sidecar/checkpoint/sealer.h"

/* All chunks of the tree: level 0 are the tree's own, each further level lists the one before. */
struct description {
    struct chunk_ref *refs;
    uint64_t *quick; /* beside refs */
    size_t count;
    size_t top;      /* the last level is refs[top] and after */
    uint32_t levels; /* above level 0 */
    uint64_t tree_bytes;
    uint8_t root_hash[CRYPTO_HASH_BYTES];
};

/** Releases; zeroed memory is fine. */
void description_fini(struct description *d);

/** Stores what is new of the tree and fills `out` (zeroed). Errors: INVALID beyond a limit of the
 *  format; those of the sealer. */
MUST_USE bool describe(const struct catalog *catalog, const struct agent_keys *keys,
                       struct sealer *sealer, struct description *out, struct err *err);
