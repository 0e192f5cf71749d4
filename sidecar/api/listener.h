/* listener.h - a unix socket that accepts, bound without hurting anybody else's.
 *
 * Private to this room. A path longer than a socket path may be is refused, never cut (F-53). */
#pragma once
#include "common/base/fd.h"

#define LISTENER_PATH_MAX 107 /* sun_path without its NUL */

/** Binds and listens at `path`, mode 0666, non-blocking. A socket nobody listens on any more is
 *  replaced. Errors: INVALID too long or relative; CONFLICT somebody listens there, or it is no
 *  socket; DENIED the directory is not ours, or others may exchange what is in it; SYSTEM. */
MUST_USE bool listener_open(const char *path, struct fd *out, struct err *err);

/** Connects to a listener. Errors: INVALID; NOT_FOUND nobody listens there; DENIED; SYSTEM. */
MUST_USE bool listener_connect(const char *path, struct fd *out, struct err *err);
