#include "sidecar/lease/seeking.h"

#include "common/base/own.h"
#include "sidecar/lease/rig_test.h"

#include <criterion/criterion.h>

Test(seeking, absent_record_is_created_with_epoch_1)
{
    struct rig r = rig_new();
    rig_start(&r);
    cr_assert_not(rig_must(&r, ACT_READ)->has_seen);
    rig_read_fails(&r, ERR_NOT_FOUND);
    cr_assert(rig_must(&r, ACT_WRITE)->is_create);
    cr_assert_eq(r.m.write.record.epoch, 1);
    cr_assert_str_eq(r.m.write.record.name, "eu/planner/0");
}

Test(seeking, released_record_is_taken_at_once_with_the_next_epoch)
{
    struct rig r = rig_new();
    struct record other = rig_other(6, true);
    other.has_head = true;
    other.head.sequence = 9;
    rig_start(&r);
    struct store_version v = rig_next_version(&r);
    rig_read(&r, &other);
    const struct machine_action *write = rig_must(&r, ACT_WRITE);
    cr_assert_not(write->is_create);
    cr_assert(store_version_is_equal(&write->version, &v));
    cr_assert_eq(r.m.write.record.epoch, 7);
    cr_assert_not(r.m.write.record.released);
    cr_assert_eq(r.m.write.record.head.sequence, 9, "the history stays");
}

Test(seeking, held_record_is_waited_for_and_told_once)
{
    struct rig r = rig_new();
    struct record other = rig_other(6, false);
    rig_start(&r);
    (void)rig_next_version(&r);
    rig_read(&r, &other);
    (void)rig_must(&r, ACT_WAITING);
    const struct machine_action *read = rig_must(&r, ACT_READ);
    cr_assert(read->has_seen);
    cr_assert_eq(deadline_left_ms(read->watch, r.now), 250);
    rig_wait(&r, 250);
    rig_read(&r, &other);
    cr_assert_null(rig_did(&r, ACT_WAITING));
    other.renewals++;
    (void)rig_next_version(&r);
    rig_read(&r, &other);
    cr_assert_null(rig_did(&r, ACT_WAITING), "a renewal is no news");
    other = rig_other(7, false);
    other.holder.instance[3] ^= 1;
    (void)rig_next_version(&r);
    rig_read(&r, &other);
    (void)rig_must(&r, ACT_WAITING);
}

Test(seeking, takeover_waits_full_ttl_from_receipt, .timeout = 10)
{
    struct rig r = rig_new();
    struct record other = rig_other(6, false);
    rig_start(&r);
    (void)rig_next_version(&r);
    rig_wait(&r, 700); /* the first read took so long: it counts as the round trip */
    struct boot received = r.now;
    rig_read(&r, &other);
    while (rig_did(&r, ACT_WRITE) == NULL) {
        struct deadline watch = rig_must(&r, ACT_READ)->watch;
        rig_wait(&r, deadline_left_ms(watch, r.now));
        rig_read(&r, &other);
    }
    int64_t waited_ms = boot_diff_ms(r.now, received);
    cr_assert_geq(waited_ms, RIG_TTL_MS + RIG_TTL_MS / 100 + 700);
    cr_assert_lt(waited_ms, RIG_TTL_MS + RIG_TTL_MS / 100 + 700 + 10);
    cr_assert_eq(r.m.write.record.epoch, 7);
}

Test(seeking, wait_uses_the_ttl_of_the_record_not_ours)
{
    struct rig r = rig_new();
    struct record other = rig_other(6, false);
    other.ttl_ms = 60000;
    rig_start(&r);
    (void)rig_next_version(&r);
    rig_read(&r, &other);
    rig_wait(&r, 59000);
    rig_read(&r, &other);
    cr_assert_null(rig_did(&r, ACT_WRITE));
    rig_wait(&r, 1700);
    rig_read(&r, &other);
    (void)rig_must(&r, ACT_WRITE);
}

Test(seeking, changed_version_restarts_the_wait)
{
    struct rig r = rig_new();
    struct record other = rig_other(6, false);
    rig_start(&r);
    for (int i = 0; i < 5; i++) {
        (void)rig_next_version(&r);
        rig_read(&r, &other);
        rig_wait(&r, RIG_TTL_MS);
        rig_read(&r, &other);
        cr_assert_null(rig_did(&r, ACT_WRITE));
    }
}

Test(seeking, silence_observed_through_an_outage_counts)
{
    struct rig r = rig_new();
    struct record other = rig_other(6, false);
    rig_start(&r);
    (void)rig_next_version(&r);
    rig_read(&r, &other);
    rig_read_fails(&r, ERR_UNAVAILABLE);
    (void)rig_must(&r, ACT_WAITING);
    rig_wait(&r, RIG_TTL_MS * 2);
    rig_timer(&r);
    (void)rig_must(&r, ACT_READ);
    rig_read(&r, &other);
    (void)rig_must(&r, ACT_WRITE); /* its version is compared by the store */
}

