#include "sidecar/lease/lease.h"

#include "common/base/own.h"
#include "sidecar/lease/bench_test.h"

#include <criterion/criterion.h>
#include <stdio.h>

static void commit(struct side *s, int64_t sequence)
{
    struct record_head head = { .sequence = sequence, .epoch = 1, .wall_ms = 1 };
    (void)snprintf(head.id, sizeof(head.id), "head-%d", (int)sequence);
    s->inside++;
    lease_commit(s->lease, sequence == 0 ? NULL : &head, on_done, s);
    s->inside--;
}

static void release(struct side *s)
{
    s->inside++;
    lease_release(s->lease, on_released, s);
    s->inside--;
}

/* What is in the register now. */
static struct record stored(struct bench *b, struct store_version *version)
{
    CLEANUP(store_closep) struct store *store = mem_server_connect(b->server);
    CLEANUP(record_keys_fini) struct record_keys keys = record_keys_of(b->keyring);
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    struct record_auth auth = record_keys_auth(&keys);
    struct record record;
    struct err err = { 0 };
    mem_server_script(b->server, MEM_READ, MEM_OK, 1);
    cr_assert(store_read(store, NAME, deadline_after(boot_now(), 1000, 0), &bytes, version, &err),
              "%s", err.msg);
    cr_assert(record_decode(buf_view(&bytes), NAME, &auth, &record, &err), "%s", err.msg);
    return record;
}

static bool first_holds(struct bench *b) { return b->sides[0].holds > 0; }
static bool second_holds(struct bench *b) { return b->sides[1].holds > 0; }
static bool second_waits(struct bench *b) { return b->sides[1].waits > 0; }
static bool first_lost(struct bench *b) { return b->sides[0].losses > 0; }
static bool first_answered(struct bench *b) { return b->sides[0].dones + b->sides[0].fails > 0; }
static bool three_answers(struct bench *b) { return b->sides[0].dones + b->sides[0].fails == 3; }
static bool first_released(struct bench *b) { return b->sides[0].releases > 0; }
static bool renewed_twice(struct bench *b) { return b->sides[0].arms >= 3; }

static bool second_stopped(struct bench *b) { return b->sides[1].stops > 0; }
static bool one_holds_two_wait(struct bench *b)
{
    unsigned holds = 0, waits = 0;
    for (size_t i = 0; i < COUNT(b->sides); i++) {
        holds += b->sides[i].holds;
        waits += b->sides[i].waits > 0 && b->sides[i].holds == 0;
    }
    return holds == 1 && waits == 2;
}

static struct side *hold_first(struct bench *b)
{
    struct side *s = mem_side(b, 0);
    start(s);
    run_until(b, first_holds);
    return s;
}

Test(lease, absent_record_is_acquired)
{
    BENCH(b);
    struct store_version version;
    struct side *s = hold_first(b);
    cr_assert(s->is_first);
    cr_assert_eq(s->epoch, 1);
    cr_assert_eq(s->before_epoch, 0);
    cr_assert_eq(lease_epoch(s->lease), 1);
    cr_assert_gt(lease_left_ms(s->lease), 0);
    cr_assert_leq(lease_left_ms(s->lease), TTL_MS - LEASE_MARGIN_MIN_MS);
    struct record record = stored(b, &version);
    cr_assert_eq(record.epoch, 1);
    cr_assert_str_eq(record.holder.node, "node-0");
    cr_assert_eq(s->waits, 0);
}

Test(lease, lease_is_renewed_while_it_is_held)
{
    BENCH(b);
    struct store_version version;
    struct side *s = hold_first(b);
    run_until(b, renewed_twice);
    cr_assert_geq(stored(b, &version).renewals, 2);
    cr_assert_eq(s->losses, 0);
}

Test(lease, commit_is_in_the_register_when_it_is_done)
{
    BENCH(b);
    struct store_version version;
    struct side *s = hold_first(b);
    commit(s, 1);
    commit(s, 2);
    commit(s, 0);
    run_until(b, three_answers);
    cr_assert_eq(s->dones, 3);
    cr_assert_str_eq(stored(b, &version).head.id, "head-2");
    cr_assert_str_eq(lease_borrow_record(s->lease)->head.id, "head-2");
}

