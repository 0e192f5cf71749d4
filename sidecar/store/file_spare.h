/* file_spare.h - publishes a small file without needing free space: two files that change places.
 *
 * Private to the file backend, for the record: a renewal must work on a full disk. Beside the file
 * lies its spare, of the same size and with its blocks taken. The spare is filled, synced and
 * exchanged with the file, so the blocks of the old content serve the next one. Callers hold the
 * agent's lock; readers do not, hence file_spare_read. Where a file system cannot exchange names,
 * or writes nothing in place, space is needed again. */
#pragma once
#include "common/base/buf.h"
#include "common/base/deadline.h"

#define FILE_SPARE "spare"

/** Publishes `bytes` as `name` in `dir`, padded with zero bytes to `space`, durable on return; with
 *  `is_new` there is no such file yet, and none appears unless there is room for the spare, too. On
 *  failure the old file is untouched, or the new one is in place and may not be durable. `until`
 *  bounds the wait for a reader of the spare. Errors: UNAVAILABLE, DENIED. */
MUST_USE bool file_spare_publish(int dir, const char *name, bool is_new, struct view bytes,
                                 size_t space, struct deadline until, struct err *err);

/** Appends the whole file (at most `space` bytes) to `out`, of one publication and no other, also
 *  while it is exchanged. Errors: NOT_FOUND, CORRUPT larger, INVALID no regular file, UNAVAILABLE,
 *  DENIED. */
MUST_USE bool file_spare_read(int dir, const char *name, size_t space, struct deadline until,
                              struct buf *out, struct err *err);
