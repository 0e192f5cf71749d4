/* pack_set.h - a set of packs by their sequence, ascending.
 *
 * Pure. Made for runs of equal or rising sequences, as the chunks of a tree come. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pack_set { /* zeroed is empty */
    uint64_t *sequences;
    uint64_t *bytes; /* of the chunks counted for each */
    size_t count, cap;
};

/** Releases; zeroed memory is fine. */
void pack_set_fini(struct pack_set *set);

/** Adds `sequence` if it is not there, and `bytes` to its sum. */
void pack_set_add(struct pack_set *set, uint64_t sequence, uint64_t bytes);

/** True when it is there. NULL is an empty set. */
bool pack_set_has(const struct pack_set *set, uint64_t sequence);
