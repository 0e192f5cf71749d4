/* history.h - what is in the store: one checkpoint, its ancestors, its entries.
 *
 * For worker threads and the command line: calls block, bounded by their deadline, and never change
 * the store. A checkpoint is named by its id; the newest one's is in the record (`head`). Every
 * byte is checked against the agent's key before it is used. */
#pragma once
#include "common/base/deadline.h"
#include "sidecar/image/manifest.h"
#include "sidecar/store/store.h"

/* Where an agent's checkpoints are and what opens them. All borrowed. */
struct checkpoint_source {
    struct store *store; /* with packs */
    const char *name;    /* of the agent */
    const struct agent_keys *keys;
    unsigned threads; /* beside the caller's; 0: a default for this machine, at most 2 */
};

/** How many threads that means on this machine. */
unsigned source_threads(const struct checkpoint_source *source);

/** Reads the manifest of checkpoint `id` into `out`, which the caller must manifest_fini also after
 *  a failure. Errors: INVALID not an id; NOT_FOUND the store has no such pack; CORRUPT, naming pack
 *  and part; UNAVAILABLE. */
MUST_USE bool history_read(const struct checkpoint_source *source, const char *id,
                           struct deadline until, struct manifest *out, struct err *err);

typedef bool history_fn(void *arg, const struct manifest *manifest, struct err *err);
/** Calls `each` from `head` to its oldest ancestor that is still there, newest first, at most `max`
 *  times (0: no limit); stops and returns the failure of `each`. Errors: those of history_read
 *  for `head`; CORRUPT a parent that is damaged or not older than its child. */
MUST_USE bool history_walk(const struct checkpoint_source *source, const char *head, size_t max,
                           struct deadline until, history_fn *each, void *arg, struct err *err);

typedef bool history_entry_fn(void *arg, const struct tree_entry *entry, struct err *err);
/** Calls `each` for every entry of the checkpoint's tree, in order. Errors: as history_read. */
MUST_USE bool history_entries(const struct checkpoint_source *source,
                              const struct manifest *manifest, struct deadline until,
                              history_entry_fn *each, void *arg, struct err *err);
