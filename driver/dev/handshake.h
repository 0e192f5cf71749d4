/* handshake.h - the one line a plugin prints before it is called.
 *
 * Pure. Format: protocol 1, version 2, network, address, transport: "1|2|unix|/path|grpc|". */
#pragma once
#include "common/base/buf.h"

#define HANDSHAKE_LINE_MAX 4096
#define HANDSHAKE_PATH_MAX 107 /* sun_path without its NUL */

/** Reads the line (without its line end); `path` has room for HANDSHAKE_PATH_MAX + 1. Errors:
 *  INVALID, naming what differs. */
MUST_USE bool handshake_decode(struct view line, char *path, struct err *err);
