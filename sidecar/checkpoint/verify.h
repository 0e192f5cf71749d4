/* verify.h - proves that a checkpoint could be restored, without writing anything.
 *
 * For worker threads and the command line: blocks, bounded by its deadline. It reads every byte
 * that a restore would read and goes on after damage, so that the report says how much is lost. */
#pragma once
#include "sidecar/checkpoint/history.h"

struct verify_report {
    struct tree_totals totals;
    uint64_t read_bytes; /* from the store */
    uint64_t damaged;    /* files that cannot be restored whole */
    char first[256];     /* the first damaged path, cleaned for people; empty: none */
    struct err first_err;
};
/** Reads and checks everything that a restore of `id` would: packs, tree, every chunk, root hash.
 *  Errors: as history_read; CORRUPT when anything is damaged: the report says how much. */
MUST_USE bool checkpoint_verify(const struct checkpoint_source *source, const char *id,
                                struct deadline until, struct verify_report *out, struct err *err);
