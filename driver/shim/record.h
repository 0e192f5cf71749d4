/* record.h - the exit record on disk: durable before anybody is told, and without an allocator.
 *
 * The directory is opened at the start, so that the record lands where it was meant to even if a
 * parent was moved. A reader sees no record or the whole one. */
#pragma once
#include "common/base/err.h"
#include "common/base/fd.h"
#include "common/shimwire/exit_record.h"

#define SHIM_RECORD_NAME_MAX 255

struct shim_record { /* owns */
    struct fd dir;   /* FD_NONE: no record is wanted */
    char name[SHIM_RECORD_NAME_MAX + 1];
};

/** Opens the directory of `path`; "" wants no record. Errors: INVALID the name is too long; SYSTEM.
 */
MUST_USE bool shim_record_open(struct shim_record *out, const char *path, struct err *err);

/** Publishes: temporary, sync, rename, sync directory. Errors: SYSTEM, and no temporary is left;
 *  NOT_FOUND no record is wanted. */
MUST_USE bool shim_record_publish(const struct shim_record *where, const struct exit_record *rec,
                                  struct err *err);

/** Closes. */
void shim_record_fini(struct shim_record *where);
