/* talk.h - `agent-sidecar status` and `checkpoint`: calls to the API of a running sidecar. */
#pragma once
#include "sidecar/cmd/args.h"

/** Prints what the sidecar knows of its agent. Errors: INVALID which sidecar; NOT_FOUND it does not
 *  run; DENIED; UNAVAILABLE. */
MUST_USE bool cmd_status(const struct args *args, struct err *err);

/** Asks for a checkpoint, waits until it is committed, prints its id. Errors: as cmd_status, and
 *  what the API says. */
MUST_USE bool cmd_checkpoint(const struct args *args, struct err *err);
