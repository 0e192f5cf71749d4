/* deadline.h - the instant after which the owner must not act.
 *
 * A value: copies freely, allocates nothing, cannot fail. Counts suspended time, so a machine
 * that slept through its lease wakes up expired. Not for latencies (struct mono) and not for
 * people (struct wall). */
#pragma once
#include "common/base/time.h"

struct deadline {
    struct boot at;
};

/** `ttl_ms` after `sent`, less `margin_ms` (both >= 0); saturates, never earlier than `sent`.
 *  Read `sent` before the request leaves: a slow reply may only shorten the lease. */
struct deadline deadline_after(struct boot sent, int64_t ttl_ms, int64_t margin_ms);

/** True from the first instant on which acting is no longer safe. */
static inline bool deadline_is_past(struct deadline d, struct boot now)
{
    return now.ns >= d.at.ns;
}

/** Milliseconds left, rounded up so that waiting this long is never too short; 0 when past. */
int64_t deadline_left_ms(struct deadline d, struct boot now);
