/* msgpack_bounds.h - is this one msgpack value, complete, and not a bomb?
 *
 * msgpack-c allocates what a header announces before it looks whether the bytes are there; five
 * bytes can ask for 100 GB. This check runs first. Pure, allocates nothing. */
#pragma once
#include "common/base/buf.h"
#include "common/base/err.h"

#define MSGPACK_DEPTH_MAX 16 /* our tables need 3; msgpack-c itself stops at 32 */

/** Errors: INVALID truncated, trailing bytes, deeper than MSGPACK_DEPTH_MAX, or a type Nomad never
 *  sends (ext, the reserved byte). */
MUST_USE bool msgpack_bounds_check(struct view bytes, struct err *err);
