/* peer.h - who is at the other end of a unix socket, and whether that may use the API.
 *
 * Private to this room. Root, our own user, and every process of the task: one that descends from
 * the shim that started us. */
#pragma once
#include <stdbool.h>
#include <sys/types.h>

#include "common/base/err.h"

struct peer {
    pid_t pid;
    uid_t uid;
};

/** As the kernel noted it when the connection was made. Errors: SYSTEM. */
MUST_USE bool peer_of(int socket, struct peer *out, struct err *err);

/** True for root, for ourselves, and for a descendant of `shim` that still runs as that user. */
bool peer_is_allowed(const struct peer *peer, pid_t shim);
