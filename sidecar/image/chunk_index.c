#include "sidecar/image/chunk_index.h"

#include "common/base/own.h"

#include <assert.h>

#define SLOTS_MIN ((size_t)64)

void chunk_index_fini(struct chunk_index *index)
{
    free(index->slots);
    *index = (struct chunk_index){ 0 };
}

/* Ids are keyed hashes: any part of one is spread evenly, and nobody outside can choose it. */
static size_t slot_of(const struct chunk_index *index, const struct chunk_ref *refs,
                      const uint8_t id[CRYPTO_HASH_BYTES])
{
    uint64_t word;
    memcpy(&word, id, sizeof(word));
    size_t slot = (size_t)word & (index->slot_count - 1);
    while (index->slots[slot] != CHUNK_INDEX_NONE &&
           memcmp(refs[index->slots[slot]].id, id, CRYPTO_HASH_BYTES) != 0)
        slot = (slot + 1) & (index->slot_count - 1);
    return slot;
}

static void grow(struct chunk_index *index, const struct chunk_ref *refs)
{
    struct chunk_index old = *index;
    index->slot_count = old.slot_count == 0 ? SLOTS_MIN : 2 * old.slot_count;
    index->slots = mem_array(index->slot_count, sizeof(uint32_t));
    memset(index->slots, 0xff, index->slot_count * sizeof(uint32_t));
    for (size_t i = 0; i < old.slot_count; i++)
        if (old.slots[i] != CHUNK_INDEX_NONE)
            index->slots[slot_of(index, refs, refs[old.slots[i]].id)] = old.slots[i];
    free(old.slots);
}

void chunk_index_add(struct chunk_index *index, const struct chunk_ref *refs, uint32_t at)
{
    assert(at != CHUNK_INDEX_NONE);
    if (4 * (index->used + 1) > 3 * index->slot_count)
        grow(index, refs);
    size_t slot = slot_of(index, refs, refs[at].id);
    if (index->slots[slot] != CHUNK_INDEX_NONE)
        return;
    index->slots[slot] = at;
    index->used++;
}

uint32_t chunk_index_find(const struct chunk_index *index, const struct chunk_ref *refs,
                          const uint8_t id[CRYPTO_HASH_BYTES])
{
    if (index->slot_count == 0)
        return CHUNK_INDEX_NONE;
    return index->slots[slot_of(index, refs, id)];
}
