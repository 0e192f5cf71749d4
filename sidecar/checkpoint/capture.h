/* capture.h - what is read while the agent is frozen: kept in memory, sealed after the thaw.
 *
 * A sink of the reader with two bounds, bytes and time: what does not fit ends the attempt, not the
 * agent's patience. One owner, one thread. */
#pragma once
#include "common/base/deadline.h"
#include "sidecar/checkpoint/sealer.h"

struct capture {
    struct buf bytes;
    struct captured_chunk {
        size_t at; /* of its ref */
        size_t from, len;
    } * chunks;
    size_t count, cap;
    size_t bytes_max;
    struct deadline end; /* when the pause must be over */
    bool is_over;        /* a bound was met */
};

/** Room for `bytes_max` bytes, taken before the freeze; nothing after `end`. */
void capture_init(struct capture *c, size_t bytes_max, struct deadline end);
/** Releases; zeroed memory is fine. */
void capture_fini(struct capture *c);

/** A reader_put_fn. Errors: UNAVAILABLE, with is_over set, when a bound is met. */
bool capture_put(void *capture, struct view plain, size_t at, struct err *err);

/** Gives everything to the sealer. Errors: those of the sealer. */
MUST_USE bool capture_replay(const struct capture *c, struct sealer *sealer, struct err *err);
