/* chance.h - numbers from a seed: the same seed gives the same numbers on every machine.
 *
 * A value (xorshift64*). Not for secrets. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct chance {
    uint64_t state;
};

/** The numbers of `seed`; neighbouring seeds have nothing in common. */
struct chance chance_of(uint64_t seed);
/** The next number. */
uint64_t chance_draw(struct chance *c);
/** The next number in 0 .. bound - 1; `bound` is above 0. */
int64_t chance_below(struct chance *c, int64_t bound);
