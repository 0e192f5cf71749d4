/* history.h - what is in the store: one checkpoint, its ancestors, its entries.
 *
 * For worker threads and the command line: calls block, bounded by their deadline, and never change
 * the store. A checkpoint is named by its id; the newest one's is in the record (`head`). Every
 * byte is checked against the agent's key before it is used. */
#pragma once
#include "common/base/deadline.h"
#include "sidecar/crypto/keyring.h"
#include "sidecar/image/manifest.h"
#include "sidecar/store/store.h"

/* Where an agent's checkpoints are and what opens them. All borrowed. */
struct checkpoint_source {
    struct store *store; /* with packs */
    const char *name;    /* of the agent */
    const struct agent_keys *keys;
    unsigned threads;           /* beside the caller's; 0: a default for this machine, at most 2 */
    const uint8_t *wrapped_key; /* KEYRING_WRAPPED_BYTES, for who writes; goes into every pack */
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

/* An agent's key and its newest checkpoint from the packs alone, when there is no record: for
 * people at the command line, and for a floor under the register (engine/claim). Which checkpoint
 * was committed only the record knew: the newest pack may be one that never was. So nothing starts
 * an agent from what is found here. */
struct salvage {             /* zeroed is empty */
    struct agent_keys *keys; /* owned */
    char head[PACK_ID_TEXT]; /* newest checkpoint with a whole manifest: of the highest sequence,
                              * among these of the highest epoch, the latest */
    int64_t sequence, epoch, wall_ms;
    unsigned damaged; /* packs of higher sequences, left out because their manifest is not whole */
};

/* For a floor under the register: each pack that is passed over costs a read, and with a foreign
 * key file that is every pack; the register says which key it is. */
#define SALVAGE_FLOOR_PACKS 16

/** Looks at the newest `max` packs (0: at all of them). Fills `out`, which the caller must
 *  salvage_fini also after a failure. Errors: NOT_FOUND there are no packs, or none that carries
 * the key (format 1); CORRUPT no pack whose key this key file opens, or no whole manifest;
 *  UNAVAILABLE, DENIED. */
MUST_USE bool salvage_find(const struct checkpoint_source *source, const struct keyring *keyring,
                           size_t max, struct deadline until, struct salvage *out, struct err *err);
/** Releases; zeroed memory is fine. */
void salvage_fini(struct salvage *salvage);
