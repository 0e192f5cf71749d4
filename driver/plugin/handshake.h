/* handshake.h - what happens between exec and the first call: the cookie, a socket, one line.
 *
 * The socket is fresh for every process (a fixed path would be taken for the process before), in a
 * directory of our own where the temporary directory allows one, short enough for the kernel, and
 * gone at the end. Entries that killed processes left there are removed. */
#pragma once
#include "common/base/fd.h"
#include "driver/rpc/socket.h"

/** True when the agent started us. Otherwise INVALID with a text for the person who did. */
MUST_USE bool handshake_check(struct err *err);

struct handshake { /* owns; zeroed is empty */
    struct fd listener;
    char path[SOCKET_PATH_MAX + 1];
    char dir[SOCKET_PATH_MAX + 1]; /* ours to remove when empty, or "" */
};

/** Listens at a fresh path below $PLUGIN_UNIX_SOCKET_DIR, $TMPDIR or /tmp. Errors: INVALID when
 *  none of them gives a path that fits; SYSTEM. */
MUST_USE bool handshake_listen(struct handshake *out, struct err *err);
/** Writes the line to `fd`. Errors: SYSTEM. */
MUST_USE bool handshake_tell(const struct handshake *handshake, int fd, struct err *err);
/** Removes the socket's path (nobody shall dial it any more) and closes what is still ours. */
void handshake_fini(struct handshake *handshake);
