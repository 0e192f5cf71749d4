/* socket.h - unix sockets by path: listen for owners only, connect, see who the peer is. */
#pragma once
#include <sys/types.h>

#include "common/base/fd.h"

/* Without the NUL: what fits sun_path. */
#define SOCKET_PATH_MAX 107

/** Listens at `path`, mode 0600, non-blocking. Errors: INVALID path too long; CONFLICT something
 *  is there already; SYSTEM. */
MUST_USE bool socket_listen(const char *path, struct fd *out, struct err *err);

/** Connects to `path`, non-blocking afterwards. Errors: NOT_FOUND nobody listens there; INVALID
 *  path too long; SYSTEM. */
MUST_USE bool socket_connect(const char *path, struct fd *out, struct err *err);

/** The uid of the peer as noted when the connection was made. Errors: SYSTEM. */
MUST_USE bool socket_peer_uid(int fd, uid_t *out, struct err *err);
