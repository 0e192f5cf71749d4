/* verify.h - `agent-sidecar verify`: proves that a checkpoint could be restored. */
#pragma once
#include "sidecar/cmd/args.h"

/** Reads and checks every byte a restore would read, and prints how much that was. Errors: those of
 *  source_open; NOT_FOUND; CORRUPT, with the first damaged file and how many there are. */
MUST_USE bool cmd_verify(const struct args *args, struct err *err);
