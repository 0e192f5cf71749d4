/* scan.h - what is known of a JSON text before it is parsed: its depth, and where a byte belongs.
 *
 * Private to this room. Pure and total: any bytes are accepted, nothing is allocated. Keeps the
 * parser's recursion bounded, and turns the offset of a syntax error into a key path. */
#pragma once
#include "common/base/buf.h"

#define SCAN_PATH_BYTES 160

/** How deep objects and lists are nested, counting no further than `limit` + 1. */
unsigned scan_depth(struct view text, unsigned limit);

/** The path ("tasks[2].name") of the member that byte `at` belongs to; "" at the top. Printable
 *  ASCII whatever the text holds, cut to fit. */
void scan_path(struct view text, size_t at, char out[SCAN_PATH_BYTES]);
