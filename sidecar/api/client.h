/* client.h - one blocking request to a running sidecar's API; for the command line.
 *
 * No loop, no retry. The whole exchange has one deadline. */
#pragma once
#include "common/base/buf.h"
#include "common/base/deadline.h"

/** Sends `method` `path` without a body and appends the body of the answer to `out`. Errors: those
 *  the API named in its answer; NOT_FOUND nobody listens at `socket_path`; DENIED; UNAVAILABLE no
 *  answer until the deadline; CORRUPT not HTTP; INVALID path too long. */
MUST_USE bool api_call(const char *socket_path, const char *method, const char *path,
                       struct deadline until, struct buf *out, struct err *err);
