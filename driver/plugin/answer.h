/* answer.h - a unary call whose answer comes later, and whose peer may be gone by then.
 *
 * The work goes on without its peer: a cancelled call never touches a task. */
#pragma once
#include "driver/plugin/status.h"

struct answer {
    struct rpc_call *call; /* NULL: nobody waits any more */
    enum status_use use;
    struct buf kept; /* for whoever makes the reply */
};

/** Keeps `call` (inside its handler). Freed by answer_send or answer_fail, exactly one of them. */
struct answer *answer_new(struct rpc_call *call, enum status_use use);
/** Replies with `message` if somebody still waits; frees. */
void answer_send(struct answer *answer, struct view message);
/** Ends with the status of `err`; frees. */
void answer_fail(struct answer *answer, const struct err *err);
/** A task_done_fn: the empty reply, or the error. Frees. */
void answer_done(void *answer, const struct err *err);
