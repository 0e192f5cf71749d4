#include "sidecar/lease/holding.h"

#include "sidecar/lease/rig_test.h"

#include <criterion/criterion.h>
#include <signal.h>

Test(holding, held_only_after_the_shim_acknowledged)
{
    struct rig r = rig_new();
    rig_start(&r);
    rig_read_fails(&r, ERR_NOT_FOUND);
    rig_write_wins(&r);
    (void)rig_must(&r, ACT_ARM);
    cr_assert_null(rig_did(&r, ACT_HELD));
    rig_ack(&r, true);
    (void)rig_must(&r, ACT_HELD);
}

Test(holding, deadline_counts_from_before_the_request)
{
    struct rig r = rig_held();
    rig_wake(&r);
    struct boot sent = r.now;
    (void)rig_must(&r, ACT_WRITE);
    rig_wait(&r, 1800); /* a slow reply only shortens the lease */
    rig_write_wins(&r);
    cr_assert_eq(rig_must(&r, ACT_ARM)->until.at.ns,
                 deadline_after(sent, RIG_TTL_MS, RIG_MARGIN_MS).at.ns);
}

Test(holding, renewal_is_due_at_a_third_of_ttl)
{
    struct rig r = rig_held();
    struct boot at;
    cr_assert(machine_wake(&r.m, &at));
    cr_assert_eq(boot_diff_ms(at, r.m.base), RIG_TTL_MS / 3);
    rig_wait(&r, RIG_TTL_MS / 3 - 1);
    rig_timer(&r);
    cr_assert_null(rig_did(&r, ACT_WRITE));
    rig_wait(&r, 1);
    rig_timer(&r);
    (void)rig_must(&r, ACT_WRITE);
    cr_assert_eq(r.m.write.record.epoch, 1);
    cr_assert_eq(r.m.write.record.renewals, 1);
}

Test(holding, no_renewal_without_acknowledgement, .timeout = 10)
{
    struct rig r = rig_held();
    rig_wake(&r);
    rig_write_wins(&r); /* ARM is out, the shim says nothing */
    while (r.m.state == MACHINE_HELD) {
        rig_wait(&r, 100);
        rig_timer(&r);
        cr_assert_null(rig_did(&r, ACT_WRITE));
    }
    (void)rig_must(&r, ACT_FENCE);
    cr_assert_eq(r.m.why.kind, ERR_FENCED);
    cr_assert_leq(boot_diff_ms(r.now, r.m.acked.at), 100, "at the deadline that was acknowledged");
}

Test(holding, refusing_shim_is_the_end)
{
    struct rig r = rig_held();
    rig_wake(&r);
    rig_write_wins(&r);
    rig_ack(&r, false);
    (void)rig_must(&r, ACT_FENCE);
    (void)rig_must(&r, ACT_LOST);
}

Test(holding, commit_is_done_only_after_acknowledgement)
{
    struct rig r = rig_held();
    uint64_t ticket = rig_commit(&r, 1);
    (void)rig_must(&r, ACT_WRITE);
    cr_assert_str_eq(r.m.write.record.head.id, "head-1");
    rig_write_wins(&r);
    cr_assert_null(rig_did(&r, ACT_DONE));
    rig_ack(&r, true);
    cr_assert_eq(rig_must(&r, ACT_DONE)->ticket, ticket);
}

Test(holding, commits_that_come_meanwhile_share_one_write)
{
    struct rig r = rig_held();
    (void)rig_commit(&r, 1);
    (void)rig_commit(&r, 2);
    (void)rig_commit(&r, 0);
    uint64_t last = rig_commit(&r, 3);
    cr_assert_eq(r.todo.count, 0);
    cr_assert_eq(r.m.write.record.head.sequence, 1);
    rig_write_wins(&r);
    rig_ack(&r, true);
    cr_assert_eq(rig_must(&r, ACT_DONE)->ticket, 1);
    (void)rig_must(&r, ACT_WRITE);
    cr_assert_eq(r.m.write.record.head.sequence, 3);
    rig_write_wins(&r);
    rig_ack(&r, true);
    cr_assert_eq(rig_must(&r, ACT_DONE)->ticket, last);
    cr_assert_null(rig_did(&r, ACT_WRITE));
}

