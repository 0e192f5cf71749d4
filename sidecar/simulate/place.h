/* place.h - the store of a world: sidecar/store's memory backend behind a bad network.
 *
 * Requests arrive here late, twice, after their sender is dead, or not at all; the store may be
 * down or refuse everything. What takes effect is shown to the checker. Private to this room. */
#pragma once
#include "sidecar/simulate/world.h"

/** Node `node`'s process calls the store; every fault of the way there and back is drawn here. The
 *  call ends at its deadline in any case. `record` is what a WRITE carries. */
void place_call(struct world *w, int node, const struct machine_action *action,
                const struct record *record);
/** A request arrives; takes its bytes. */
void place_on_request(struct world *w, struct event request);
/** The watch that `end` belongs to is over, if it still waits. */
void place_on_watch_end(struct world *w, const struct event *end);
