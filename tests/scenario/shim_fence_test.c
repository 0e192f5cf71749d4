// rooms: common/base common/proc common/cgroup common/shimwire programs: agent-shim puppet
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/own.h"
#include "common/cgroup/cgroup.h"
#include "tests/scenario/shim_rig.h"

TestSuite(shim_fence, .timeout = 120);

/* Double-forked and in a session of its own: nothing but the kernel finds it again. */
#define STRAY "setsid sh -c 'trap \"\" TERM HUP; sleep 61 & wait' & "
#define TICKS STRAY "echo up; while :; do echo tick; sleep 0.005; done"

static void start_running(struct rig *rig, const char *script, bool cgroup, int64_t lease_ms)
{
    rig_init(rig, script);
    rig_add_sidecar(rig);
    if (cgroup)
        rig_add_cgroup(rig);
    rig_start(rig);
    cr_assert(rig_open_gate(rig, lease_ms));
    cr_assert_str_eq(rig_line(rig), "up");
}

static void stop_sidecar(const struct rig *rig)
{
    cr_assert_eq(kill(rig->sidecar_pid, SIGSTOP), 0);
}

/* One pause of a scripted peer; the only way to see that nothing happens. */
static void let_pass(int64_t ms) { (void)poll(NULL, 0, (int)ms); }

Test(shim_fence, the_gate_holds_until_it_is_opened)
{
    struct rig rig;
    rig_init(&rig, "echo up; exec sleep 60");
    rig_add_sidecar(&rig);
    rig_start(&rig);
    (void)rig_phase(&rig, SHIM_PHASE_STANDBY);
    let_pass(150);
    cr_expect(rig_is_silent(&rig));
    cr_expect(rig_open_gate(&rig, 60000));
    cr_expect_str_eq(rig_line(&rig), "up");
    struct shim_msg started = rig_from_shim(&rig, rig.sidecar.raw, SHIM_AGENT_STARTED);
    cr_expect_gt(started.started.pid, 0);
    cr_expect_not(rig_open_gate(&rig, 90000)); /* only once */
    rig_fini(&rig);
}

Test(shim_fence, a_gate_with_a_deadline_in_the_past_stays_shut)
{
    struct rig rig;
    rig_init(&rig, "echo up");
    rig_add_sidecar(&rig);
    rig_start(&rig);
    cr_expect_not(rig_open_gate(&rig, -1));
    cr_expect_not(rig_open_gate(&rig, 0));
    let_pass(50);
    cr_expect(rig_is_silent(&rig));
    rig_fini(&rig);
}

Test(shim_fence, a_gate_may_repeat_the_armed_deadline)
{
    struct rig rig;
    rig_init(&rig, "echo up; exec sleep 60");
    rig_add_sidecar(&rig);
    rig_start(&rig);
    struct shim_msg msg = { .type = SHIM_ARM, .seq = 1 };
    msg.arm.epoch = 7;
    msg.arm.deadline_ns = boot_add_ms(boot_now(), 60000).ns;
    rig_tell(rig.sidecar.raw, msg);
    cr_expect(rig_from_shim(&rig, rig.sidecar.raw, SHIM_ARM_ACK).reply.ok);
    msg.type = SHIM_GATE_OPEN;
    rig_tell(rig.sidecar.raw, msg);
    cr_expect(rig_from_shim(&rig, rig.sidecar.raw, SHIM_ARM_ACK).reply.ok);
    cr_expect_str_eq(rig_line(&rig), "up");
    rig_fini(&rig);
}

Test(shim_fence, a_lower_epoch_or_an_earlier_deadline_is_refused)
{
    struct rig rig;
    start_running(&rig, "echo up; exec sleep 60", false, 60000);
    cr_expect_not(rig_arm(&rig, 6, 90000));
    cr_expect_not(rig_arm(&rig, 7, 30000));
    cr_expect(rig_arm(&rig, 7, 90000));
    cr_expect(rig_arm(&rig, 8, 91000));
    cr_expect_not(rig_arm(&rig, 7, 99000));
    rig_fini(&rig);
}

