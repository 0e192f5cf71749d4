/* attach.h - `agent-sidecar attach`: the sidecar itself, started by the shim.
 *
 * Descriptor 3 is the channel to the shim, descriptor 4 the configuration. Not for people. */
#pragma once
#include "sidecar/cmd/args.h"

/** Lives one life (sidecar/engine). True when everything is durable and given back; else the kind
 *  of `err` is the reason, which has been told to the shim and logged. */
MUST_USE bool cmd_attach(const struct args *args, struct err *err);
