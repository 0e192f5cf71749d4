/* port.h - the shim as the engine sees it: what is said, what was answered, in our own terms.
 *
 * Owns the link. Keeps the newest acknowledged deadline, because the gate opens with that one.
 * Nothing here blocks; what cannot be sent means that the link is dead, and on_gone says so. */
#pragma once
#include "common/base/deadline.h"
#include "common/base/fd.h"
#include "common/loop/loop.h"
#include "common/shimwire/msg.h"

struct port;

struct port_events {
    void (*on_hello)(void *arg, const char *api_path);
    void (*on_arm_ack)(void *arg, uint64_t seq, bool is_accepted);
    void (*on_gate)(void *arg, bool is_open);
    void (*on_frozen)(void *arg, uint32_t seq, bool is_frozen);
    void (*on_started)(void *arg, uint32_t pid);
    void (*on_exited)(void *arg, int32_t exit_code, int32_t signal);
    void (*on_stopping)(void *arg, uint32_t left_ms);
    void (*on_gone)(void *arg, const struct err *why);
    void *arg;
};

/** `channel` is ours now. */
struct port *port_new(struct loop *loop, struct fd channel, const struct port_events *events);
/** No callback follows. NULL is fine. */
void port_free(struct port *port);

/** A task event for people, also logged; longer text is cut. */
void port_event(struct port *port, const char *fmt, ...) PRINTF(2, 3);
/** Moves the shim's deadline; `seq` is below 2^31 (asserted). Ends in on_arm_ack. */
void port_arm(struct port *port, uint64_t seq, int64_t epoch, struct deadline deadline);
/** Opens the gate with the newest acknowledged deadline. Ends in on_gate. */
void port_gate(struct port *port, int64_t epoch, const char *restored);
/** Stop the agent now. The second and later calls do nothing. */
void port_fence(struct port *port, const char *why);
/** FREEZE, or THAW when `freeze_ms` is 0. A FREEZE ends in on_frozen. */
void port_freeze(struct port *port, uint32_t seq, uint32_t freeze_ms);
/** The last word; NULL: all is durable and given back. */
void port_done(struct port *port, const struct err *why);