static void fences(bool cgroup)
{
    struct rig rig;
    start_running(&rig, TICKS, cgroup, 400);
    stop_sidecar(&rig);
    struct boot armed = boot_now();
    (void)rig_from_shim(&rig, rig.sidecar.raw, SHIM_AGENT_EXITED); /* said when the tree is empty */
    int64_t took_ms = boot_diff_ms(boot_now(), armed);
    cr_expect_geq(took_ms, 200);
    cr_expect_leq(took_ms, 400 + 300, "dead only after %lld ms", (long long)took_ms);
    struct exit_record rec = rig_exited(&rig, NULL); /* the stopped sidecar is killed in the end */
    cr_expect_eq(rec.cause, EXIT_FENCED);
    cr_expect_eq(rec.epoch, 7);
    cr_expect_eq(exit_record_status(&rec), 79);
    cr_expect(rig_output_ends(&rig, 0));
    rig_fini(&rig);
}

Test(shim_fence, the_deadline_fences_with_the_sidecar_stopped) { fences(false); }
Test(shim_fence, the_deadline_fences_with_the_sidecar_stopped_in_a_cgroup) { fences(true); }

/* As after a suspend: the renewal that waits in the socket is younger than the deadline. */
Test(shim_fence, a_stopped_shim_fences_first_when_it_goes_on)
{
    struct rig rig;
    start_running(&rig, TICKS, false, 600);
    cr_assert_eq(kill(rig.shim.pid, SIGSTOP), 0);
    struct shim_msg late = { .type = SHIM_ARM, .seq = 99 };
    late.arm.epoch = 7;
    late.arm.deadline_ns = boot_add_ms(boot_now(), 60000).ns;
    rig_tell(rig.sidecar.raw, late);
    let_pass(700);
    cr_assert_eq(kill(rig.shim.pid, SIGCONT), 0);
    cr_expect_not(rig_from_shim(&rig, rig.sidecar.raw, SHIM_ARM_ACK).reply.ok);
    (void)rig_from_shim(&rig, rig.sidecar.raw, SHIM_AGENT_EXITED);
    rig_sidecar_leaves(&rig, ERR_FENCED, 79);
    cr_expect_eq(rig_exited(&rig, NULL).cause, EXIT_FENCED);
    rig_fini(&rig);
}

Test(shim_fence, renewals_keep_the_agent_alive)
{
    struct rig rig;
    start_running(&rig, TICKS, false, 300);
    for (int i = 1; i <= 8; i++) {
        let_pass(80);
        cr_assert(rig_arm(&rig, 7, 300 + i), "renewal %d", i);
    }
    rig_fini(&rig);
}

Test(shim_fence, a_fence_kills_at_once_and_says_why)
{
    struct rig rig;
    start_running(&rig, TICKS, true, 60000);
    rig_tell(rig.sidecar.raw,
             (struct shim_msg){ .type = SHIM_FENCE, .fence = { "epoch 8 belongs to node-2" } });
    struct boot told = boot_now();
    (void)rig_from_shim(&rig, rig.sidecar.raw, SHIM_AGENT_EXITED);
    cr_expect_lt(boot_diff_ms(boot_now(), told), 300);
    cr_expect_not(rig_arm(&rig, 9, 90000)); /* never again */
    rig_sidecar_leaves(&rig, 0, 79);
    struct exit_record rec = rig_exited(&rig, NULL);
    cr_expect_eq(rec.cause, EXIT_FENCED);
    cr_expect_str_eq(rec.message, "epoch 8 belongs to node-2");
    rig_fini(&rig);
}

