/* loader.h - many chunks from the store, read in long runs, opened and checked on a crew.
 *
 * Chunks that lie one after the other in a pack are read at once. Each comes back exactly once, in
 * the order in which it was asked for. Memory is bounded. The caller keeps the agent's keys held.
 */
#pragma once
#include "sidecar/checkpoint/fetch.h"

/* What is asked for. `arg` is the caller's and comes back with the chunk. */
struct load {
    struct chunk_ref ref;
    enum pack_kind kind;
    void *arg;
    uint64_t at; /* the caller's too: a place, a number */
};

/* On a thread of the crew, with the chunk's checked bytes: must touch only what is the load's. */
typedef bool load_use_fn(const struct load *load, struct view plain, struct err *err);
/* On the caller's thread, after use: `failure` is NULL, or why the chunk could not be had or used.
 * Returning false ends everything with `err`. */
typedef bool load_done_fn(void *arg, const struct load *load, const struct err *failure,
                          struct err *err);

struct loader_spec {
    const struct checkpoint_source *source;
    const struct manifest *manifest; /* names the packs */
    struct deadline until;
    unsigned threads;
    load_use_fn *use;
    load_done_fn *done;
    void *done_arg;
};

struct loader;
/** `spec` is copied, what it points to borrowed. */
struct loader *loader_new(const struct loader_spec *spec);
/** Ends what is under way; `done` is not called any more. NULL is fine. */
void loader_free(struct loader *loader);
static inline void loader_freep(struct loader **loader)
{
    loader_free(*loader);
    *loader = NULL;
}

/** Asks for one chunk. Errors: what `done` returned; UNAVAILABLE the store does not answer. */
MUST_USE bool loader_put(struct loader *loader, const struct load *load, struct err *err);

/** Returns when everything asked for has come back. Errors: as loader_put. */
MUST_USE bool loader_flush(struct loader *loader, struct err *err);

/** Bytes read from the store. */
uint64_t loader_read_bytes(const struct loader *loader);
