/* wishes.h - who waits for which checkpoint: wishes are coalesced, and none is served too early.
 *
 * A wish made while a checkpoint is at work waits for the next one, because the one at work may
 * have read the files already. All that wait share the next. Intrusive lists; pure. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/time.h"

struct wish;
struct wish_result {
    const char *id; /* of the checkpoint; lent during the call */
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

struct wishes {
    bool is_wanted;       /* a checkpoint is wanted, by the clock or by a wish */
    struct wish *waiting; /* for the next one, oldest first */
    struct wish *served;  /* by the one at work */
    struct wish *denied;  /* told on the next turn, with `denied_err` */
};

/** Adds a wish for the next checkpoint. */
void wishes_add(struct wishes *w, struct wish *wish, struct boot now);
/** Takes it out wherever it is; false when it is not there. */
bool wishes_remove(struct wishes *w, struct wish *wish);

/** A checkpoint begins: it serves all that wait now. */
void wishes_begin(struct wishes *w);
/** It is committed: those it served are done. */
void wishes_commit(struct wishes *w, const struct wish_result *result);
/** It failed: those it served wait again, but those made before `too_old` fail with `err`. */
void wishes_retry(struct wishes *w, struct boot too_old, const struct err *err);
/** No checkpoint will come any more: everyone fails. */
void wishes_fail(struct wishes *w, const struct err *err);
