/* rotation.h - one log stream as numbered files of limited size: the newest is written, the oldest
 * go.
 *
 * Names and limits are those of Nomad's log collector, so that `nomad alloc logs` reads the files.
 * Other users may write in the directory: only a regular file with one name that belongs to us is
 * ours. Allocates nothing. Used by the scribe alone. */
#pragma once
#include <limits.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/fd.h"

#define ROTATION_STEM_MAX 200        /* "<task>.stdout" */
#define ROTATION_LAST     999999999U /* the highest number; a stream that gets there stays there */

struct rotation {
    int dir_fd; /* borrowed */
    char stem[ROTATION_STEM_MAX + 1];
    uint64_t max_bytes; /* of one file */
    uint32_t max_files;
    uint32_t number; /* of the file that is open */
    uint64_t size;   /* of it */
    struct fd file;  /* positioned at its end; FD_NONE before and after */
};

/** Nothing is touched. `stem` has at most ROTATION_STEM_MAX bytes (asserted), limits are above 0.
 */
void rotation_init(struct rotation *rotation, int dir_fd, const char *stem, uint64_t max_bytes,
                   uint32_t max_files);

/** Makes `file` a descriptor that takes data: opens the newest of ours, makes the first, or begins
 *  the next when it is full or no longer has a name. Cheap when nothing is to be done. How much
 *  still fits is max_bytes - size. Errors: SYSTEM; then `file` is closed. */
MUST_USE bool rotation_ready(struct rotation *rotation, struct err *err);

/** `count` bytes were written to `file`. */
void rotation_wrote(struct rotation *rotation, uint64_t count);

/** Closes the file. */
void rotation_fini(struct rotation *rotation);
