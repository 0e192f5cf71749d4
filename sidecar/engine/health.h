/* health.h - what is wrong now and handled: told once when it begins, once when it ends.
 *
 * Several sources may be troubled at a time; users see the one that began first. Pure. */
#pragma once
#include <stdbool.h>

#include "common/base/err.h"

#define HEALTH_SOURCES(X) /* source, what works again when it is over */ \
    X(STORE, "the store of the lease answers")                           \
    X(RENEWAL, "the lease is renewed")                                   \
    X(RESTORE, "the restore goes on")                                    \
    X(GATE, "the local API listens")                                     \
    X(CHECKPOINT, "checkpoints are committed")                           \
    X(STATE, "the state directory is in place and can be written")       \
    X(PACKS, "the store of the checkpoints answers")                     \
    X(MARK, "the mark beside the state directory can be written")

#define HEALTH_ENUM(source, text) HEALTH_##source,
enum health_source { HEALTH_SOURCES(HEALTH_ENUM) HEALTH_SOURCE_COUNT };

struct health { /* zeroed is well */
    struct {
        unsigned order; /* 0: well; else the lower began earlier */
        char why[200];
    } sources[HEALTH_SOURCE_COUNT];
    unsigned begun;
};

/** Notes why a source is troubled; true when it was well until now: tell it. */
bool health_trouble(struct health *h, enum health_source source, const struct err *err);
/** The source is well; true when it was not: tell health_recovered(source). */
bool health_clear(struct health *h, enum health_source source);

/** The reason of the oldest trouble, "" when all is well; lent until the next change. */
const char *health_why(const struct health *h);
/** What works again; static. */
const char *health_recovered(enum health_source source);
