/* say.h - what commands print: to stdout at once, or not at all.
 *
 * Private to this room. A command builds its whole output first, so that a failure half-way prints
 * nothing that looks like a result. */
#pragma once
#include "common/base/buf.h"
#include "sidecar/image/manifest.h"

#define SAY_TIME_BYTES 32
#define SAY_SIZE_BYTES 24

/** Writes all of it to stdout. Errors: SYSTEM. */
MUST_USE bool say(const struct buf *out, struct err *err);

/** "2026-11-25 12:39:19" (UTC) from Unix milliseconds. */
void say_time(int64_t wall_ms, char out[SAY_TIME_BYTES]);
/** "12 B", "3.4 KiB", "1.2 GiB". */
void say_size(uint64_t bytes, char out[SAY_SIZE_BYTES]);

struct json_out;
/** The members of a checkpoint's JSON object, without opening or closing it. */
void say_manifest(struct json_out *json, const struct manifest *m);
