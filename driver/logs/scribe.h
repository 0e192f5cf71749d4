/* scribe.h - moves two pipes into two rotations until nobody can write to them any more.
 *
 * A process of its own, forked by the shim without an exec: it may wait for a disk as long as it
 * likes. Allocates nothing. See DESIGN.md. */
#pragma once
#include "common/base/fd.h"
#include "driver/logs/rotation.h"

struct scribe {
    struct scribe_stream {
        int pipe_fd; /* read end, non-blocking; borrowed */
        bool is_over;
        bool cannot_splice;
        uint64_t missing; /* bytes dropped since the last that was written */
        int why;          /* errno of the first of them */
        struct rotation rotation;
    } streams[2];
    char scrap[4096]; /* for what cannot be written, and for file systems without splice */
};

/** Reads until both pipes are over. */
void scribe_run(struct scribe *scribe);

/** One turn: waits for data (or the end) at most `timeout_ms`, -1 for ever, and moves what is
 *  there. False when both pipes are over. */
bool scribe_turn(struct scribe *scribe, int timeout_ms);
