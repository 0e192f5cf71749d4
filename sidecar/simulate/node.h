/* node.h - one node of a world: the lease's machine, its shim, its agent and what its owner wants.
 *
 * Stands in for lease.c (carries out the actions) and driver/shim (deadline, fence, gate; as strict
 * as the real one and no stricter). Private to this room. */
#pragma once
#include "sidecar/simulate/world.h"

/** A new process starts, if none lives there and the node has not gone for good. */
void node_start(struct world *w, int node);
/** The sidecar is killed; its agent lives on to the shim's deadline. It comes back after a while.
 */
void node_crash(struct world *w, int node);

/** Each takes the event that has arrived for the life that is there. */
void node_on_reply(struct world *w, struct event reply);
void node_on_timer(struct world *w, int node);
void node_on_arm(struct world *w, const struct event *arm);
void node_on_ack(struct world *w, const struct event *ack);
void node_on_gate(struct world *w, int node);
void node_on_wish(struct world *w, int node);
