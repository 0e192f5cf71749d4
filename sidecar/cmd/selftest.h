/* selftest.h - `agent-sidecar selftest`: the lease's real code through thousands of bad histories.
 */
#pragma once
#include "sidecar/cmd/args.h"

/** Plays `-seeds` histories from `-seed` on and prints what they came to; of the first that break a
 *  guarantee, the trace. With -trace that of one seed in any case. Errors: CORRUPT a guarantee was
 *  broken (the message names the first seed); INVALID. Touches no store and no file. */
MUST_USE bool cmd_selftest(const struct args *args, struct err *err);
