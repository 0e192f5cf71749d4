/* saver.h - when a checkpoint is taken, when it counts, and what happens when it fails.
 *
 * Take on a worker, commit on the loop, one at a time; wishes are coalesced, failures repeated with
 * backoff. Knows nothing of stores and leases: both are behind `ops`, so that every history can be
 * played with a script. Loop thread, but for `take`. */
#pragma once
#include "common/loop/loop.h"
#include "sidecar/checkpoint/checkpoint.h"
#include "sidecar/engine/wishes.h"
#include "sidecar/observe/observe.h"

#define SAVER_PATIENCE_MS 10000 /* how long a wish waits through failures */
#define SAVER_BACKOFF_MS  200   /* after the first failure; doubles */
#define SAVER_BACKOFF_MAX 5000
#define SAVER_TAKE_MS     600000 /* one try; a slower store never gets a checkpoint done */

typedef void saver_done_fn(void *arg, const struct err *err); /* NULL: done */

struct saver_take {
    const char *reason; /* static */
    bool is_alone;      /* no agent can write */
    bool is_interval;   /* nobody asked: logs that grew may be sampled (checkpoint/DESIGN.md) */
    struct deadline until;
};

struct saver_ops {
    /** Worker: takes a checkpoint. */
    bool (*take)(void *arg, const struct saver_take *what, struct checkpoint_result *out,
                 struct err *err);
    /** Moves the head; NULL only proves that we may. `done` runs once, not inside. */
    void (*commit)(void *arg, const struct checkpoint_result *result, saver_done_fn *done,
                   void *done_arg);
    /** The changed candidate is committed, or never will be. */
    void (*settle)(void *arg, bool is_committed);
    void *arg;
};

struct saver_events {
    void (*on_committed)(void *arg, const struct checkpoint_result *result, bool is_once);
    /** It failed and will be repeated; NULL: it works again. */
    void (*on_trouble)(void *arg, const struct err *err);
    /** What saver_once asked for: NULL committed (or unchanged); else not to be repeated. */
    void (*on_once)(void *arg, const struct checkpoint_result *result, const struct err *err);
    /** After saver_stop: no worker is busy any more. */
    void (*on_idle)(void *arg);
    void *arg;
};

struct saver;
/** Does nothing by itself yet. `ops`, `events` are copied, `observe` and `clock` borrowed. */
struct saver *saver_new(struct loop *loop, const struct clock *clock, struct observe *observe,
                        const struct saver_ops *ops, const struct saver_events *events);
/** Not while a worker is busy (asserted); wishes must be gone. NULL is fine. */
void saver_free(struct saver *saver);

/** The head that exists already: what a wish is told when nothing changed. */
void saver_adopt(struct saver *saver, const char *id, int64_t sequence);

/** From now on a checkpoint begins every `interval_ms`; 0: only when wished. */
void saver_start(struct saver *saver, int64_t interval_ms);
/** A checkpoint that begins after this call, please. */
void saver_wish(struct saver *saver, struct wish *wish);
/** False when it is not there (any more). */
bool saver_forget(struct saver *saver, struct wish *wish);

/** Ends the interval; one more checkpoint with nobody writing, behind the one at work, repeated
 *  until committed or `until`. Ends in on_once. `reason` is static. */
void saver_once(struct saver *saver, const char *reason, struct deadline until);

/** Nothing begins any more, all wishes fail with `why`; on_idle follows, never inside. */
void saver_stop(struct saver *saver, const struct err *why);
/** True while a worker is busy or a commit is under way. */
bool saver_is_busy(const struct saver *saver);

/** When the newest committed state was read: what was written later would be lost. False when this
 *  life has committed none. */
bool saver_last_cut(const struct saver *saver, struct boot *out);
/** The newest committed checkpoint; "" when there is none. Lent until the next turn. */
const char *saver_borrow_head(const struct saver *saver, int64_t *out_sequence);
