/* loop.h - the one event loop of a process: mailbox, boot-time timers, descriptors, workers.
 *
 * Made in `main`, passed down as `struct loop *`; all state has one owner, the loop's thread.
 * loop_post is the only call that is legal from another thread. No callback runs inside the call
 * that asked for it, and none after its object was freed. Wraps libuv, whose types stay inside. */
#pragma once
#include <stdbool.h>

#include "common/base/time.h"

struct loop;
typedef void loop_fn(void *arg);

/** Aborts when the process has no descriptors left: nothing has begun yet. */
struct loop *loop_new(void);
/** All timers, watches and jobs must be gone (asserted). */
void loop_free(struct loop *loop);

/** Runs callbacks until loop_quit. Loop thread from here on. */
void loop_run(struct loop *loop);
/** Makes loop_run return after the current callback. Loop thread. */
void loop_quit(struct loop *loop);

/** Runs `fn(arg)` on the loop thread, in the order of posting. Any thread, never blocks. */
void loop_post(struct loop *loop, loop_fn *fn, void *arg);

/** Runs `job(arg)` on a worker thread, then `on_done(arg)` on the loop, exactly once each.
 *  `arg` belongs to the job until on_done; the job touches nothing else. */
void loop_work(struct loop *loop, loop_fn *job, loop_fn *on_done, void *arg);

/** A timer on CLOCK_BOOTTIME: due at once after a suspend that outlasted it. Not armed yet. */
struct loop_timer;
/** `on_fire(arg)` runs on the loop thread. */
struct loop_timer *loop_timer_new(struct loop *loop, loop_fn *on_fire, void *arg);
/** (Re)arms for the instant `at`; fires once, never early. Past instants fire on the next turn. */
void loop_timer_arm(struct loop_timer *timer, struct boot at);
/** It does not fire any more until it is armed again. */
void loop_timer_cancel(struct loop_timer *timer);
/** Cancels and frees; legal inside its own callback. */
void loop_timer_free(struct loop_timer *timer);

enum loop_events { LOOP_READ = 1, LOOP_WRITE = 2, LOOP_PRIO = 4, LOOP_HUP = 8 };
typedef void loop_ready_fn(void *arg, unsigned events);

struct loop_watch;
/** Calls `on_ready` while `fd` (borrowed, pollable) has one of `events`. LOOP_READ is also given
 *  at end of file and on errors, so a reader always learns of them. */
struct loop_watch *loop_watch_new(struct loop *loop, int fd, unsigned events,
                                  loop_ready_fn *on_ready, void *arg);
/** Replaces the events waited for; 0 pauses. */
void loop_watch_change(struct loop_watch *watch, unsigned events);
/** Before the descriptor is closed. Legal inside its own callback. */
void loop_watch_free(struct loop_watch *watch);

static inline void loop_timer_freep(struct loop_timer **t)
{
    if (*t)
        loop_timer_free(*t);
    *t = 0;
}
static inline void loop_watch_freep(struct loop_watch **w)
{
    if (*w)
        loop_watch_free(*w);
    *w = 0;
}
