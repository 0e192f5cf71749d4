/* tap.h - the reading end of a task's log FIFO, as whole lines.
 *
 * Stands in for Nomad's log collector: makes the FIFO, reads until every writer is gone, and hands
 * on lines; a line longer than TAP_LINE_MAX comes in pieces. Loop thread. */
#pragma once
#include "common/base/buf.h"

struct loop;
struct tap;

#define TAP_LINE_MAX 1024

typedef void tap_line_fn(void *arg, const char *line); /* lent, without its line end */

/** Makes the FIFO at `path` (mode 0600) if absent, and opens it for reading without waiting for a
 *  writer. Errors: SYSTEM; INVALID something else is there. */
MUST_USE bool tap_open(struct loop *loop, const char *path, tap_line_fn *on_line, void *arg,
                       struct tap **out, struct err *err);

/** Reads what is there now, hands on the last piece too, and closes. NULL is fine. */
void tap_close(struct tap *tap);
