/* statedir.h - the directory of a job's durable state, made for the task's user before the start.
 *
 * The task may have written below its own directories before, so no symbolic link below the
 * allocation directory is followed. Blocking: on workers only. */
#pragma once
#include "common/base/err.h"
#include "driver/surround/resolve.h"

/** Makes `path` (below `alloc_dir`) and missing parents, owned by the user, 0700; a directory that
 *  is there is left as it is. Errors: INVALID not below, or something else is in the way; SYSTEM.
 */
MUST_USE bool state_dir_make(const char *alloc_dir, const char *path, const struct user_ids *user,
                             struct err *err);
