/* file_register.h - a record as a file: locked, compared, published.
 *
 * Private to the file backend; the operations of backend.h. Format and crash cases: DESIGN.md. */
#pragma once
#include "sidecar/store/file_root.h"

/** Reads the record. Errors: NOT_FOUND, CORRUPT, UNAVAILABLE, DENIED. */
MUST_USE bool file_record_read(struct store *store, const char *name, struct deadline until,
                               struct buf *out, struct store_version *out_version, struct err *err);
/** Creates (`expected` NULL) or replaces it. Errors: CONFLICT, UNAVAILABLE, DENIED, CORRUPT. */
MUST_USE bool file_record_write(struct store *store, const char *name,
                                const struct store_version *expected, struct view record,
                                struct deadline until, struct store_version *out_version,
                                struct err *err);
/** Waits for a change by inotify, and looks by itself now and then. Errors: UNAVAILABLE, DENIED. */
MUST_USE bool file_record_watch(struct store *store, const char *name,
                                const struct store_version *seen, struct deadline until,
                                struct err *err);
