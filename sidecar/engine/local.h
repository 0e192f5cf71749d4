/* local.h - the state directory on this machine: locked, then restored, made, or found filled.
 *
 * Worker thread: blocks. The lock lies beside the directory and is kept until local_close, so that
 * a process that slept through its lease cannot exchange the directory under its successor. In it
 * is the mark: a tree that holds what no checkpoint has is put aside by a restore, not removed. */
#pragma once
#include <sys/types.h>

#include "common/base/fd.h"
#include "sidecar/checkpoint/checkpoint.h"
#include "sidecar/engine/mark.h"

/* Trees that restores have put aside, "<path>.unsaved-<when>-after-<sequence>", for a person. */
struct local_unsaved {
    unsigned count;
    char newest[512];                          /* the path of the newest; "" none */
    bool is_new;                               /* put there by this start */
    char why[sizeof(((struct mark *)0)->why)]; /* if it is new: why it was not saved */
};

struct local {
    char *path; /* absolute, without a slash at the end */
    struct fd lock;
    struct fd parent; /* with the lock */
    const char *base; /* the last part of the path; with the lock */
    struct {
        bool is_known, is_read_only;
        dev_t dev;
        uint64_t mount;           /* id of the mount; 0: the kernel does not tell */
    } home;                       /* where local_open found or made the directory */
    struct mark mark;             /* as local_open read or left it */
    struct local_unsaved unsaved; /* as local_open found or left them */
};

/** `path` is copied. Nothing is touched yet. */
void local_init(struct local *l, const char *path);
/** Gives the lock back. */
void local_fini(struct local *l);

enum local_found {
    LOCAL_RESTORED, /* the head is in place */
    LOCAL_FRESH,    /* no head; the directory is empty, perhaps made now, owned as its parent */
    LOCAL_FILLED    /* no head; the directory has content, untouched */
};

struct local_wish {
    struct checkpoint *cp;
    const char *head; /* "" when the record has none */
    struct deadline until;
};

/** Locks the directory (it may be locked by us already) and makes it what `wish` says; a restore
 *  keeps an unsaved tree beside it. Afterwards the mark has its place on the disk, and is clean but
 *  for an unsaved LOCAL_FILLED. Errors: UNAVAILABLE another process has it, or the store; CORRUPT
 * the head is damaged or missing; INVALID it is no directory; DENIED a link of another user leads
 * there; others as checkpoint_restore_into. */
MUST_USE bool local_open(struct local *l, const struct local_wish *wish, enum local_found *out,
                         struct restore_report *report, struct err *err);

/** Changes the mark, durably; never needs room on the disk. One caller at a time, any thread after
 *  local_open. Errors: SYSTEM, naming the directory. */
MUST_USE bool local_note(const struct local *l, const struct mark *mark, struct err *err);

/** True while the path leads to a directory on the mount that local_open met. Another directory on
 *  it is fine: an agent may replace its state. Any thread after local_open. Errors: UNAVAILABLE it
 *  is gone, unmounted, mounted over, or does not answer. */
MUST_USE bool local_check(const struct local *l, struct err *err);
/** The same, and it can be read, and written if it could at the start. Errors: UNAVAILABLE. */
MUST_USE bool local_check_use(const struct local *l, struct err *err);
