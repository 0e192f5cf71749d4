/* bench_test.h - leases on one loop, one key file and one store, for the tests of the runner.
 *
 * Each side is one process as far as the lease can tell: its own handle, its own shim. */
#pragma once
#include "common/base/file.h"
#include "common/base/own.h"
#include "sidecar/crypto/keyring.h"
#include "sidecar/lease/lease.h"
#include "sidecar/lease/record_keys.h"
#include "sidecar/lease/side_test.h"
#include "sidecar/store/mem.h"

#include <criterion/criterion.h>
#include <stdio.h>

static inline void give_up(void *arg)
{
    (void)arg;
    cr_assert_fail("nothing happened within the test's time");
}

static inline struct bench *bench_new(void)
{
    struct bench *b = mem_new(struct bench);
    char key[96];
    struct err err = { 0 };
    (void)snprintf(b->dir, sizeof(b->dir), "/tmp/lease-test-XXXXXX");
    cr_assert_not_null(mkdtemp(b->dir));
    (void)snprintf(key, sizeof(key), "%s/agent.key", b->dir);
    cr_assert(keyring_open(key, true, &b->keyring, &err), "%s", err.msg);
    b->loop = loop_new();
    b->server = mem_server_new();
    b->guard = loop_timer_new(b->loop, give_up, b);
    return b;
}

static inline struct side *add_side(struct bench *b, size_t number, struct store *store)
{
    struct side *s = &b->sides[number];
    struct record_holder who = { 0 };
    (void)snprintf(who.node, sizeof(who.node), "node-%zu", number);
    *s = (struct side){ .bench = b, .store = store };
    s->ack = loop_timer_new(b->loop, give_ack, s);
    struct lease_spec spec = {
        .name = NAME, .ttl_ms = TTL_MS, .who = &who, .store = store, .clock = &clock_system
    };
    struct lease_shim shim = { arm, fence, s };
    struct lease_events events = { on_waiting, on_held, on_lost, s };
    s->lease = lease_new(b->loop, &spec, b->keyring, &shim, &events);
    return s;
}

static inline struct side *mem_side(struct bench *b, size_t number)
{
    return add_side(b, number, mem_server_connect(b->server));
}

static inline void run_until(struct bench *b, bool (*is_done)(struct bench *b))
{
    if (is_done(b))
        return;
    b->is_done = is_done;
    loop_timer_arm(b->guard, boot_add_ms(boot_now(), 20000));
    loop_run(b->loop);
    loop_timer_cancel(b->guard);
    b->is_done = NULL;
}

static inline bool all_stopped(struct bench *b)
{
    for (size_t i = 0; i < COUNT(b->sides); i++)
        if (b->sides[i].lease != NULL)
            return false;
    return true;
}

static inline void stop(struct side *s)
{
    s->inside++;
    lease_stop(s->lease, on_stopped, s);
    s->inside--;
}

static inline void start(struct side *s)
{
    s->inside++;
    lease_start(s->lease);
    s->inside--;
}

static inline void bench_free(struct bench *b)
{
    struct err err = { 0 };
    for (size_t i = 0; i < COUNT(b->sides); i++)
        if (b->sides[i].lease != NULL && b->sides[i].stops == 0)
            stop(&b->sides[i]);
    run_until(b, all_stopped);
    for (size_t i = 0; i < COUNT(b->sides); i++) {
        loop_timer_freep(&b->sides[i].ack);
        store_close(b->sides[i].store);
    }
    loop_timer_free(b->guard);
    loop_free(b->loop);
    keyring_close(b->keyring);
    mem_server_free(b->server);
    cr_assert(dir_remove_tree(b->dir, &err), "%s", err.msg);
    free(b);
}
static inline void bench_freep(struct bench **b) { bench_free(*b); }
#define BENCH(b) CLEANUP(bench_freep) struct bench *b = bench_new()