Test(lease, commit_without_the_lease_fails)
{
    BENCH(b);
    struct side *s = mem_side(b, 0);
    commit(s, 1);
    run_until(b, first_answered);
    cr_assert_eq(s->fails, 1);
    cr_assert_eq(s->why.kind, ERR_FENCED);
}

Test(lease, commit_waits_for_the_shim)
{
    BENCH(b);
    struct side *s = hold_first(b);
    s->is_deaf = true;
    commit(s, 1);
    run_until(b, first_lost);
    cr_assert_eq(s->dones, 0);
    cr_assert_eq(s->fails, 1);
    cr_assert_eq(s->fences, 1);
    cr_assert_eq(s->arms, 2, "no renewal without acknowledgement");
}

Test(lease, released_lease_is_taken_at_once)
{
    BENCH(b);
    struct side *first = hold_first(b), *second = mem_side(b, 1);
    start(second);
    run_until(b, second_waits);
    cr_assert_str_eq(second->holder, "node-0");
    commit(first, 1);
    struct boot before = boot_now();
    release(first);
    run_until(b, second_holds);
    cr_assert_eq(first->releases, 1);
    cr_assert_eq(first->dones, 1);
    cr_assert_eq(first->why.kind, ERR_NONE);
    cr_assert_eq(second->epoch, 2);
    cr_assert_eq(second->before_epoch, 1);
    cr_assert_not(second->is_first);
    cr_assert_eq(lease_borrow_record(second->lease)->head.sequence, 1);
    cr_assert_lt(boot_diff_ms(second->held_at, before), TTL_MS, "no fresh wait");
    cr_assert_eq(first->losses, 0);
}

Test(lease, nothing_is_written_after_release)
{
    BENCH(b);
    struct side *first = hold_first(b), *second = mem_side(b, 1);
    release(first);
    run_until(b, first_released);
    uint64_t writes = mem_server_calls(b->server, MEM_WRITE);
    commit(first, 1);
    run_until(b, first_answered);
    cr_assert_eq(first->why.kind, ERR_FENCED);
    cr_assert_eq(mem_server_calls(b->server, MEM_WRITE), writes);
    start(second); /* lives on for more than a renewal period of the first */
    run_until(b, second_holds);
    commit(second, 1);
    cr_assert_eq(first->arms, 1);
}

Test(lease, silent_holder_is_succeeded_after_ttl)
{
    BENCH(b);
    struct side *first = hold_first(b), *second = mem_side(b, 1);
    start(second);
    run_until(b, second_waits);
    struct boot left = boot_now();
    stop(first); /* without release, as after a crash */
    run_until(b, second_holds);
    int64_t waited_ms = boot_diff_ms(second->held_at, left);
    cr_assert_geq(waited_ms, TTL_MS - TTL_MS / 3 - 50);
    cr_assert_lt(waited_ms, 2 * TTL_MS + 1000);
    cr_assert_eq(second->epoch, 2);
}

Test(lease, lost_replies_go_unnoticed)
{
    BENCH(b);
    struct side *s = mem_side(b, 0);
    mem_server_script(b->server, MEM_WRITE, MEM_LOSE_REPLY, 1);
    start(s);
    run_until(b, first_holds);
    cr_assert_eq(s->epoch, 1);
    mem_server_script(b->server, MEM_WRITE, MEM_LOSE_REPLY, 1);
    commit(s, 1);
    run_until(b, first_answered);
    cr_assert_eq(s->dones, 1);
    mem_server_script(b->server, MEM_WRITE, MEM_LOSE_REPLY, 1);
    release(s);
    run_until(b, first_released);
    cr_assert_eq(s->why.kind, ERR_NONE);
    struct store_version version;
    cr_assert(stored(b, &version).released);
}

Test(lease, late_write_of_a_lost_request_is_recognised)
{
    BENCH(b);
    struct side *s = hold_first(b);
    mem_server_script(b->server, MEM_WRITE, MEM_LATE, 1);
    commit(s, 1);
    while (mem_server_deliver(b->server) == 0) /* a worker is about to hand it over */
        continue;
    run_until(b, first_answered);
    cr_assert_eq(s->dones, 1);
    cr_assert_eq(s->losses, 0);
}

