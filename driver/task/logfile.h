/* logfile.h - the task's stdout and stderr: FIFOs of Nomad's log collector, or the null device.
 *
 * Opening never blocks and never creates; a FIFO without a reader is "not yet". */
#pragma once
#include "common/base/fd.h"

/** Opens `path` for writing, blocking mode afterwards. Errors: UNAVAILABLE nobody reads the FIFO
 *  yet; NOT_FOUND absent; INVALID not a FIFO or character device, or a symbolic link; SYSTEM. */
MUST_USE bool logfile_open(const char *path, struct fd *out, struct err *err);
