/* shimlink.h - the loop's end of a connection to a shim: whole messages in, whole messages out.
 *
 * Used by the driver (connects by path) and by the sidecar (inherited descriptor). Messages are
 * those of common/shimwire, one a datagram. It does not reconnect and keeps no state of the peer:
 * a closed link stays closed, and its owner decides. Loop thread only. */
#pragma once
#include <stddef.h>
#include <sys/types.h>

#include "common/base/err.h"
#include "common/base/fd.h"

struct loop;
struct shim_msg;
struct shimlink;

/* Messages that the kernel does not take at once are kept, at most this many: a shim that reads
 * nothing for so long is as good as gone. */
#define SHIMLINK_QUEUE_MAX 64

struct shimlink_events {
    /** One message, valid until the callback returns. May free the link. */
    void (*on_message)(void *arg, const struct shim_msg *msg);
    /** The link is dead: peer gone (UNAVAILABLE), a message that is not one (CORRUPT), or the
     *  queue overflowed (UNAVAILABLE). Called once, after the last on_message; may free the link.
     */
    void (*on_closed)(void *arg, const struct err *why);
    void *arg;
};

/** A link over `socket` (a connected SOCK_SEQPACKET, ours now). `direction` is what we may be told:
 *  SHIM_TELLS_DRIVER or SHIM_TELLS_SIDECAR; anything else closes the link. Messages may arrive from
 *  the next turn of the loop on. */
struct shimlink *shimlink_new(struct loop *loop, struct fd socket, unsigned direction,
                              const struct shimlink_events *events);

/** Connects as a driver to the shim that listens at `path`, without blocking; only a peer of uid 0
 * or our own is accepted. Errors: NOT_FOUND nobody listens there; UNAVAILABLE its queue is full,
 * try again; DENIED foreign peer; INVALID path longer than a socket path may be; SYSTEM. */
MUST_USE bool shimlink_open(struct loop *loop, const char *path,
                            const struct shimlink_events *events, struct shimlink **out,
                            struct err *err);

/** Frees and closes; no callback follows. NULL is fine. Legal inside the link's own callbacks. */
void shimlink_free(struct shimlink *link);

/** Sends or queues one message, in order; never blocks. Errors: UNAVAILABLE the link is dead or
 *  its queue is full (on_closed follows, or has been called). */
MUST_USE bool shimlink_send(struct shimlink *link, const struct shim_msg *msg, struct err *err);

/** The peer's pid as the kernel noted it when the connection was made. */
pid_t shimlink_peer_pid(const struct shimlink *link);

static inline void shimlink_freep(struct shimlink **link)
{
    shimlink_free(*link);
    *link = NULL;
}
