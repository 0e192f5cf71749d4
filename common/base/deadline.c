#include "common/base/deadline.h"

#include <assert.h>

struct deadline deadline_after(struct boot sent, int64_t ttl_ms, int64_t margin_ms)
{
    assert(ttl_ms >= 0 && margin_ms >= 0);
    int64_t left_ms = ttl_ms > margin_ms ? ttl_ms - margin_ms : 0;
    return (struct deadline){ boot_add_ms(sent, left_ms) };
}

int64_t deadline_left_ms(struct deadline d, struct boot now)
{
    if (deadline_is_past(d, now))
        return 0;
    int64_t left_ns = d.at.ns - now.ns;
    return left_ns / NS_PER_MS + (left_ns % NS_PER_MS > 0);
}
