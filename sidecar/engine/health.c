#include "sidecar/engine/health.h"

#include <stdio.h>

bool health_trouble(struct health *h, enum health_source source, const struct err *err)
{
    bool is_new = h->sources[source].order == 0;
    if (is_new)
        h->sources[source].order = ++h->begun;
    (void)snprintf(h->sources[source].why, sizeof h->sources[source].why, "%.199s", err->msg);
    return is_new;
}

bool health_clear(struct health *h, enum health_source source)
{
    bool was_troubled = h->sources[source].order != 0;
    h->sources[source].order = 0;
    return was_troubled;
}

const char *health_why(const struct health *h)
{
    const char *why = "";
    unsigned first = 0;
    for (enum health_source s = 0; s < HEALTH_SOURCE_COUNT; s++) {
        unsigned order = h->sources[s].order;
        if (order != 0 && (first == 0 || order < first)) {
            first = order;
            why = h->sources[s].why;
        }
    }
    return why;
}

#define RECOVERED_ROW(source, text) [HEALTH_##source] = text,
const char *health_recovered(enum health_source source)
{
    static const char *const texts[] = { HEALTH_SOURCES(RECOVERED_ROW) };
    return texts[source];
}
