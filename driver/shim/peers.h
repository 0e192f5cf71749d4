/* peers.h - the shim's two conversations: with its sidecar and with the newest driver.
 *
 * Whole datagrams, never blocking, nothing queued: what a peer does not take is dropped, and a
 * driver that does not read is disconnected (it will connect again and be told the state). Only
 * uid 0 and our own uid may connect. */
#pragma once
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/fd.h"
#include "common/shimwire/msg.h"

#define SHIM_SOCKET_PATH_MAX 107

struct shim_peers { /* owns */
    struct fd listener, driver, sidecar;
    uint64_t bad; /* datagrams that were no message, or not this peer's to send */
    char socket_path[SHIM_SOCKET_PATH_MAX + 1];
};
#define SHIM_PEERS_NONE \
    ((struct shim_peers){ .listener = FD_NONE, .driver = FD_NONE, .sidecar = FD_NONE })

/** Listens at `path` (mode 0600), replacing a stale socket; "" does nothing. Errors: SYSTEM. */
MUST_USE bool shim_peers_listen(struct shim_peers *peers, const char *path, struct err *err);

/** Our end and the sidecar's of a new channel. Errors: SYSTEM. */
MUST_USE bool shim_peers_pair(struct shim_peers *peers, struct fd *out_theirs, struct err *err);

/** Accepts who waits; true when the driver is now another one. Strangers are closed. */
bool shim_peers_accept(struct shim_peers *peers);

enum shim_receipt { SHIM_GOT, SHIM_NOTHING, SHIM_PASSED_OVER, SHIM_BAD, SHIM_CLOSED };

/** The next message of a peer. SHIM_PASSED_OVER is a later build's,
 *  SHIM_BAD is counted: both are to be ignored. */
enum shim_receipt shim_peers_receive(struct shim_peers *peers, int fd, unsigned direction,
                                     struct shim_msg *out);

/** To the sidecar; false when it was dropped. */
bool shim_peers_tell_sidecar(struct shim_peers *peers, const struct shim_msg *msg);

/** To the driver, waiting at most `max_ms` for room; a driver that takes it not is disconnected. */
bool shim_peers_tell_driver(struct shim_peers *peers, const struct shim_msg *msg, int max_ms);

/** Stops listening and removes the socket; connections stay. */
void shim_peers_unlisten(struct shim_peers *peers);
