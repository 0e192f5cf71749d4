#include "sidecar/engine/backoff.h"

int64_t backoff_ms(struct backoff how, unsigned failures, int64_t salt)
{
    int64_t ms = how.first_ms;
    for (unsigned i = 1; i < failures && ms < how.max_ms; i++)
        ms *= 2;
    if (ms > how.max_ms)
        ms = how.max_ms;
    return ms - (salt & INT64_MAX) % (ms / 4 + 1);
}
