/* checkpoint.h - saves a directory to a store at one instant, again and again, little at a time.
 *
 * For one worker thread at a time (or the command line): calls block, bounded by their deadline. It
 * never moves the head: checkpoint_take leaves a candidate in the store, the owner of the record
 * commits it and says so. Nothing is written when nothing changed. Rules: DESIGN.md. */
#pragma once
#include "common/base/deadline.h"
#include "sidecar/checkpoint/history.h"
#include "sidecar/checkpoint/restore.h"
#include "sidecar/image/manifest.h"
#include "sidecar/store/store.h"

#define CHECKPOINT_FREEZE_MAX_MS 250 /* the same for trees that take long to look at */
#define CHECKPOINT_FREEZE_MS     50  /* default bound of the agent's pause */
#define CHECKPOINT_CUT_BYTES     ((size_t)4 << 20) /* default bound of what is read during it */

/* How the agent is held still for the cut. `freeze` returns once everything that writes stands
 * still; `thaw` is called after every freeze that returned true, and may be late for one that the
 * other side has already ended at `max_ms`. Errors of freeze: UNAVAILABLE not in time; the
 * checkpoint is then fuzzy. */
struct cut_ops {
    bool (*freeze)(void *arg, int64_t max_ms, struct err *err);
    void (*thaw)(void *arg);
    void *arg;
};

struct checkpoint_spec {
    struct checkpoint_source source; /* store, name, keys, threads: borrowed until free */
    const char *root;                /* the directory; copied */
    const char *const *exclude;      /* patterns, see glob.h; copied */
    size_t exclude_count;
    int64_t epoch;    /* of the lease under which checkpoints are made */
    size_t cut_bytes; /* 0: CHECKPOINT_CUT_BYTES */
};

struct checkpoint;
/** Nothing is read yet. Errors: INVALID a pattern that cannot be understood. */
MUST_USE bool checkpoint_new(const struct checkpoint_spec *spec, struct checkpoint **out,
                             struct err *err);
/** A candidate that is still open is dropped. NULL is fine. */
void checkpoint_free(struct checkpoint *cp);
static inline void checkpoint_freep(struct checkpoint **cp)
{
    checkpoint_free(*cp);
    *cp = NULL;
}

struct checkpoint_request {
    const char *reason;          /* "interval", "barrier", "stop", ... */
    const char *label;           /* or NULL */
    const char *config_digest;   /* hex or NULL */
    const char *artifact_digest; /* hex or NULL */
    const struct cut_ops *cut;   /* NULL: nobody writes (the agent has not started or is gone) */
    int64_t freeze_ms;     /* 0: CHECKPOINT_FREEZE_MS, or twice a look at all names and more */
    bool may_trust_growth; /* interval checkpoints: see DESIGN.md, "Logs that grow" */
    struct deadline until;
};

struct checkpoint_result {
    bool is_changed; /* false: equal to the committed one, nothing was written; `id` is that one */
    char id[PACK_ID_TEXT]; /* empty: unchanged and none was ever committed: cannot happen twice */
    int64_t sequence, epoch, wall_ms;
    enum cut_kind cut;
    struct tree_totals totals;
    uint64_t read_bytes;   /* from files */
    uint64_t stored_bytes; /* of new chunks, sealed */
    int64_t pause_us;      /* between freeze's return and thaw's */
    int64_t spent_us;
    uint32_t skipped;    /* sockets, devices, FIFOs */
    char why_fuzzy[160]; /* the cut did not succeed because; empty: it did */
    uint32_t unstable;   /* files that changed while they were read, in a fuzzy cut */
};

/** Takes a checkpoint. With is_changed a candidate is durable in the store, and the caller must end
 *  it by checkpoint_committed or checkpoint_dropped before the next take (asserted). Errors:
 *  NOT_FOUND no such directory; SYSTEM a file cannot be read, or no space in the store;
 *  UNAVAILABLE the store or the deadline; INVALID beyond a limit of the format. After an error
 *  there is no candidate and the directory was not touched. */
MUST_USE bool checkpoint_take(struct checkpoint *cp, const struct checkpoint_request *request,
                              struct checkpoint_result *out, struct err *err);

/** The record names the candidate now: the next checkpoint builds on it. */
void checkpoint_committed(struct checkpoint *cp);
/** The record does not and will not name it. Its pack stays behind unused, for the prune. */
void checkpoint_dropped(struct checkpoint *cp);

/** As checkpoint_restore to the directory of `cp`, which then builds on `head`; `keep_as` as in
 *  restore_spec. Once, before the first take, unless there is no checkpoint yet. Errors: those, and
 *  FENCED the head's epoch is above ours. */
MUST_USE bool checkpoint_restore_into(struct checkpoint *cp, const char *head, const char *keep_as,
                                      struct deadline until, struct restore_report *out,
                                      struct err *err);
