/* chunker.h - where a stream of bytes is cut into chunks.
 *
 * A value fed with bytes: no buffer, no I/O, cannot fail. Its state is empty after each cut, so
 * cutting may start again at any earlier cut. Content-defined (a gear hash with two masks around
 * the average), or fixed for files that are written in place by page. */
#pragma once
#include <stdbool.h>

#include "common/base/buf.h"

enum chunk_mode {
    CHUNK_CONTENT, /* CHUNK_MIN, CHUNK_AVG, CHUNK_MAX */
    CHUNK_PAGED,   /* every CHUNK_PAGE bytes */
    CHUNK_TREE     /* TREE_CHUNK_MIN, TREE_CHUNK_AVG, TREE_CHUNK_MAX */
};

/** The mode for a file that begins so: paged for SQLite's main files, logs and journals. */
enum chunk_mode chunk_mode_of(struct view first_bytes);
#define CHUNK_MODE_BYTES 16 /* of a file's beginning that decide */

struct chunker {
    enum chunk_mode mode;
    uint64_t hash;
    size_t in_chunk; /* bytes since the last cut */
};

/** At the beginning of a stream, or just after a cut. */
static inline struct chunker chunker_of(enum chunk_mode mode)
{
    return (struct chunker){ mode, 0, 0 };
}

/** Feeds bytes up to and including the next cut; returns how many were taken. `*is_cut` says
 *  whether a chunk ends there; otherwise all were taken and the chunk goes on. */
size_t chunker_feed(struct chunker *c, struct view bytes, bool *is_cut);
