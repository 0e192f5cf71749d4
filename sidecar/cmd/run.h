/* run.h - `agent-sidecar run`: an agent with its sidecar and shim, without Nomad. */
#pragma once
#include "sidecar/cmd/args.h"

/** Becomes the shim, which starts the sidecar and, behind the gate, the command: does not return on
 *  success; the exit code is then the agent's own, or the product's when the product ended it.
 *  Errors: INVALID, NOT_FOUND, DENIED, SYSTEM. */
MUST_USE bool cmd_run(const struct args *args, struct err *err);
