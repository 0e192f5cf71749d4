/* restore.h - puts a checkpoint's tree in the place of a directory, whole or not at all.
 *
 * For worker threads and the command line: blocks, bounded by its deadline. Builds beside the
 * target, checks every chunk and the root hash from what lies on the disk, syncs, exchanges by
 * rename. Never merges with what is there. */
#pragma once
#include "sidecar/checkpoint/fetch.h"
#include "sidecar/checkpoint/history.h"
#include "sidecar/image/catalog.h"

struct restore_report {
    char id[PACK_ID_TEXT];
    int64_t sequence, epoch;
    struct tree_totals totals;
    uint64_t read_bytes;   /* from the store */
    uint64_t not_owned;    /* entries whose owner this user may not set: kept as ours */
    uint64_t not_marked;   /* attributes that this user or file system does not take */
    bool is_old_kept;      /* the old tree could not be removed, see left_behind */
    char left_behind[512]; /* its path */
    bool is_put_aside;     /* there was an old tree, and it is beside the target as `keep_as` */
    int64_t spent_us;
};
struct restore_spec {
    const char *id;
    const char *target;  /* replaced as a whole when it exists */
    uint64_t epoch_max;  /* refuse a checkpoint of a later epoch; 0: any */
    bool is_new_only;    /* refuse when the target exists */
    const char *keep_as; /* name beside the target for the old tree; NULL: it is removed */
    struct deadline until;
};
/** Restores checkpoint `spec->id` so that `target` is afterwards exactly that tree, durable; until
 *  the last step the old tree stays, and after a failure nothing is left beside it. What a killed
 *  restore of the same target left is removed first. Errors: as history_read; CORRUPT; FENCED
 * epoch; CONFLICT the target, or `keep_as`, exists; INVALID the target is a mount point or no
 * directory; SYSTEM, no space among them; UNAVAILABLE. */
MUST_USE bool checkpoint_restore(const struct checkpoint_source *source,
                                 const struct restore_spec *spec, struct restore_report *out,
                                 struct err *err);

/* What a restore knows about the tree that it has made: the next checkpoint can build on it. */
struct restored {
    struct manifest manifest;
    struct catalog catalog;
    struct tree_refs refs;
};
/** Releases; zeroed memory is fine. */
void restored_fini(struct restored *restored);
/** As checkpoint_restore; fills `restored` (zeroed) unless it is NULL. For checkpoint.c. */
MUST_USE bool restore_with(const struct checkpoint_source *source, const struct restore_spec *spec,
                           struct restored *restored, struct restore_report *out, struct err *err);
