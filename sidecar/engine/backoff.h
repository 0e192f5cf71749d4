/* backoff.h - how long to rest before the next try: doubles, has a cap and jitter. Pure. */
#pragma once
#include <stdint.h>

struct backoff {
    int64_t first_ms, max_ms;
};

/** The rest after `failures` in a row (>= 1), less up to a quarter that depends on `salt` (any
 *  changing number, such as the clock), so that many clients do not come back together. */
int64_t backoff_ms(struct backoff how, unsigned failures, int64_t salt);
