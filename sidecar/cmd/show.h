/* show.h - `agent-sidecar show`: the record and one checkpoint, with -files its entries. */
#pragma once
#include "sidecar/cmd/args.h"

/** Prints who holds the lease and what is in a checkpoint. Errors: those of source_open; NOT_FOUND
 *  no such checkpoint; CORRUPT. */
MUST_USE bool cmd_show(const struct args *args, struct err *err);
