/* fetch.h - reads parts of packs from the store and opens them.
 *
 * One part at a time, for what is small: manifests and trees. Every part is checked against the
 * agent's key, its pack, its place and, for chunks, its name. One owner, one thread. */
#pragma once
#include "sidecar/checkpoint/history.h"
#include "sidecar/image/pack.h"

struct fetch {
    const struct checkpoint_source *source; /* borrowed */
    struct deadline until;
    struct squeeze *squeeze;
    struct buf sealed;
    uint64_t read_bytes; /* counted */
};

/** Starts; calls on the store end at `until`. */
void fetch_init(struct fetch *f, const struct checkpoint_source *source, struct deadline until);
/** Releases; zeroed memory is fine. */
void fetch_fini(struct fetch *f);

/** The footer of pack `id`. Errors: NOT_FOUND; CORRUPT; UNAVAILABLE. All name the pack. */
MUST_USE bool fetch_footer(struct fetch *f, struct pack_id id, struct pack_footer *out,
                           struct err *err);
/** The header of pack `id`, with the agent's wrapped data key. Needs no keys. Errors: as
 *  fetch_footer. */
MUST_USE bool fetch_header(struct fetch *f, struct pack_id id, struct pack_header *out,
                           struct err *err);
/** The manifest of checkpoint `id` into `out`, which the caller must fini also after a failure.
 *  Errors: as fetch_footer. */
MUST_USE bool fetch_manifest(struct fetch *f, struct pack_id id, struct manifest *out,
                             struct err *err);

/** All chunks of a tree and of the lists above it. */
struct tree_refs {
    struct chunk_ref *refs; /* owned */
    size_t count;
};
/** Releases; zeroed memory is fine. */
void tree_refs_fini(struct tree_refs *refs);
/** The tree of a checkpoint, checked as a whole, its root hash too. `refs` may be NULL. Errors: as
 *  fetch_footer. */
MUST_USE bool fetch_tree(struct fetch *f, const struct manifest *m, struct buf *out,
                         struct tree_refs *refs, struct err *err);

/** Reads all blocks of the index of pack `id` and calls `each` for every entry. Errors: as
 *  fetch_footer; those of `each`. */
typedef bool fetch_entry_fn(void *arg, const struct pack_index_entry *entry, struct err *err);
MUST_USE bool fetch_index(struct fetch *f, struct pack_id id, fetch_entry_fn *each, void *arg,
                          struct err *err);

/** Opens a sealed chunk and checks that it has the name in `ref`; the bytes go to `out`. Any
 * thread, with a squeeze of its own. Errors: CORRUPT. */
MUST_USE bool fetch_open_chunk(const struct agent_keys *keys, struct squeeze *squeeze,
                               const struct pack_bind *bind, struct view sealed,
                               const struct chunk_ref *ref, uint8_t *out, struct err *err);
