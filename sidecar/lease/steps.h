/* steps.h - the moves that the machine's handlers are made of.
 *
 * Private to machine.c, seeking.c and holding.c. Each changes the machine and adds its action to
 * `in->todo`; none looks at a clock. */
#pragma once
#include "sidecar/lease/machine.h"

/* What a handler sees besides the machine. */
struct input {
    struct boot now;
    const struct err *err;               /* of the call that failed */
    const struct record *record;         /* that was read */
    const struct store_version *version; /* of what was read or written */
    struct machine_todo *todo;
};
typedef void handler(struct machine *m, const struct input *in);

/** Adds an action; its other fields are the caller's to fill. */
struct machine_action *step_act(struct machine_todo *todo, enum machine_act what);
/** `value`, but at least `least` and at most `most`. */
int64_t step_clamp(int64_t value, int64_t least, int64_t most);
/** When a lease whose write was sent at `sent` ends for us. */
struct deadline step_deadline(const struct machine *m, struct boot sent);

/** Ends: STOPPED, or LOST with `why` (FENCE to the shim if an agent may run). No answer counts
 *  any more. */
void step_stop(struct machine *m, const struct input *in);
void step_lose(struct machine *m, const struct input *in, const struct err *why);

/** Starts a read; with step_watch it first waits in the store for a change. */
void step_read(struct machine *m, const struct input *in);
void step_watch(struct machine *m, const struct input *in);
/** Sends the open write, for the first time or again as it was (I6). */
void step_send(struct machine *m, const struct input *in);
/** A nonce that no other write of any process has. */
void step_draw_nonce(struct machine *m, uint8_t nonce[RECORD_NONCE_BYTES]);
/** True when `record` is the open write, arrived. */
bool step_is_our_write(const struct machine *m, const struct record *record);
/** Notes a failure and sets the instant of the next try: doubling, with jitter, capped. */
void step_retry_later(struct machine *m, const struct input *in);

/** A write met a conflict: reads at once to learn by whom; after the second in a row, later. */
void step_read_back(struct machine *m, const struct input *in);

/** The open write has won; the lease counts from `base`. ARM, or RELEASED if it gave back. */
void step_won(struct machine *m, const struct input *in, struct boot base,
              const struct store_version *version);
/** What a holder does when nothing is under way: I5 and I6 are here. */
void step_go_on(struct machine *m, const struct input *in);

/** Handlers that several states share: nothing; the error of the input is the end. */
void step_ignore(struct machine *m, const struct input *in);
void step_fail(struct machine *m, const struct input *in);