static bool freeze(struct rig *rig, uint32_t max_ms)
{
    struct shim_msg msg = { .type = SHIM_FREEZE, .seq = 3, .freeze = { max_ms } };
    rig_tell(rig->sidecar.raw, msg);
    struct shim_msg reply = rig_from_shim(rig, rig->sidecar.raw, SHIM_FROZEN);
    cr_assert_eq(reply.seq, 3);
    return reply.reply.ok;
}

/* On a starved machine the shim gives a freeze up and says so: it may be asked again. */
static void freeze_at_last(struct rig *rig, uint32_t max_ms)
{
    struct boot end = boot_add_ms(boot_now(), RIG_WAIT_MS);
    while (!freeze(rig, max_ms))
        cr_assert_gt(boot_diff_ms(end, boot_now()), 0, "never frozen");
}

static bool thaw(struct rig *rig)
{
    rig_tell(rig->sidecar.raw, (struct shim_msg){ .type = SHIM_THAW, .seq = 3 });
    return rig_from_shim(rig, rig->sidecar.raw, SHIM_THAWED).reply.ok;
}

static void drain(struct rig *rig)
{
    char bytes[4096];
    while (!rig_is_silent(rig))
        cr_assert_gt(read(rig->output.raw, bytes, sizeof(bytes)), 0);
}

Test(shim_fence, a_frozen_agent_does_nothing_until_the_thaw)
{
    struct rig rig;
    start_running(&rig, TICKS, true, 60000);
    freeze_at_last(&rig, 2000);
    drain(&rig);
    let_pass(60);
    cr_expect(rig_is_silent(&rig));
    cr_expect(thaw(&rig));
    (void)rig_line(&rig);
    cr_expect_not(thaw(&rig)); /* nothing is held any more */
    rig_fini(&rig);
}

Test(shim_fence, a_freeze_ends_by_itself_and_the_late_thaw_is_told)
{
    struct rig rig;
    start_running(&rig, TICKS, true, 60000);
    freeze_at_last(&rig, 300);
    drain(&rig);
    (void)rig_line(&rig); /* it runs again */
    cr_expect_not(thaw(&rig));
    rig_fini(&rig);
}

Test(shim_fence, a_sidecar_killed_while_frozen_leaves_no_frozen_agent)
{
    struct rig rig;
    start_running(&rig, "trap 'echo term; exit 0' TERM; echo up; while :; do sleep 0.005; done",
                  true, 60000);
    freeze_at_last(&rig, SHIM_FREEZE_MAX_MS);
    struct boot killed = boot_now();
    cr_assert_eq(kill(rig.sidecar_pid, SIGKILL), 0);
    cr_expect_str_eq(rig_line(&rig), "term"); /* it could still react to the stop signal */
    struct exit_record rec = rig_exited(&rig, NULL);
    cr_expect_lt(boot_diff_ms(boot_now(), killed), SHIM_FREEZE_MAX_MS);
    cr_expect_eq(rec.cause, EXIT_SIDECAR_LOST);
    cr_expect_eq(rec.done_kind, ERR_UNAVAILABLE);
    cr_expect_str_eq(rec.message, "sidecar was killed by signal 9");
    rig_fini(&rig);
}

Test(shim_fence, without_a_cgroup_a_freeze_is_refused)
{
    struct rig rig;
    start_running(&rig, TICKS, false, 60000);
    cr_expect_not(freeze(&rig, 100));
    cr_expect_not(thaw(&rig));
    rig_fini(&rig);
}

Test(shim_fence, after_the_agents_end_the_sidecar_finishes_first)
{
    struct rig rig;
    start_running(&rig, "echo up; exit 3", false, 60000);
    struct shim_msg gone = rig_from_shim(&rig, rig.sidecar.raw, SHIM_AGENT_EXITED);
    cr_expect_eq(gone.exited.exit_code, 3);
    (void)rig_phase(&rig, SHIM_PHASE_CLOSING);
    cr_expect(rig_arm(&rig, 7, 70000)); /* the final commit is a renewal */
    rig_sidecar_leaves(&rig, 0, 0);
    struct exit_record rec = rig_exited(&rig, NULL);
    cr_expect_eq(rec.cause, EXIT_EXITED);
    cr_expect_eq(rec.exit_code, 3);
    cr_expect_eq(rec.done_kind, 0);
    rig_fini(&rig);
}

