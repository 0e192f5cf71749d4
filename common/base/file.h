/* file.h - small files: read with a limit, publish so that a reader sees the old or the new one.
 *
 * Publishing writes a temporary in the same directory, syncs it, renames, syncs the directory:
 * after success the content survives a power loss. `dir_fd` may be AT_FDCWD. */
#pragma once
#include <stdint.h>
#include <sys/types.h>

#include "common/base/buf.h"
#include "common/base/fd.h"

/** Appends the whole file to `out`. Errors: NOT_FOUND when absent, CORRUPT when larger than
 *  `max`, SYSTEM otherwise. Never follows a symlink in the last component, never blocks on a FIFO:
 *  what is not a regular file is INVALID. */
MUST_USE bool file_read(int dir_fd, const char *path, size_t max, struct buf *out, struct err *err);
/** The same for a path that an operator names: a symlink there is his, too (a ConfigMap is made of
 *  them). Never for a place in which a task can write. Errors: as file_read. */
MUST_USE bool file_read_named(const char *path, size_t max, struct buf *out, struct err *err);
/** The two halves of file_read, for who does something in between. Errors: as file_read. */
MUST_USE bool file_open(int dir_fd, const char *path, struct fd *out, struct err *err);
MUST_USE bool file_read_open(int fd, const char *path, size_t max, struct buf *out,
                             struct err *err);

enum file_mode_flags {
    FILE_REPLACE = 0,  /* an existing file is replaced */
    FILE_EXCLUSIVE = 1 /* an existing file is CONFLICT and left alone */
};

/** Publishes `bytes` under `path` with `mode`, durable on return. On failure no file of that name
 *  appears, an old one is untouched, and the temporary is gone. Errors: CONFLICT, SYSTEM. */
MUST_USE bool file_publish(int dir_fd, const char *path, struct view bytes, mode_t mode,
                           enum file_mode_flags flags, struct err *err);

/** Makes `path` and its missing parents with `mode`, durable on return; existing directories are
 *  fine. The deepest one that exists is made durable, too: whoever made it may have been killed
 *  before. Errors: INVALID something else is there; SYSTEM. */
MUST_USE bool dir_make(const char *path, mode_t mode, struct err *err);
/** Makes the directory `name` (one part) in `dir_fd` unless it is there, durable on return whoever
 *  made it; our own is taken back when it cannot be. Errors: SYSTEM. */
MUST_USE bool dir_make_at(int dir_fd, const char *name, mode_t mode, struct err *err);

/** Removes `path`, seen from `dir_fd` (AT_FDCWD: from here), and everything below. Goes by
 * descriptors: whatever is renamed or linked meanwhile, nothing outside is touched; symlinks are
 * removed, mount points and other file systems are refused. Any depth up to 4096 with two
 * descriptors. Absent is fine. Errors: SYSTEM, naming the entry that stayed. */
MUST_USE bool dir_remove_at(int dir_fd, const char *path, struct err *err);
/** The same from here; for parents that only we and root may change. */
MUST_USE bool dir_remove_tree(const char *path, struct err *err);
