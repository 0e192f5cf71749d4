/* identity.h - which process it is, in a form that survives on disk: pid, start time, boot id.
 *
 * A pid alone names nobody: it is used again. Nobody is ever signalled by a stored number; a stored
 * identity is first turned into a pidfd, and only when everything matches. Reads /proc. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/err.h"
#include "common/base/fd.h"

#define PROC_BOOT_ID_BYTES 37 /* text and a NUL */

struct proc_identity {
    pid_t pid;
    uint64_t start_ticks; /* field 22 of /proc/<pid>/stat: clock ticks since boot */
    char boot_id[PROC_BOOT_ID_BYTES];
};

/** The running kernel's boot id. Errors: SYSTEM. */
MUST_USE bool proc_boot_id(char out[PROC_BOOT_ID_BYTES], struct err *err);

/** Number `field` (4 and later, as proc_pid_stat(5) counts) of a line of /proc/<pid>/stat, in which
 *  the name may hold anything. False when there is none. */
bool proc_stat_field(const char *line, unsigned field, int64_t *out);

/** When `pid` was started. Zombies count. Errors: NOT_FOUND no such process; SYSTEM. */
MUST_USE bool proc_start_ticks(pid_t pid, uint64_t *out, struct err *err);

/** The identity of `pid`. Errors: NOT_FOUND no such process; SYSTEM. */
MUST_USE bool proc_identify(pid_t pid, struct proc_identity *out, struct err *err);

/** A pidfd of exactly that process (it may be a zombie: poll the pidfd). Errors: NOT_FOUND gone,
 *  another process has the pid, or another boot; SYSTEM. */
MUST_USE bool proc_open(const struct proc_identity *who, struct fd *out, struct err *err);
