/* mark.h - the durable word beside a state directory that it holds what no checkpoint has.
 *
 * Lies in the directory's lock file, always of the same size, so that a full disk cannot keep it
 * from being changed. Bytes: proto/checkpoint.md, 9; why: docs/decisions/006. Worker thread:
 * blocks. */
#pragma once
#include "common/base/buf.h"
#include "sidecar/checkpoint/history.h"

#define MARK_BYTES 512 /* one sector: it is changed as a whole */

struct mark { /* zeroed: everything is saved */
    bool is_unsaved;
    char head[PACK_ID_TEXT]; /* the checkpoint that the tree was based on; "" none or unknown */
    int64_t sequence, epoch;
    int64_t wall_ms; /* since when; 0 unknown */
    char why[160];
};

/** Appends MARK_BYTES. Texts that do not fit are cut. */
void mark_encode(const struct mark *mark, struct buf *out);
/** Errors: CORRUPT, naming the field. */
MUST_USE bool mark_decode(struct view bytes, struct mark *out, struct err *err);

/** Reads the file's mark. An empty file is one of before: saved. A damaged mark is *unsaved*, with
 *  the damage as `why`. `out_is_whole`: it is there and needs no reserving. Errors: SYSTEM. */
MUST_USE bool mark_read(int fd, struct mark *out, bool *out_is_whole, struct err *err);
/** Writes over what is there, durable on return. Errors: SYSTEM. */
MUST_USE bool mark_write(int fd, const struct mark *mark, struct err *err);
