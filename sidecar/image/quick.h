/* quick.h - a fast fingerprint that tells whether bytes of our own have changed.
 *
 * Not a name and not a proof: 64 bits, keyed with a seed that never leaves the process, so that
 * nobody can aim at a collision. What it finds changed is hashed and sealed as always. Several
 * times faster than BLAKE2b, which is what keeps the agent's pause and each interval short. */
#pragma once
#include "common/base/buf.h"

struct quick_seed {
    uint64_t words[4];
};

/** A fresh random seed; fingerprints under different seeds do not compare. */
struct quick_seed quick_seed_new(void);

/** The fingerprint of `bytes`. */
uint64_t quick_hash(const struct quick_seed *seed, struct view bytes);
