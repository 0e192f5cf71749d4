/* restore.h - `agent-sidecar restore -to DIR`: a checkpoint's tree, taken out for people. */
#pragma once
#include "sidecar/cmd/args.h"

/** Restores into a directory that is absent or empty, and nothing else. The store is only read; the
 *  lease is not looked at. Errors: those of source_open; CONFLICT the directory has content;
 *  NOT_FOUND; CORRUPT; SYSTEM. */
MUST_USE bool cmd_restore(const struct args *args, struct err *err);
