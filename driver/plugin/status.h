/* status.h - kinds of error as gRPC codes, in one table.
 *
 * UNAVAILABLE and CANCELLED are not in it: a plugin that answers so looks dead to the agent. What
 * may be tried again says so in the detail that Nomad reads at StartTask. */
#pragma once
#include "common/base/err.h"
#include "driver/rpc/server.h"

enum status_use { STATUS_START, STATUS_OTHER };

/** The code of `kind` (never ERR_NONE). */
enum rpc_code status_code(enum err_kind kind, enum status_use use);

/** Ends `call` with the code and message of `err`; for STATUS_START with Nomad's recoverable
 *  detail when the kind says that a restart may help. */
void status_end(struct rpc_call *call, const struct err *err, enum status_use use);