Test(seeking, store_that_does_not_answer_is_told_once_and_asked_again)
{
    struct rig r = rig_new();
    rig_start(&r);
    rig_read_fails(&r, ERR_UNAVAILABLE);
    (void)rig_must(&r, ACT_WAITING);
    int64_t longest_ms = 0;
    for (int i = 0; i < 20; i++) {
        struct boot before = r.now;
        rig_wake(&r);
        (void)rig_must(&r, ACT_READ);
        rig_read_fails(&r, ERR_UNAVAILABLE);
        cr_assert_null(rig_did(&r, ACT_WAITING));
        int64_t pause_ms = boot_diff_ms(r.now, before);
        longest_ms = pause_ms > longest_ms ? pause_ms : longest_ms;
    }
    cr_assert(longest_ms >= 500 && longest_ms <= 2000, "%d", (int)longest_ms);
    cr_assert_eq(r.m.state, MACHINE_SEEKING, "a store that is silent never leads to a start");
    struct record other = rig_other(6, false);
    rig_wake(&r);
    (void)rig_next_version(&r);
    rig_read(&r, &other);
    (void)rig_must(&r, ACT_WAITING); /* it answers again */
}

Test(seeking, corrupt_record_is_never_overwritten)
{
    static const enum err_kind kinds[] = { ERR_CORRUPT, ERR_DENIED, ERR_INVALID, ERR_SYSTEM };
    for (size_t i = 0; i < 4; i++) {
        struct rig r = rig_new();
        rig_start(&r);
        rig_read_fails(&r, kinds[i]);
        (void)rig_must(&r, ACT_LOST);
        cr_assert_null(rig_did(&r, ACT_WRITE));
        cr_assert_null(rig_did(&r, ACT_FENCE), "nothing was armed");
        cr_assert_eq(r.m.why.kind, kinds[i]);
    }
}

Test(seeking, epoch_below_the_floor_is_refused)
{
    struct machine_spec spec = rig_spec(1);
    struct record other = rig_other(6, true);
    spec.min_epoch = 7;
    struct rig r = rig_new();
    machine_init(&r.m, &spec);
    rig_start(&r);
    (void)rig_next_version(&r);
    rig_read(&r, &other);
    (void)rig_must(&r, ACT_LOST);
    cr_assert_eq(r.m.why.kind, ERR_CORRUPT);
    other.epoch = 7;
    machine_init(&r.m, &spec);
    rig_start(&r);
    rig_read(&r, &other);
    (void)rig_must(&r, ACT_WRITE);
    cr_assert_eq(r.m.write.record.epoch, 8);
}

Test(seeking, vanished_record_is_refused)
{
    struct rig r = rig_new();
    struct record other = rig_other(6, false);
    rig_start(&r);
    (void)rig_next_version(&r);
    rig_read(&r, &other);
    rig_read_fails(&r, ERR_NOT_FOUND);
    (void)rig_must(&r, ACT_LOST);
    cr_assert_null(rig_did(&r, ACT_WRITE));
    struct machine_spec spec = rig_spec(1);
    spec.min_epoch = 1;
    machine_init(&r.m, &spec);
    rig_start(&r);
    rig_read_fails(&r, ERR_NOT_FOUND);
    (void)rig_must(&r, ACT_LOST);
}

Test(seeking, record_that_went_back_is_refused)
{
    struct rig r = rig_new();
    struct record other = rig_other(6, false);
    rig_start(&r);
    (void)rig_next_version(&r);
    rig_read(&r, &other);
    other = rig_other(5, true);
    (void)rig_next_version(&r);
    rig_read(&r, &other);
    (void)rig_must(&r, ACT_LOST);
    cr_assert_eq(r.m.why.kind, ERR_CORRUPT);
}

/* A standby may have started long before: what it has read since then counts, not what it was told
 * of the packs at its start. */
Test(seeking, head_that_went_back_while_waiting_is_refused)
{
    struct rig r = rig_new();
    struct record other = rig_other(6, false);
    other.has_head = true;
    other.head.sequence = 40;
    rig_start(&r);
    (void)rig_next_version(&r);
    rig_read(&r, &other);
    other.head.sequence = 12; /* the register was put back: same epoch, older head */
    (void)rig_next_version(&r);
    rig_read(&r, &other);
    (void)rig_must(&r, ACT_LOST);
    cr_assert_null(rig_did(&r, ACT_WRITE));
    cr_assert_eq(r.m.why.kind, ERR_CORRUPT);
}

/* Brings a machine to a create whose reply is lost. */
static struct rig create_unknown(void)
{
    struct rig r = rig_new();
    rig_start(&r);
    rig_read_fails(&r, ERR_NOT_FOUND);
    rig_wait(&r, 100);
    rig_write_fails(&r, ERR_UNAVAILABLE);
    rig_wake(&r);
    (void)rig_must(&r, ACT_READ);
    return r;
}

Test(seeking, lost_reply_of_the_taking_write_is_recognised)
{
    struct rig r = create_unknown();
    struct record ours = r.m.write.record;
    struct boot sent = r.m.write.first_sent;
    (void)rig_next_version(&r);
    rig_read(&r, &ours);
    cr_assert_eq(rig_must(&r, ACT_ARM)->until.at.ns,
                 deadline_after(sent, RIG_TTL_MS, RIG_MARGIN_MS).at.ns);
    cr_assert_eq(r.m.state, MACHINE_ARMING);
}

