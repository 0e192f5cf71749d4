/* validate.h - an agent's configuration file, checked for this driver before Nomad reads it.
 *
 * Says what Nomad would only say by not starting, or by a node without the driver. Reads files,
 * changes nothing. */
#pragma once
#include "common/base/buf.h"

/** Checks the block plugin "nomad-driver-agent" in the HCL file at `path`: keys and values by the
 *  driver's own schema and rules, and whether this machine has the programs it names. Appends the
 *  settings in force, defaults included, as HCL. Errors: NOT_FOUND no such file, or the file has no
 *  such block; INVALID with file, line and column; DENIED, SYSTEM. */
MUST_USE bool operator_validate(const char *path, struct buf *out, struct err *err);
