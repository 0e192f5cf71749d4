/* list.h - `agent-sidecar list`: the checkpoints of an agent, newest first. */
#pragma once
#include "sidecar/cmd/args.h"

/** Prints one line a checkpoint, from the newest committed one back. None yet: an empty list.
 *  Errors: those of source_open; CORRUPT a damaged manifest. */
MUST_USE bool cmd_list(const struct args *args, struct err *err);
