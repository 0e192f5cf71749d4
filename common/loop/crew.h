/* crew.h - a few named threads for pure jobs, for a caller that may block.
 *
 * For code that already runs on a worker (checkpoint, restore, command line) and wants its hashing
 * and compressing on every core. A job owns its input and its output; nothing else is shared.
 * One caller at a time. With 0 threads every job runs inside crew_submit: same results, no threads.
 */
#pragma once
#include <stddef.h>

struct crew;
typedef void crew_fn(void *arg);

/** `queue` jobs may be unfinished or uncollected at a time (>= 1). */
struct crew *crew_new(const char *name, unsigned threads, size_t queue);
/** Waits for running jobs; everything must have been collected (asserted). */
void crew_free(struct crew *crew);

/** Hands `arg` to `fn` on some thread; never blocks. The caller must collect before it has more
 *  than `queue` outstanding (asserted). */
void crew_submit(struct crew *crew, crew_fn *fn, void *arg);
/** The `arg` of the oldest submitted job, in order of submission, waiting until it is done; NULL
 *  when nothing is outstanding. The caller owns it again. */
void *crew_collect(struct crew *crew);
/** Jobs submitted and not collected. */
size_t crew_outstanding(const struct crew *crew);