/* Writes a record of somebody else over ours, as an operator or a broken clock might. */
static void overwrite(struct bench *b, const char *text)
{
    CLEANUP(store_closep) struct store *store = mem_server_connect(b->server);
    CLEANUP(record_keys_fini) struct record_keys keys = record_keys_of(b->keyring);
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    struct record_auth auth = record_keys_auth(&keys);
    struct store_version version;
    struct err err = { 0 };
    struct record record = stored(b, &version);
    record.epoch++;
    record.holder.instance[0] ^= 1;
    (void)snprintf(record.holder.node, sizeof(record.holder.node), "intruder");
    if (text != NULL)
        buf_put_str(&bytes, text);
    else
        cr_assert(record_encode(&record, &auth, &bytes, &err), "%s", err.msg);
    cr_assert(store_replace(store, NAME, &version, buf_view(&bytes),
                            deadline_after(boot_now(), 1000, 0), &version, &err),
              "%s", err.msg);
}

Test(lease, foreign_record_fences_and_is_final)
{
    BENCH(b);
    struct side *s = hold_first(b);
    overwrite(b, NULL);
    commit(s, 1);
    run_until(b, first_lost);
    cr_assert_eq(s->fences, 1);
    cr_assert_eq(s->fails, 1);
    cr_assert_eq(s->dones, 0);
    cr_assert_eq(s->why.kind, ERR_FENCED);
    cr_assert_not_null(strstr(s->why.msg, "intruder"));
    cr_assert_eq(lease_epoch(s->lease), 0);
    uint64_t writes = mem_server_calls(b->server, MEM_WRITE);
    commit(s, 2);
    s->fails = 0;
    run_until(b, first_answered);
    cr_assert_eq(mem_server_calls(b->server, MEM_WRITE), writes, "never retried");
}

Test(lease, store_that_vanishes_ends_the_lease_within_ttl)
{
    BENCH(b);
    struct side *s = hold_first(b);
    struct boot before = boot_now();
    mem_server_script(b->server, MEM_WRITE, MEM_LOSE_REQUEST, 1000000);
    mem_server_script(b->server, MEM_READ, MEM_LOSE_REQUEST, 1000000);
    run_until(b, first_lost);
    cr_assert_eq(s->fences, 1);
    cr_assert_eq(s->why.kind, ERR_FENCED);
    cr_assert_leq(boot_diff_ms(s->lost_at, before), TTL_MS);
}

Test(lease, store_that_is_down_at_start_is_waited_for)
{
    BENCH(b);
    struct side *s = mem_side(b, 0);
    mem_server_script(b->server, MEM_READ, MEM_LOSE_REQUEST, 3);
    start(s);
    run_until(b, first_holds);
    cr_assert(s->was_silent);
    cr_assert_eq(s->epoch, 1);
}

Test(lease, corrupt_record_is_left_alone)
{
    BENCH(b);
    struct store_version version;
    CLEANUP(store_closep) struct store *store = mem_server_connect(b->server);
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    struct deadline soon = deadline_after(boot_now(), 10000, 0);
    struct err err = { 0 };
    struct side *s = mem_side(b, 0);
    cr_assert(store_create(store, NAME, view_str("garbage"), soon, &version, &err));
    start(s);
    run_until(b, first_lost);
    cr_assert_eq(s->why.kind, ERR_CORRUPT);
    cr_assert_eq(s->fences, 0);
    cr_assert(store_read(store, NAME, soon, &bytes, &version, &err));
    cr_assert_str_eq(buf_borrow_str(&bytes), "garbage");
    cr_assert_eq(mem_server_calls(b->server, MEM_WRITE), 1);
}

Test(lease, record_that_turns_corrupt_while_held_is_final)
{
    BENCH(b);
    struct side *s = hold_first(b);
    overwrite(b, "garbage");
    commit(s, 1);
    run_until(b, first_lost);
    cr_assert_eq(s->fences, 1);
    cr_assert_eq(s->why.kind, ERR_CORRUPT);
}

