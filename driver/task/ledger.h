/* ledger.h - the records of launches on disk: claim a key, find a launch again, publish, remove.
 *
 * The proof that no second copy runs: the lock says whether a shim lives, the launch record which,
 * the exit record how it ended. Blocking: on workers only. DESIGN.md, I1 to I4. */
#pragma once
#include "common/base/fd.h"
#include "common/shimwire/exit_record.h"
#include "common/shimwire/launch.h"
#include "driver/task/paths.h"

#define LEDGER_EMPTY_WAIT_MS 2000 /* how long a killed tree may take to be gone */

enum ledger_found {
    LEDGER_FRESH, /* nobody lives; the directory is empty but for the lock, which is ours */
    LEDGER_ALIVE, /* a shim of the launch asked for lives */
    LEDGER_OTHER, /* a shim of another launch of this key lives */
    LEDGER_OVER,  /* the launch asked for has ended, and how is in `record` */
    LEDGER_LOST   /* it has ended without a record; its cgroup is empty */
};

struct ledger_entry { /* owns the lock */
    enum ledger_found found;
    struct launch launch; /* not for FRESH */
    struct exit_record record;
    struct fd lock; /* FRESH only */
};

struct ledger_ask { /* which launch; borrows */
    const char *alloc_id, *task_name;
    const char *task_id;  /* for claim, and for find without a nonce */
    const uint8_t *nonce; /* for find; NULL: the launch of task_id */
    const char *boot_id;  /* the running one */
    int64_t settle_ms;    /* for find: how long a held lock is waited for; a shim that was just seen
                             to die may still hold it */
};

/** For a start: takes the lock and clears what a dead launch left, or says who lives. A launch with
 *  the same task id that ran and ended is OVER. Errors: UNAVAILABLE somebody holds the lock and it
 *  is not known who; CONFLICT another task has this key; DENIED, SYSTEM. */
MUST_USE bool ledger_claim(const struct task_paths *paths, const struct ledger_ask *ask,
                           struct ledger_entry *out, struct err *err);

/** For a recovery, or when a link broke: what became of the launch with this nonce. ALIVE, OVER or
 *  LOST; LOST only after everything in its cgroup was killed. Errors: NOT_FOUND no such launch
 *  here, or of an earlier boot without an exit record; CORRUPT, SYSTEM. Nobody is signalled then.
 */
MUST_USE bool ledger_find(const struct task_paths *paths, const struct ledger_ask *ask,
                          struct ledger_entry *out, struct err *err);

/** Writes the launch record, durable on return. Errors: SYSTEM. */
MUST_USE bool ledger_publish(const struct task_paths *paths, const struct launch *launch,
                             struct err *err);

/** Kills what is left in `cgroup_dir` ("" none) and removes it, sockets and directory. Waits until
 *  the shim has let go of the lock (`lock_fd`: it is ours, -1 it is not). Errors: UNAVAILABLE the
 *  shim lives on, nothing was removed; SYSTEM what could not be removed. */
MUST_USE bool ledger_remove(const struct task_paths *paths, const char *cgroup_dir, int lock_fd,
                            struct err *err);

/** Makes both directories and removes what dead launches left (DESIGN.md, Sweep). Errors: SYSTEM a
 *  directory cannot be made or read; DENIED another user may write in one. What cannot be removed
 *  is counted in `out_stuck`. */
MUST_USE bool ledger_sweep(const char *state_dir, const char *run_dir, const char *boot_id,
                           unsigned *out_stuck, struct err *err);

/** Closes the lock. */
void ledger_entry_fini(struct ledger_entry *entry);
