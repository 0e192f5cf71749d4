/* side_test.h - one lease of a test: what it was told, and the shim that it arms.
 *
 * Every callback counts, remembers and ends the loop's run when the test's wish has come true. */
#pragma once
#include "common/base/own.h"
#include "common/loop/loop.h"
#include "sidecar/lease/lease.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define NAME   "eu/planner/0"
#define TTL_MS 1000

/* One loop, one key file, one store in memory or on disk, and up to three leases on it. */
struct bench;
struct side {
    struct bench *bench;
    struct store *store;
    struct lease *lease;
    bool is_deaf; /* its shim does not acknowledge */
    unsigned waits, holds, losses, arms, fences, dones, fails, releases, stops;
    bool was_silent;
    int64_t epoch, before_epoch;
    bool is_first;
    struct boot held_at, lost_at;
    struct err why; /* of the last failure told */
    char holder[256];
    int inside; /* depth of calls into the module */
    struct loop_timer *ack;
    uint64_t seq;
};
struct bench {
    char dir[64];
    struct loop *loop;
    struct keyring *keyring;
    struct mem_server *server;
    struct loop_timer *guard;
    struct side sides[3];
    bool (*is_done)(struct bench *b);
};

static inline void look(struct side *s)
{
    cr_assert_eq(s->inside, 0, "a callback ran inside a call");
    if (s->bench->is_done != NULL && s->bench->is_done(s->bench))
        loop_quit(s->bench->loop);
}

static inline void on_waiting(void *arg, const struct lease_waiting *waiting)
{
    struct side *s = arg;
    s->waits++;
    s->was_silent = s->was_silent || !waiting->is_answering;
    if (waiting->record != NULL)
        (void)snprintf(s->holder, sizeof(s->holder), "%s", waiting->record->holder.node);
    look(s);
}

static inline void on_held(void *arg, const struct lease_held *held)
{
    struct side *s = arg;
    s->holds++;
    s->epoch = held->epoch;
    s->is_first = held->is_first;
    s->before_epoch = held->before == NULL ? 0 : held->before->epoch;
    s->held_at = boot_now();
    cr_assert_not(deadline_is_past(held->deadline, s->held_at));
    cr_assert_not_null(lease_borrow_keys(s->lease));
    look(s);
}

static inline void on_lost(void *arg, const struct err *err)
{
    struct side *s = arg;
    s->losses++;
    s->why = *err;
    s->lost_at = boot_now();
    look(s);
}

static inline void on_done(void *arg, const struct err *err)
{
    struct side *s = arg;
    if (err == NULL)
        s->dones++;
    else {
        s->fails++;
        s->why = *err;
    }
    look(s);
}

static inline void on_released(void *arg, const struct err *err)
{
    struct side *s = arg;
    s->releases++;
    s->why = err == NULL ? (struct err){ 0 } : *err;
    look(s);
}

static inline void on_stopped(void *arg)
{
    struct side *s = arg;
    s->stops++;
    lease_free(s->lease); /* legal here */
    s->lease = NULL;
    look(s);
}

static inline void give_ack(void *arg)
{
    struct side *s = arg;
    if (s->lease != NULL)
        lease_on_arm_ack(s->lease, s->seq, true);
}

static inline void arm(void *arg, uint64_t seq, int64_t epoch, struct deadline deadline)
{
    struct side *s = arg;
    cr_assert_geq(epoch, 1);
    cr_assert_not(deadline_is_past(deadline, boot_now()));
    s->arms++;
    s->seq = seq;
    if (s->bench->is_done != NULL && s->bench->is_done(s->bench))
        loop_quit(s->bench->loop);
    if (!s->is_deaf)
        loop_timer_arm(s->ack, (struct boot){ 0 });
}

static inline void fence(void *arg, const char *why)
{
    struct side *s = arg;
    cr_assert_neq(why[0], '\0');
    s->fences++;
}