Test(lease, stop_while_waiting_leaves_the_holder_alone)
{
    BENCH(b);
    struct store_version version;
    struct side *first = hold_first(b), *second = mem_side(b, 1);
    start(second);
    run_until(b, second_waits);
    struct boot before = boot_now();
    stop(second);
    run_until(b, second_stopped);
    cr_assert_lt(boot_diff_ms(boot_now(), before), TTL_MS, "waiting ends at once");
    cr_assert_eq(first->losses, 0);
    cr_assert_eq(second->holds + second->losses, 0);
    cr_assert_eq(stored(b, &version).epoch, 1);
}

Test(lease, lease_that_was_never_started_may_be_freed)
{
    BENCH(b);
    struct side *s = mem_side(b, 0);
    lease_free(s->lease);
    s->lease = NULL;
    lease_free(NULL);
}

Test(lease, three_starters_at_the_same_instant_end_with_one_holder)
{
    for (int round = 0; round < 20; round++) {
        BENCH(b);
        for (size_t i = 0; i < COUNT(b->sides); i++)
            (void)mem_side(b, i);
        for (size_t i = 0; i < COUNT(b->sides); i++)
            start(&b->sides[i]);
        run_until(b, one_holds_two_wait);
    }
}

Test(lease, wrong_spec_is_told_by_key)
{
    BENCH(b);
    CLEANUP(store_closep) struct store *store = mem_server_connect(b->server);
    static const struct record_holder who = { 0 };
    static const struct {
        const char *name;
        int64_t ttl_ms, margin_ms, min_epoch;
        const char *told; /* NULL: good */
    } rows[] = {
        { NAME, 15000, 0, 0, NULL },
        { NAME, 1000, 200, 0, NULL },
        { NAME, 1000, 0, 0, NULL },
        { NAME, 999, 0, 0, "lease.ttl" },
        { NAME, 86400001, 0, 0, "lease.ttl" },
        { NAME, 15000, 199, 0, "lease.margin" },
        { NAME, 15000, 7500, 0, "lease.margin" },
        { NAME, 15000, -1, 0, "lease.margin" },
        { NAME, 15000, 7499, 0, NULL },
        { NAME, 15000, 0, -1, "epoch" },
        { "a//b", 15000, 0, 0, "name" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct lease_spec spec = { .name = rows[i].name,
                                   .ttl_ms = rows[i].ttl_ms,
                                   .margin_ms = rows[i].margin_ms,
                                   .min_epoch = rows[i].min_epoch,
                                   .who = &who,
                                   .store = store,
                                   .clock = &clock_system };
        struct err err = { 0 };
        cr_assert_eq(lease_spec_check(&spec, &err), rows[i].told == NULL, "row %zu", i);
        if (rows[i].told != NULL) {
            cr_assert_eq(err.kind, ERR_INVALID);
            cr_assert_not_null(strstr(err.msg, rows[i].told), "%s", err.msg);
        }
    }
}

/* Two lives on one disk, with real threads: each commits, the second takes over from the first. */
Test(lease, takeover_over_the_file_store_keeps_the_history)
{
    BENCH(b);
    CLEANUP(str_freep) char *url = str_format("file://%s/store?create=true", b->dir);
    struct store *stores[2];
    struct err err = { 0 };
    for (size_t i = 0; i < 2; i++)
        cr_assert(store_open(url, NULL, &stores[i], &err), "%s", err.msg);
    struct side *first = add_side(b, 0, stores[0]), *second = add_side(b, 1, stores[1]);
    start(first);
    run_until(b, first_holds);
    start(second);
    run_until(b, second_waits);
    for (int64_t i = 1; i <= 3; i++)
        commit(first, i);
    run_until(b, three_answers);
    struct boot before = boot_now();
    release(first);
    run_until(b, second_holds);
    cr_assert_lt(boot_diff_ms(second->held_at, before), TTL_MS);
    cr_assert_eq(second->epoch, 2);
    cr_assert_eq(lease_borrow_record(second->lease)->head.sequence, 3);
}
