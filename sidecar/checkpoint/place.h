/* place.h - a directory that is to be replaced as a whole, and the one that grows beside it.
 *
 * The new one is made in the same parent, so that one rename puts it in place; until then the old
 * one is untouched. What a killed process left beside the target is removed at the next open. */
#pragma once
#include <stdint.h>
#include <sys/types.h>

#include "common/base/fd.h"

struct place {
    char *target; /* as given, without trailing slashes */
    struct fd parent, stage;
    const char *base; /* the last part of target */
    char stage_name[256];
    bool is_made;  /* the stage exists and is ours to remove */
    bool has_old;  /* the target exists */
    uid_t old_uid; /* its owner then */
    gid_t old_gid;
    bool is_swapped;
};

/** Checks the target, removes leftovers, makes an empty private stage. Errors: CONFLICT it exists
 *  and `is_new_only`; INVALID no directory, a link, or a mount point; SYSTEM. */
MUST_USE bool place_open(const char *target, bool is_new_only, struct place *out, struct err *err);
/** Removes the stage unless it was swapped in. Memory from place_open, or zeroed with closed fds.
 */
void place_fini(struct place *place);

/** The stage directory, lent. */
int place_borrow_fd(const struct place *place);

/** True when the file system has room for that many bytes. Errors: SYSTEM with ENOSPC, saying how
 *  much is missing. */
MUST_USE bool place_has_room(const struct place *place, uint64_t bytes, struct err *err);

/** Syncs the stage's file system and puts the stage in the target's place; durable afterwards.
 *  `aside` NULL: the old tree is then the stage, for place_remove_old. Else it is renamed to that
 *  name beside the target first, durably, so that a process killed in between leaves it there and
 *  no target. Errors: CONFLICT `aside` exists; SYSTEM. The target is then as it was. */
MUST_USE bool place_swap(struct place *place, const char *aside, struct err *err);

/** After the swap: removes the old tree, if it was not put aside. Errors: SYSTEM; its path is then
 *  in `left`. */
MUST_USE bool place_remove_old(struct place *place, char *left, size_t left_room, struct err *err);
