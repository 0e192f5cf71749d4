#include "sidecar/image/pack_set.h"

#include "common/base/own.h"

#include <string.h>

#define ROOM_MIN ((size_t)16)

void pack_set_fini(struct pack_set *set)
{
    free(set->sequences);
    free(set->bytes);
    *set = (struct pack_set){ 0 };
}

/* The first position whose sequence is not below. */
static size_t place_of(const struct pack_set *set, uint64_t sequence)
{
    size_t low = 0, high = set->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (set->sequences[middle] < sequence)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void pack_set_add(struct pack_set *set, uint64_t sequence, uint64_t bytes)
{
    size_t at = place_of(set, sequence);
    if (at < set->count && set->sequences[at] == sequence) {
        set->bytes[at] += bytes;
        return;
    }
    if (set->count == set->cap) {
        set->cap = set->cap == 0 ? ROOM_MIN : 2 * set->cap;
        set->sequences = mem_resize(set->sequences, set->cap, sizeof(uint64_t));
        set->bytes = mem_resize(set->bytes, set->cap, sizeof(uint64_t));
    }
    size_t after = set->count++ - at;
    memmove(set->sequences + at + 1, set->sequences + at, after * sizeof(uint64_t));
    memmove(set->bytes + at + 1, set->bytes + at, after * sizeof(uint64_t));
    set->sequences[at] = sequence;
    set->bytes[at] = bytes;
}

bool pack_set_has(const struct pack_set *set, uint64_t sequence)
{
    if (set == NULL)
        return false;
    size_t at = place_of(set, sequence);
    return at < set->count && set->sequences[at] == sequence;
}
