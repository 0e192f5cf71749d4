#include "sidecar/simulate/chance.h"

#include <assert.h>

struct chance chance_of(uint64_t seed)
{
    uint64_t mixed = seed + 0x9e3779b97f4a7c15U; /* splitmix64: a seed of 0 is as good as any */
    mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9U;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111ebU;
    mixed ^= mixed >> 31;
    return (struct chance){ mixed == 0 ? 1 : mixed };
}

uint64_t chance_draw(struct chance *c)
{
    c->state ^= c->state >> 12;
    c->state ^= c->state << 25;
    c->state ^= c->state >> 27;
    return c->state * 0x2545f4914f6cdd1dU;
}

int64_t chance_below(struct chance *c, int64_t bound)
{
    assert(bound > 0);
    return (int64_t)(chance_draw(c) % (uint64_t)bound);
}
