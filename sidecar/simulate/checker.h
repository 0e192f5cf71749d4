/* checker.h - what must hold at every instant of a history; a breach is told to the world.
 *
 * It knows true time and every node, which nobody in the world does. G1, G2 and G4 of the design,
 * and progress. Private to this room. */
#pragma once
#include "sidecar/simulate/world.h"

/** A write takes effect that makes `next` of the record: G1 and G4. Remembers it. */
void checker_on_write(struct world *w, const struct record *next);
/** Node `node`'s agent starts in `epoch`: no other one may run (G2), the epoch is a new one (G4).
 */
void checker_on_start(struct world *w, int node, int64_t epoch);
/** A commit of `sequence` was acknowledged: nobody may lose it from now on. */
void checker_on_commit(struct world *w, int64_t sequence);
/** A holder lost: once all is settled there is no reason to. */
void checker_on_loss(struct world *w, int node, const struct err *why);
/** At the end of a calm time: one holds, and its agent runs. */
void checker_at_end(struct world *w);

/** True when the agent may still be running: deadline or fence, and then the kill, not over yet. */
bool checker_may_run(const struct world *w, const struct world_agent *agent);
