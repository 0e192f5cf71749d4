/* wishes.h - who waits for which checkpoint: wishes are coalesced, and none is served too early.
 *
 * A wish made while a checkpoint is at work waits for the next one, because the one at work may
 * have read the files already. All that wait share the next. Intrusive lists over the callers'
 * memory; pure. `done` may make, forget or free wishes. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/time.h"

struct wish_result {
    const char *id; /* of the checkpoint; lent during the call; "" when there is none */
    int64_t sequence;
};
/* `err` is NULL on success, else `result` is. */
typedef void wish_fn(void *arg, const struct wish_result *result, const struct err *err);

struct wish {
    wish_fn *done;
    void *arg;
    struct boot made; /* filled by wishes_add */
    struct wish *next;
};

struct wishes {                    /* zeroed is empty */
    struct wish *waiting, *served; /* for the next checkpoint; by the one at work. Oldest first */
};

/** Adds a wish for the next checkpoint. */
void wishes_add(struct wishes *w, struct wish *wish, struct boot now);
/** Takes a wish out wherever it is; false when it is not there. */
bool wishes_remove(struct wishes *w, const struct wish *wish);
/** True when somebody waits for a checkpoint that has not begun. */
bool wishes_is_waiting(const struct wishes *w);

/** A checkpoint begins: it serves all that wait now. Nobody is served already (asserted). */
void wishes_begin(struct wishes *w);
/** It is committed: those it served are done. */
void wishes_commit(struct wishes *w, const struct wish_result *result);
/** It failed: those it served wait again, in front; whoever was made before `too_old` fails. */
void wishes_retry(struct wishes *w, struct boot too_old, const struct err *err);
/** No checkpoint will come any more: everyone that is there now fails. */
void wishes_fail(struct wishes *w, const struct err *err);