Test(holding, commit_is_a_renewal)
{
    struct rig r = rig_held();
    rig_wait(&r, 3000);
    struct boot sent = r.now, at;
    (void)rig_commit(&r, 1);
    rig_write_wins(&r);
    rig_ack(&r, true);
    cr_assert(machine_wake(&r.m, &at));
    cr_assert_eq(boot_diff_ms(at, sent), RIG_TTL_MS / 3);
}

Test(holding, commit_of_an_older_checkpoint_is_a_bug, .signal = SIGABRT)
{
    struct rig r = rig_held();
    (void)rig_commit(&r, 2);
    (void)rig_commit(&r, 2);
}

Test(holding, commit_without_the_lease_has_no_ticket)
{
    struct rig r = rig_new();
    cr_assert_eq(rig_commit(&r, 1), 0);
    rig_start(&r);
    cr_assert_eq(rig_commit(&r, 1), 0);
}

Test(holding, unknown_write_is_read_back_then_repeated_as_it_was)
{
    struct rig r = rig_held();
    struct record own = r.m.own;
    (void)rig_commit(&r, 1);
    struct record sent = r.m.write.record;
    rig_write_fails(&r, ERR_UNAVAILABLE);
    cr_assert_eq(rig_commit(&r, 2), 2);
    cr_assert_null(rig_did(&r, ACT_WRITE), "its fate comes first");
    rig_wake(&r);
    (void)rig_must(&r, ACT_READ);
    rig_read(&r, &own);
    (void)rig_must(&r, ACT_WRITE);
    cr_assert_eq(memcmp(&sent, &r.m.write.record, sizeof(sent)), 0);
}

Test(holding, read_back_counts_from_first_sending)
{
    struct rig r = rig_held();
    struct record own = r.m.own;
    rig_wait(&r, 500);
    struct boot first = r.now;
    (void)rig_commit(&r, 1);
    for (int i = 0; i < 3; i++) { /* lost three times */
        rig_write_fails(&r, ERR_UNAVAILABLE);
        rig_wake(&r);
        rig_read(&r, &own);
    }
    rig_write_fails(&r, ERR_CONFLICT); /* one of the earlier sendings has arrived meanwhile */
    (void)rig_next_version(&r);
    struct record arrived = r.m.write.record;
    if (rig_did(&r, ACT_READ) == NULL)
        rig_wake(&r);
    rig_read(&r, &arrived);
    cr_assert_eq(rig_must(&r, ACT_ARM)->until.at.ns,
                 deadline_after(first, RIG_TTL_MS, RIG_MARGIN_MS).at.ns);
    rig_ack(&r, true);
    (void)rig_must(&r, ACT_DONE);
}

Test(holding, foreign_record_is_final)
{
    struct rig r = rig_held();
    struct record other = rig_other(2, false);
    (void)rig_commit(&r, 1);
    rig_write_fails(&r, ERR_CONFLICT);
    (void)rig_must(&r, ACT_READ);
    (void)rig_next_version(&r);
    rig_read(&r, &other);
    (void)rig_must(&r, ACT_FENCE);
    (void)rig_must(&r, ACT_LOST);
    cr_assert_null(rig_did(&r, ACT_DONE));
    cr_assert_eq(r.m.why.kind, ERR_FENCED);
    struct boot at;
    cr_assert_not(machine_wake(&r.m, &at), "never again");
}

Test(holding, released_foreign_record_is_final_too)
{
    struct rig r = rig_held();
    struct record other = rig_other(2, true);
    rig_wake(&r);
    rig_write_fails(&r, ERR_CONFLICT);
    (void)rig_next_version(&r);
    rig_read(&r, &other);
    (void)rig_must(&r, ACT_LOST);
    cr_assert_null(rig_did(&r, ACT_WRITE));
}