Test(seeking, lost_request_is_repeated_as_it_was)
{
    struct rig r = create_unknown();
    struct record before = r.m.write.record;
    rig_read_fails(&r, ERR_NOT_FOUND);
    cr_assert(rig_must(&r, ACT_WRITE)->is_create);
    cr_assert_eq(memcmp(&before, &r.m.write.record, sizeof(before)), 0);
}

Test(seeking, create_won_by_another_leads_to_waiting)
{
    struct rig r = rig_new();
    struct record other = rig_other(1, false);
    rig_start(&r);
    rig_read_fails(&r, ERR_NOT_FOUND);
    rig_write_fails(&r, ERR_CONFLICT);
    (void)rig_must(&r, ACT_READ);
    (void)rig_next_version(&r);
    rig_read(&r, &other);
    cr_assert_eq(r.m.state, MACHINE_SEEKING);
    (void)rig_must(&r, ACT_WAITING);
}

Test(seeking, win_that_comes_too_late_takes_the_next_epoch)
{
    struct rig r = rig_new();
    rig_start(&r);
    rig_read_fails(&r, ERR_NOT_FOUND);
    rig_wait(&r, RIG_TTL_MS); /* the machine slept with the write on its way */
    struct record ours = r.m.write.record;
    rig_write_wins(&r);
    cr_assert_null(rig_did(&r, ACT_ARM));
    (void)rig_must(&r, ACT_READ);
    rig_read(&r, &ours);
    (void)rig_must(&r, ACT_WRITE);
    cr_assert_eq(r.m.write.record.epoch, 2);
}

Test(seeking, refused_write_is_the_end)
{
    struct rig r = rig_new();
    rig_start(&r);
    rig_read_fails(&r, ERR_NOT_FOUND);
    rig_write_fails(&r, ERR_DENIED);
    (void)rig_must(&r, ACT_LOST);
    cr_assert_eq(r.m.why.kind, ERR_DENIED);
}

Test(seeking, stop_while_taking_releases_what_became_ours)
{
    struct rig r = rig_new();
    rig_start(&r);
    rig_read_fails(&r, ERR_NOT_FOUND);
    rig_stop(&r);
    cr_assert_eq(r.todo.count, 0);
    rig_write_wins(&r);
    cr_assert_null(rig_did(&r, ACT_HELD));
    (void)rig_must(&r, ACT_WRITE);
    cr_assert(r.m.write.record.released);
    rig_write_wins(&r);
    (void)rig_must(&r, ACT_STOPPED);
}

Test(seeking, stop_while_taking_ends_when_the_store_is_silent)
{
    struct rig r = rig_new();
    rig_start(&r);
    rig_read_fails(&r, ERR_NOT_FOUND);
    rig_stop(&r);
    rig_write_fails(&r, ERR_UNAVAILABLE);
    (void)rig_must(&r, ACT_STOPPED);
}

Test(seeking, conflicts_without_end_are_not_hammered)
{
    struct rig r = rig_new();
    struct record other = rig_other(3, true);
    struct boot before = r.now;
    rig_start(&r);
    (void)rig_next_version(&r);
    rig_read(&r, &other);
    for (int i = 0; i < 20; i++) { /* the store says conflict, yet nothing changes */
        rig_write_fails(&r, ERR_CONFLICT);
        if (rig_did(&r, ACT_READ) == NULL)
            rig_wake(&r);
        (void)rig_must(&r, ACT_READ);
        rig_read(&r, &other);
        (void)rig_must(&r, ACT_WRITE);
    }
    cr_assert_gt(boot_diff_ms(r.now, before), 5000);
}

/* Packs up to sequence 5 are in the store; what does the register say? */
Test(seeking, register_that_knows_less_than_the_packs_is_refused)
{
    static const struct {
        bool has_record, has_head;
        int64_t sequence;
        bool is_fine;
    } rows[] = {
        { true, true, 5, true },    { true, true, 6, true },
        { true, true, 4, true }, /* the fifth was stored and not committed */
        { true, true, 3, false },   { true, false, 0, false },
        { false, false, 0, false },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct machine_spec spec = rig_spec(1);
        struct rig r = rig_new();
        struct record other = rig_other(6, true);
        spec.min_sequence = 5;
        other.has_head = rows[i].has_head;
        other.head.sequence = rows[i].sequence;
        machine_init(&r.m, &spec);
        rig_start(&r);
        (void)rig_next_version(&r);
        if (rows[i].has_record)
            rig_read(&r, &other);
        else
            rig_read_fails(&r, ERR_NOT_FOUND);
        cr_assert_eq(r.m.state, rows[i].is_fine ? MACHINE_TAKING : MACHINE_LOST, "row %zu", i);
        cr_assert(rows[i].is_fine || r.m.why.kind == ERR_CORRUPT);
    }
}