Test(shim_fence, success_with_unsaved_state_is_no_success)
{
    struct rig rig;
    start_running(&rig, "echo up; exit 0", false, 60000);
    (void)rig_from_shim(&rig, rig.sidecar.raw, SHIM_AGENT_EXITED);
    rig_sidecar_leaves(&rig, ERR_UNAVAILABLE, 75);
    struct exit_record rec = rig_exited(&rig, NULL);
    cr_expect_eq(rec.cause, EXIT_EXITED);
    cr_expect_eq(exit_record_status(&rec), 75);
    rig_fini(&rig);
}

Test(shim_fence, a_stop_shares_its_time_between_agent_and_sidecar)
{
    struct rig rig;
    start_running(&rig, "trap '' TERM; " STRAY "echo up; while :; do sleep 0.01; done", true,
                  60000);
    struct boot asked = boot_now();
    rig_tell(rig.driver.raw, (struct shim_msg){ .type = SHIM_STOP, .stop = { SIGTERM, 600 } });
    struct shim_msg told = rig_from_shim(&rig, rig.sidecar.raw, SHIM_STOPPING);
    cr_expect_eq(told.stopping.left_ms, 600);
    (void)rig_from_shim(&rig, rig.sidecar.raw, SHIM_AGENT_EXITED);
    int64_t agent_ms = boot_diff_ms(boot_now(), asked);
    cr_expect(agent_ms >= 299 && agent_ms < 600, "after %lld ms", (long long)agent_ms);
    stop_sidecar(&rig); /* and it never finishes */
    struct exit_record rec = rig_exited(&rig, NULL);
    int64_t all_ms = boot_diff_ms(boot_now(), asked);
    cr_expect(all_ms >= 599 && all_ms < 900, "after %lld ms", (long long)all_ms);
    cr_expect_eq(rec.cause, EXIT_KILLED);
    cr_expect_eq(rec.done_kind, ERR_UNAVAILABLE);
    rig_fini(&rig);
}

Test(shim_fence, a_stop_in_standby_ends_the_wait_at_once)
{
    static const int signals[] = { 0, SIGTERM, SIGINT, SIGQUIT };
    for (size_t i = 0; i < COUNT(signals); i++) {
        struct rig rig;
        rig_init(&rig, "echo never");
        rig_add_sidecar(&rig);
        rig_start(&rig);
        if (signals[i] == 0)
            rig_tell(rig.driver.raw, (struct shim_msg){ .type = SHIM_STOP, .stop = { 0, 5000 } });
        else
            cr_assert_eq(kill(rig.shim.pid, signals[i]), 0);
        (void)rig_from_shim(&rig, rig.sidecar.raw, SHIM_STOPPING);
        cr_expect_not(rig_open_gate(&rig, 60000)); /* too late */
        rig_sidecar_leaves(&rig, 0, 0);
        struct exit_record rec = rig_exited(&rig, NULL);
        cr_expect_eq(rec.cause, EXIT_STOPPED);
        cr_expect_eq(exit_record_status(&rec), 0);
        cr_expect(rig_output_ends(&rig, 0));
        rig_fini(&rig);
    }
}

