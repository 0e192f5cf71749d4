/* dir.h - opens a directory by a path of which parts may belong to somebody else.
 *
 * For what runs as root in a directory of another user: symlinks of that user lead nowhere. The
 * descriptor is where the work is done afterwards; the path is not walked again. */
#pragma once
#include <dirent.h>

#include "common/base/err.h"
#include "common/base/fd.h"

/** Opens the directory `path` for reading. A symlink on the way is followed only when root or we
 *  own it; the last part is no symlink (but "x/." is fine where x is). Errors: NOT_FOUND; INVALID
 *  something on the way is not a directory; DENIED another user's symlink; SYSTEM. */
MUST_USE bool dir_open(const char *path, struct fd *out, struct err *err);

/** Closes and forgets; keeps errno. */
static inline void dir_closep(DIR **dir)
{
    int kept_errno = errno;
    if (*dir != NULL)
        (void)closedir(*dir);
    *dir = NULL;
    errno = kept_errno;
}
