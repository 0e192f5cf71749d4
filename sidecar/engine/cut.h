/* cut.h - lets a worker hold the agent still: FREEZE and THAW over a channel that the loop owns.
 *
 * The worker posts to the loop and waits on a pipe, never longer than CUT_WAIT_MS; the loop writes
 * the shim's answer into the pipe. An answer of an older freeze is dropped. One worker at a time.
 */
#pragma once
#include <stdint.h>

#include "common/loop/loop.h"
#include "sidecar/checkpoint/checkpoint.h"

#define CUT_WAIT_MS 250 /* a tree of 75 processes freezes in a few ms; longer is a fuzzy cut */

struct cut;

/* Loop thread: ask the shim. `freeze_ms` 0 is THAW, else FREEZE that ends by itself. */
typedef void cut_send_fn(void *arg, uint32_t seq, uint32_t freeze_ms);

/** Errors: SYSTEM no pipe. */
MUST_USE bool cut_new(struct loop *loop, cut_send_fn *send, void *arg, struct cut **out,
                      struct err *err);
/** After the worker has ended and the loop has run what it posted. NULL is fine. */
void cut_free(struct cut *cut);

/** What checkpoint_take is given; lent until cut_free. */
const struct cut_ops *cut_borrow_ops(const struct cut *cut);

/** Loop thread: the shim answered a FREEZE. */
void cut_on_frozen(struct cut *cut, uint32_t seq, bool is_frozen);