Test(shim_fence, a_sidecar_that_gives_up_is_a_start_refused_with_its_reason)
{
    struct rig rig;
    rig_init(&rig, "echo never");
    rig_add_sidecar(&rig);
    rig_start(&rig);
    struct shim_msg done = { .type = SHIM_DONE };
    done.done.kind = ERR_CORRUPT;
    shim_text_copy(done.done.text, "restore checkpoint \"c-42\": chunk differs from its name");
    rig_tell(rig.sidecar.raw, done);
    uint8_t code = 65;
    cr_assert_eq(send(rig.strings.raw, &code, 1, 0), 1);
    struct exit_record rec = rig_exited(&rig, NULL);
    cr_expect_eq(rec.cause, EXIT_START_REFUSED);
    cr_expect_eq(rec.exit_code, 65);
    cr_expect_eq(rec.done_kind, ERR_CORRUPT);
    cr_expect_str_eq(rec.message, done.done.text);
    rig_fini(&rig);
}

/* F-10: what is sent just before the end is never lost. */
Test(shim_fence, the_last_word_of_a_dying_sidecar_is_always_heard)
{
    for (int i = 0; i < 50; i++) {
        struct rig rig;
        rig_init(&rig, "echo never");
        rig_add_sidecar(&rig);
        rig_start(&rig);
        struct shim_msg note = { .type = SHIM_EVENT };
        for (int n = 0; n < 40; n++) {
            (void)snprintf(note.event.text, sizeof(note.event.text), "line %d", n);
            rig_tell(rig.sidecar.raw, note);
        }
        rig_sidecar_leaves(&rig, ERR_DENIED, 77);
        struct exit_record rec = rig_exited(&rig, NULL);
        cr_expect_eq(rec.done_kind, ERR_DENIED, "round %d", i);
        cr_expect_str_eq(rec.message, "line 39", "round %d", i);
        rig_fini(&rig);
    }
}

Test(shim_fence, a_sidecar_that_only_dies_refuses_the_start_with_its_last_line)
{
    struct rig rig;
    rig_init(&rig, "echo never");
    rig_add_sidecar(&rig);
    rig_start(&rig);
    rig_tell(rig.sidecar.raw,
             (struct shim_msg){ .type = SHIM_EVENT, .event = { "waits for lease" } });
    uint8_t code = 3;
    cr_assert_eq(send(rig.strings.raw, &code, 1, 0), 1);
    struct exit_record rec = rig_exited(&rig, NULL);
    cr_expect_eq(rec.cause, EXIT_START_REFUSED);
    cr_expect_eq(rec.exit_code, 3);
    cr_expect_str_eq(rec.message, "waits for lease");
    rig_fini(&rig);
}

Test(shim_fence, a_missing_sidecar_refuses_the_start)
{
    struct rig rig;
    rig_init(&rig, "echo never");
    rig_add_sidecar(&rig);
    rig.sidecar_argv[0] = "/does/not/exist";
    rig_spawn(&rig);
    struct exit_record rec = rig_exited(&rig, NULL);
    cr_expect_eq(rec.cause, EXIT_START_REFUSED);
    cr_expect_not_null(strstr(rec.message, "No such file"), "%s", rec.message);
    rig_fini(&rig);
}

Test(shim_fence, lines_of_the_sidecar_reach_the_driver_and_the_newest_is_kept)
{
    struct rig rig;
    rig_init(&rig, "echo never");
    rig_add_sidecar(&rig);
    rig_start(&rig);
    rig_tell(rig.sidecar.raw, (struct shim_msg){ .type = SHIM_EVENT, .event = { "one" } });
    cr_expect_str_eq(rig_from_shim(&rig, rig.driver.raw, SHIM_EVENT).event.text, "one");
    fd_closep(&rig.driver);
    rig.driver = rig_connect(&rig);
    cr_expect_str_eq(rig_phase(&rig, SHIM_PHASE_STANDBY).state.text, "one");
    rig_fini(&rig);
}

Test(shim_fence, a_sidecar_that_hangs_up_but_lives_is_lost)
{
    struct rig rig;
    start_running(&rig, "trap 'exit 0' TERM; echo up; while :; do sleep 0.01; done", false, 60000);
    fd_closep(&rig.sidecar);
    struct exit_record rec = rig_exited(&rig, NULL);
    cr_expect_eq(rec.cause, EXIT_SIDECAR_LOST);
    rig_fini(&rig);
}