Test(holding, deleted_record_is_final)
{
    struct rig r = rig_held();
    rig_wake(&r);
    rig_write_fails(&r, ERR_CONFLICT);
    rig_read_fails(&r, ERR_NOT_FOUND);
    (void)rig_must(&r, ACT_FENCE);
    cr_assert_eq(r.m.why.kind, ERR_FENCED);
}

Test(holding, corrupt_record_is_final)
{
    struct rig r = rig_held();
    rig_wake(&r);
    rig_write_fails(&r, ERR_CONFLICT);
    rig_read_fails(&r, ERR_CORRUPT);
    (void)rig_must(&r, ACT_FENCE);
    cr_assert_eq(r.m.why.kind, ERR_CORRUPT);
}

Test(holding, lost_permission_may_come_back_before_the_deadline)
{
    struct rig r = rig_held();
    struct record own = r.m.own;
    rig_wake(&r);
    rig_write_fails(&r, ERR_DENIED);
    rig_wake(&r);
    rig_read_fails(&r, ERR_DENIED);
    rig_wake(&r);
    rig_read(&r, &own);
    rig_write_wins(&r);
    rig_ack(&r, true);
    cr_assert_eq(r.m.state, MACHINE_HELD);
}

Test(holding, deadline_past_is_final_though_the_store_returns)
{
    struct rig r = rig_held();
    rig_wake(&r);
    rig_wait(&r, RIG_TTL_MS); /* suspended with the renewal on its way */
    rig_write_wins(&r);
    (void)rig_must(&r, ACT_FENCE);
    cr_assert_null(rig_did(&r, ACT_ARM));
    cr_assert_eq(r.m.state, MACHINE_LOST);
}

Test(holding, silent_store_ends_at_the_deadline, .timeout = 10)
{
    struct rig r = rig_held();
    struct boot end = r.m.acked.at;
    while (r.m.state == MACHINE_HELD) {
        if (r.m.call == CALL_WRITE)
            rig_write_fails(&r, ERR_UNAVAILABLE);
        else if (r.m.call == CALL_READ)
            rig_read_fails(&r, ERR_UNAVAILABLE);
        if (r.m.state == MACHINE_HELD)
            rig_wake(&r);
    }
    (void)rig_must(&r, ACT_FENCE);
    cr_assert_eq(r.now.ns, end.ns);
    cr_assert_not_null(strstr(r.m.why.msg, "made by the test"), "says what the store said");
}

Test(holding, release_comes_after_the_commits)
{
    struct rig r = rig_held();
    (void)rig_commit(&r, 1);
    uint64_t last = rig_commit(&r, 2);
    cr_assert(rig_release(&r));
    cr_assert_eq(r.todo.count, 0);
    rig_write_wins(&r);
    rig_ack(&r, true);
    (void)rig_must(&r, ACT_WRITE);
    cr_assert_not(r.m.write.record.released, "the second commit is still to be proved");
    rig_write_wins(&r);
    rig_ack(&r, true);
    cr_assert_eq(rig_must(&r, ACT_DONE)->ticket, last);
    (void)rig_must(&r, ACT_WRITE);
    cr_assert(r.m.write.record.released);
    cr_assert_eq(r.m.write.record.head.sequence, 2);
    rig_write_wins(&r);
    (void)rig_must(&r, ACT_RELEASED);
    cr_assert_null(rig_did(&r, ACT_ARM));
    struct boot at;
    cr_assert_not(machine_wake(&r.m, &at), "no renewal follows a release");
}

