/* news.h - what users are told: task events with stable texts, log lines, the degraded gauge.
 *
 * The texts are listed in DESIGN.md and read by tools. Each outage is told once when it begins and
 * once when it ends; of the commits the first, and one an hour. */
#pragma once
#include "sidecar/checkpoint/checkpoint.h"
#include "sidecar/engine/health.h"
#include "sidecar/engine/local.h"
#include "sidecar/engine/port.h"
#include "sidecar/observe/observe.h"

#define NEWS_COMMIT_MS 3600000 /* between told commits: Nomad keeps ten events of a task */

struct news {
    struct port *port;       /* borrowed */
    struct observe *observe; /* borrowed */
    struct health health;
    uint64_t commits;
    struct boot told_at;
    char holder[256];
    int64_t holder_epoch;
};

/** A source is troubled, or well again. */
void news_trouble(struct news *n, enum health_source source, const struct err *err);
void news_clear(struct news *n, enum health_source source);

/** Whom a standby waits for; told when it changes. */
void news_standby(struct news *n, const char *node, int64_t epoch);
/** The directory is restored. */
void news_restored(struct news *n, const struct restore_report *report);
/** Trees with unsaved state are there for a person. */
void news_unsaved(struct news *n, const struct local_unsaved *unsaved);
/** A checkpoint is committed; the final one is always told. */
void news_committed(struct news *n, const struct checkpoint_result *result, bool is_final,
                    struct boot now);
/** The start failed, or the lease is lost. */
void news_failed(struct news *n, const struct err *why);
void news_fenced(struct news *n, const struct err *why);
/** The lease is given back; `err`: it is not. */
void news_released(struct news *n, int64_t epoch, const struct err *err);