Test(shim_fence, a_kill_takes_sidecar_and_agent_at_once)
{
    struct rig rig;
    start_running(&rig, TICKS, true, 60000);
    stop_sidecar(&rig);
    struct boot asked = boot_now();
    rig_tell(rig.driver.raw, (struct shim_msg){ .type = SHIM_KILL });
    struct exit_record rec = rig_exited(&rig, NULL);
    cr_expect_lt(boot_diff_ms(boot_now(), asked), 1000);
    cr_expect_eq(rec.cause, EXIT_KILLED);
    rig_fini(&rig);
}

/* True when `pid` is a process that can still run. */
static bool is_alive(pid_t pid)
{
    char path[64], text[512] = "";
    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    CLEANUP(fd_closep) struct fd file = { open(path, O_RDONLY | O_CLOEXEC) };
    if (!fd_is_open(file) || read(file.raw, text, sizeof(text) - 1) <= 0)
        return false;
    const char *end = strrchr(text, ')');
    return end != NULL && end[2] != 'Z' && end[2] != 'X';
}

/* F-01: kill -9 of the supervisor, at 50 points of its life. */
Test(shim_fence, the_death_of_the_shim_is_the_death_of_everything)
{
    for (int round = 0; round < 50; round++) {
        struct rig rig;
        rig_init(&rig, STRAY TICKS);
        rig_add_sidecar(&rig);
        if (round % 2 == 0)
            rig_add_cgroup(&rig);
        bool is_early = round < 25;
        if (is_early) { /* anywhere between exec and the gate */
            rig_spawn(&rig);
            (void)usleep((useconds_t)(round * 120)); // banned: the point of the start is the input
        } else {
            rig_start(&rig);
            struct shim_msg gate = { .type = SHIM_GATE_OPEN };
            gate.arm.epoch = 1;
            gate.arm.deadline_ns = SHIM_NO_DEADLINE;
            rig_tell(rig.sidecar.raw, gate);
            (void)usleep((useconds_t)((round - 25) * 150)); // banned: the same
        }
        struct boot killed = boot_now();
        cr_assert_eq(kill(rig.shim.pid, SIGKILL), 0);
        cr_expect(rig_output_ends(&rig, 1000), "round %d: something lives on", round);
        cr_expect_leq(boot_diff_ms(boot_now(), killed), 1000);
        if (rig.sidecar_pid > 0) {
            for (int i = 0; i < 100 && is_alive(rig.sidecar_pid); i++)
                let_pass(10);
            cr_expect_not(is_alive(rig.sidecar_pid), "round %d: the sidecar lives on", round);
        }
        rig_fini(&rig);
    }
}

/* A pager that nobody scrolls: the last line for people must not keep the record from the disk. */
Test(shim_fence, a_full_standard_error_holds_nobody_up)
{
    struct rig rig;
    rig_init(&rig, "echo up; exec head -c 1000000 /dev/zero >&2");
    rig_add_sidecar(&rig);
    rig.spec.flags = SHIM_STANDALONE;
    rig_start(&rig);
    cr_assert(rig_open_gate(&rig, 60000));
    cr_expect_str_eq(rig_line(&rig), "up");
    int full = 0;
    for (int i = 0; i < 1000 && full < 60000; i++, (void)poll(NULL, 0, 10))
        cr_assert_eq(ioctl(rig.shim_err.raw, FIONREAD, &full), 0);
    rig_tell(rig.sidecar.raw, (struct shim_msg){ .type = SHIM_FENCE });
    rig_sidecar_leaves(&rig, ERR_FENCED, 79);
    cr_expect_eq(rig_shim_status(&rig), 79);
    struct exit_record disk;
    cr_assert(rig_record(&rig, &disk));
    cr_expect_eq(disk.cause, EXIT_FENCED);
    rig_fini(&rig);
}