Test(holding, late_reply_after_release_is_dropped)
{
    struct rig r = rig_held();
    rig_wake(&r);
    uint64_t renewal = r.m.call_seq;
    cr_assert(rig_release(&r));
    rig_write_wins(&r); /* of the renewal that was out */
    rig_ack(&r, true);
    cr_assert(r.m.write.record.released);
    rig_write_wins(&r);
    cr_assert_eq(r.m.state, MACHINE_RELEASED);
    r.todo.count = 0;
    machine_on_write(&r.m, r.now, renewal, NULL, &r.version, &r.todo);
    machine_on_ack(&r.m, r.now, r.m.arm_seq, true, &r.todo);
    machine_on_timer(&r.m, r.now, &r.todo);
    cr_assert_eq(r.todo.count, 0);
}

Test(holding, lost_reply_of_the_release_is_recognised)
{
    struct rig r = rig_held();
    cr_assert(rig_release(&r));
    rig_write_fails(&r, ERR_UNAVAILABLE);
    struct record arrived = r.m.write.record;
    rig_wake(&r);
    (void)rig_next_version(&r);
    rig_read(&r, &arrived);
    (void)rig_must(&r, ACT_RELEASED);
}

Test(holding, release_already_taken_over_counts_as_done)
{
    struct rig r = rig_held();
    struct record other = rig_other(2, false);
    cr_assert(rig_release(&r));
    rig_write_fails(&r, ERR_UNAVAILABLE);
    rig_wake(&r);
    (void)rig_next_version(&r);
    rig_read(&r, &other);
    (void)rig_must(&r, ACT_RELEASED);
    cr_assert_null(rig_did(&r, ACT_FENCE));
}

Test(holding, release_that_is_not_confirmed_gives_up_at_the_deadline, .timeout = 10)
{
    struct rig r = rig_held();
    cr_assert(rig_release(&r));
    rig_write_fails(&r, ERR_UNAVAILABLE);
    while (r.m.state == MACHINE_RELEASING) {
        rig_wake(&r);
        if (r.m.call == CALL_READ)
            rig_read_fails(&r, ERR_UNAVAILABLE);
    }
    (void)rig_must(&r, ACT_LOST);
    cr_assert_eq(r.m.why.kind, ERR_UNAVAILABLE);
    cr_assert_null(rig_did(&r, ACT_FENCE), "the agent is gone already");
}

Test(holding, release_before_the_acknowledgement_waits_for_it)
{
    struct rig r = rig_new();
    rig_start(&r);
    cr_assert_not(rig_release(&r), "nothing to release");
    rig_read_fails(&r, ERR_NOT_FOUND);
    rig_write_wins(&r);
    cr_assert(rig_release(&r));
    cr_assert_eq(r.todo.count, 0);
    rig_ack(&r, true);
    cr_assert_null(rig_did(&r, ACT_HELD));
    (void)rig_must(&r, ACT_WRITE);
    cr_assert(r.m.write.record.released);
}

Test(holding, stop_while_arming_gives_back)
{
    struct rig r = rig_new();
    rig_start(&r);
    rig_read_fails(&r, ERR_NOT_FOUND);
    rig_write_wins(&r);
    rig_stop(&r);
    (void)rig_must(&r, ACT_WRITE);
    cr_assert(r.m.write.record.released);
    rig_ack(&r, true);
    cr_assert_eq(r.todo.count, 0);
    rig_write_wins(&r);
    (void)rig_must(&r, ACT_STOPPED);
}

Test(holding, stop_while_held_leaves_the_record_to_expire)
{
    struct rig r = rig_held();
    (void)rig_commit(&r, 1);
    rig_stop(&r);
    (void)rig_must(&r, ACT_STOPPED);
    cr_assert_null(rig_did(&r, ACT_WRITE));
    rig_write_wins(&r);
    cr_assert_eq(r.todo.count, 0);
}

Test(holding, acknowledgement_of_an_older_deadline_is_dropped)
{
    struct rig r = rig_held();
    uint64_t old = r.m.arm_seq;
    (void)rig_commit(&r, 1);
    rig_write_wins(&r);
    r.todo.count = 0;
    machine_on_ack(&r.m, r.now, old, true, &r.todo);
    cr_assert_eq(r.todo.count, 0);
    cr_assert(r.m.is_unacked);
}
